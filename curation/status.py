"""Where everything stands: the counts that people read and the listing that scripts read."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Clip, Score, Split, Video
from db.states import ClipState, VideoState

AT_ONCE = 500  # clips whose scores are read together
VIDEOS, CLIPS, SCORES = Video.__table__, Clip.__table__, Score.__table__


def counts(session: Session) -> dict[str, dict[str, int]]:
    """Videos and clips by state, in the order of the pipeline; states without any are left out."""
    found: dict[str, dict[str, int]] = {}
    for name, table, states in (("videos", VIDEOS, VideoState), ("clips", CLIPS, ClipState)):
        rows: dict[str, int] = {}
        for state, number in session.execute(select(table.c.state, func.count()).group_by(table.c.state)):
            rows[state] = number
        found[name] = {state.value: rows[state] for state in states if state in rows}
    return found


def failures(session: Session, limit: int | None = None) -> list[tuple[str, str, str]]:
    """(id, source, error) of the videos that stand failed, in the order in which they were added."""
    rows = session.execute(
        select(VIDEOS.c.id, VIDEOS.c.source, VIDEOS.c.error)
        .where(VIDEOS.c.state == VideoState.FAILED)
        .order_by(VIDEOS.c.created_at, VIDEOS.c.id)
        .limit(limit)
    )
    return [(video, source, error or "unknown") for video, source, error in rows]


def listing(session: Session) -> dict[str, list[dict[str, Any]]]:
    """All videos and clips, as `formats.md` lists their fields."""
    return {"videos": list(_videos(session)), "clips": list(_clips(session))}


def listing_json(session: Session) -> Iterator[str]:
    """The JSON text of `listing`, piece by piece: of 100,000 clips it does not fit comfortably into memory."""
    for opening, items in (('{"videos": [', _videos(session)), ('], "clips": [', _clips(session))):
        yield opening
        for number, item in enumerate(items):
            yield (", " if number else "") + json.dumps(item, ensure_ascii=False)
    yield "]}"


def _videos(session: Session) -> Iterator[dict[str, Any]]:
    names = ("id", "provider", "provider_id", "source", "state", "error", "title", "licence", "duration", "sha256")
    statement = select(*(VIDEOS.c[name] for name in names)).order_by(VIDEOS.c.created_at, VIDEOS.c.id)
    for row in session.execute(statement).all():
        yield dict(zip(names, row, strict=True))


def _clips(session: Session) -> Iterator[dict[str, Any]]:
    from curation.exporting.export import newest_shards  # late: decoders and HDF5 come with it

    splits = {video: name for video, name in session.execute(select(Split.video_id, Split.name))}
    shards = newest_shards(session)
    columns = ("id", "video_id", "start", "end", "state", "reason", "error", "short", "frame_count")
    statement = (
        select(*(CLIPS.c[name] for name in columns), VIDEOS.c.source)
        .join(VIDEOS, VIDEOS.c.id == CLIPS.c.video_id)
        .order_by(CLIPS.c.video_id, CLIPS.c.index)
    )
    for rows in session.execute(statement, execution_options={"yield_per": AT_ONCE}).partitions():
        scores: dict[str, dict[str, float]] = defaultdict(dict)
        of_these = SCORES.c.clip_id.in_([row.id for row in rows])
        for clip, name, value in session.execute(
            select(SCORES.c.clip_id, SCORES.c.name, SCORES.c.value).where(of_these).order_by(SCORES.c.name)
        ):
            scores[clip][name] = value
        for row in rows:
            yield {
                "id": row.id,
                "video": row.video_id,
                "source": row.source,
                "start": row.start,
                "end": row.end,
                "state": row.state,
                "reason": row.reason,
                "error": row.error,
                "short": row.short,
                "frames": row.frame_count,
                "scores": scores.get(row.id, {}),
                "split": splits.get(row.video_id),
                "shard": shards.get(row.id),
            }
