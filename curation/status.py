"""Where everything stands: the counts that people read and the listing that scripts read."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import Clip, Score, Split, Video
from db.states import ClipState, VideoState


def counts(session: Session) -> dict[str, dict[str, int]]:
    """Videos and clips by state, in the order of the pipeline; states without any are left out."""
    found: dict[str, dict[str, int]] = {}
    for name, table, states in (("videos", Video, VideoState), ("clips", Clip, ClipState)):
        rows: dict[str, int] = {}
        for state, number in session.execute(select(table.state, func.count()).group_by(table.state)):
            rows[state] = number
        found[name] = {state.value: rows[state] for state in states if state in rows}
    return found


def failures(session: Session) -> list[tuple[str, str, str]]:
    """(id, source, error) of all videos that stand failed."""
    rows = session.execute(
        select(Video.id, Video.source, Video.error).where(Video.state == VideoState.FAILED).order_by(Video.created_at)
    )
    return [(video, source, error or "unknown") for video, source, error in rows]


def listing(session: Session) -> dict[str, list[dict[str, Any]]]:
    """All videos and clips, as `formats.md` lists their fields."""
    from curation.export import newest_shards  # late: decoders and HDF5 come with it

    videos = [
        {
            "id": video.id,
            "provider": video.provider,
            "provider_id": video.provider_id,
            "source": video.source,
            "state": video.state,
            "error": video.error,
            "title": video.title,
            "licence": video.licence,
            "duration": video.duration,
            "sha256": video.sha256,
        }
        for video in session.scalars(select(Video).order_by(Video.created_at, Video.id))
    ]
    scores: dict[str, dict[str, float]] = defaultdict(dict)
    for clip_id, name, value in session.execute(select(Score.clip_id, Score.name, Score.value)):
        scores[clip_id][name] = value
    splits = {video: name for video, name in session.execute(select(Split.video_id, Split.name))}
    shards = newest_shards(session)
    rows = session.execute(
        select(Clip, Video.source).join(Video, Video.id == Clip.video_id).order_by(Clip.video_id, Clip.index)
    )
    clips = [
        {
            "id": clip.id,
            "video": clip.video_id,
            "source": source,
            "start": clip.start,
            "end": clip.end,
            "state": clip.state,
            "reason": clip.reason,
            "error": clip.error,
            "short": clip.short,
            "frames": clip.frame_count,
            "scores": scores.get(clip.id, {}),
            "split": splits.get(clip.video_id),
            "shard": shards.get(clip.id),
        }
        for clip, source in rows
    ]
    return {"videos": videos, "clips": clips}
