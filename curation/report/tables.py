"""The report's tables: videos, licences, splits, shards, versions, what was taken down."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from curation.filtering.rules import SavedRule
from curation.report.text import clean, length, link, moment, size
from db.models import Clip, Export, ExportShard, Shard, ShardClip, Split, Video
from db.states import ClipState

MOST_VIDEOS, MOST_ROWS, MOST_LICENCES = 500, 100, 40
SPLITS = ("train", "val", "test")
NO_LICENCE = "not stated"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell: what it shows, what it is sorted by (None: the text), where it leads."""

    text: str
    key: float | None = None
    link: str | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Column titles (numbers stand right), rows, and how many rows there are in all."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    total: int
    numeric: frozenset[int] = frozenset()


def _number(value: float | None, text: str | None = None) -> Cell:
    if value is None:
        return Cell(text="", key=-1.0)
    return Cell(text=f"{value:,}" if text is None else text, key=float(value))


def videos_table(session: Session) -> Table:
    """The first videos as they were added, with what became of their clips."""
    total = session.scalar(select(func.count()).select_from(Video)) or 0
    videos = session.scalars(select(Video).order_by(Video.created_at, Video.id).limit(MOST_VIDEOS)).all()
    ids = [video.id for video in videos]
    clips: dict[str, Counter[str]] = defaultdict(Counter)
    states = select(Clip.video_id, Clip.state, func.count()).where(Clip.video_id.in_(ids))
    for video_id, state, number in session.execute(states.group_by(Clip.video_id, Clip.state)):
        clips[video_id][state] = number
    split = {v: name for v, name in session.execute(select(Split.video_id, Split.name).where(Split.video_id.in_(ids)))}
    rows = []
    for video in videos:
        of_video = clips[video.id]
        rows.append(
            (
                Cell(
                    text=clean(video.title or Path(video.source).name or video.id),
                    link=link(video.source),
                    note=clean(video.channel or "", 60),
                ),
                Cell(text=video.state, note=clean(video.error or "", 200)),
                Cell(text=clean(video.licence or NO_LICENCE, 60)),
                _number(video.duration, length(video.duration or 0.0)),
                _number(of_video.total()),
                _number(of_video[ClipState.ACCEPTED]),
                _number(of_video[ClipState.REJECTED]),
                _number(of_video[ClipState.FILTERED]),
                Cell(text=split.get(video.id, "")),
            )
        )
    columns = ("video", "state", "licence", "length", "clips", "accepted", "rejected", "filtered", "split")
    return Table(columns=columns, rows=tuple(rows), total=total, numeric=frozenset(range(3, 8)))


def licences_table(session: Session) -> Table:
    """What each licence brought."""
    name = func.coalesce(Video.licence, NO_LICENCE)
    videos = session.execute(
        select(name, func.count(), func.sum(Video.duration)).group_by(name).order_by(func.count().desc(), name)
    ).all()
    accepted: dict[str, tuple[int, int, float]] = {}
    is_in = case((Clip.state == ClipState.ACCEPTED, 1), else_=0)
    for licence, number, kept, seconds in session.execute(
        select(name, func.count(), func.sum(is_in), func.sum(is_in * (Clip.end - Clip.start)))
        .join(Video, Video.id == Clip.video_id)
        .group_by(name)
    ):
        accepted[licence] = (number, kept, seconds)
    rows = []
    for licence, number, seconds in videos[:MOST_LICENCES]:
        clips, kept, kept_seconds = accepted.get(licence, (0, 0, 0.0))
        rows.append(
            (
                Cell(text=clean(licence, 80)),
                _number(number),
                _number(seconds or 0.0, length(seconds or 0.0)),
                _number(clips),
                _number(kept),
                _number(kept_seconds, length(kept_seconds)),
            )
        )
    columns = ("licence", "videos", "footage", "clips", "accepted clips", "accepted footage")
    return Table(columns=columns, rows=tuple(rows), total=len(videos), numeric=frozenset(range(1, 6)))


def rules_table(rules: Iterable[SavedRule], filtered: Iterable[int]) -> Table:
    """The saved rules; `filtered`: how many clips each filters."""
    rows = tuple(
        (
            Cell(text=saved.name),
            _number(saved.version),
            Cell(text="active" if saved.active else "inactive"),
            Cell(text=", ".join(str(condition) for condition in saved.rule.conditions())),
            _number(number if saved.active else None),
            Cell(text=moment(saved.created_at)),
        )
        for saved, number in zip(rules, filtered, strict=True)
    )
    columns = ("rule", "version", "state", "keeps a clip if", "filters now", "saved (UTC)")
    return Table(columns=columns, rows=rows, total=len(rows), numeric=frozenset({1, 4}))


def splits_table(session: Session) -> Table:
    """How large the splits are, of accepted clips."""
    rows = {
        name: (videos, clips, seconds)
        for name, videos, clips, seconds in session.execute(
            select(Split.name, func.count(Split.video_id.distinct()), func.count(), func.sum(Clip.end - Clip.start))
            .join(Clip, Clip.video_id == Split.video_id)
            .where(Clip.state == ClipState.ACCEPTED)
            .group_by(Split.name)
        )
    }
    clips_in_all = sum(clips for _, clips, _ in rows.values())
    cells = []
    for name in SPLITS:
        if not rows:
            break
        videos, clips, seconds = rows.get(name, (0, 0, 0.0))
        share = 100 * clips / clips_in_all
        cells.append(
            (
                Cell(text=name),
                _number(videos),
                _number(clips),
                _number(share, f"{share:.1f}%"),
                _number(seconds, length(seconds)),
            )
        )
    columns = ("split", "videos", "clips", "share", "footage")
    return Table(columns=columns, rows=tuple(cells), total=len(cells), numeric=frozenset(range(1, 5)))


def exports_table(session: Session) -> Table:
    """The newest versions."""
    total = session.scalar(select(func.count()).select_from(Export)) or 0
    versions = session.scalars(select(Export).order_by(Export.version.desc()).limit(MOST_ROWS)).all()
    held: dict[int, tuple[int, int, int]] = {}
    for version, shards, frames, stored in session.execute(
        select(ExportShard.version, func.count(), func.sum(Shard.frames), func.sum(Shard.bytes))
        .join(Shard, Shard.id == ExportShard.shard_id)
        .where(ExportShard.version.in_([one.version for one in versions]))
        .group_by(ExportShard.version)
    ):
        held[version] = (shards, frames, stored)
    rows = []
    for one in versions:
        shards, frames, stored = held.get(one.version, (0, 0, 0))
        rows.append(
            (
                _number(one.version),
                Cell(text=one.format),
                _number(shards),
                _number(frames),
                _number(stored, size(stored)),
                Cell(text="complete" if one.complete else "not finished"),
                Cell(text=clean(one.manifest, 80)),
                Cell(text=moment(one.created_at)),
            )
        )
    columns = ("version", "format", "shards", "frames", "size", "state", "manifest", "made (UTC)")
    return Table(columns=columns, rows=tuple(rows), total=total, numeric=frozenset({0, 2, 3, 4}))


def shards_table(session: Session) -> Table:
    """The shards of the newest complete version of each format."""
    newest = select(func.max(case((Export.complete, Export.version)))).group_by(Export.format)
    of_newest = select(ExportShard.shard_id).where(ExportShard.version.in_(newest))
    total = session.scalar(select(func.count()).select_from(Shard).where(Shard.id.in_(of_newest))) or 0
    shards = session.scalars(
        select(Shard).where(Shard.id.in_(of_newest)).order_by(Shard.split, Shard.file).limit(MOST_ROWS)
    ).all()
    clips = _clips_of([shard.id for shard in shards], session)
    rows = tuple(
        (
            Cell(text=clean(shard.file, 80)),
            Cell(text=shard.split),
            _number(clips.get(shard.id, 0)),
            _number(shard.frames),
            _number(shard.bytes, size(shard.bytes)),
            Cell(text=f"{shard.sha256[:16]}…"),
        )
        for shard in shards
    )
    columns = ("shard", "split", "clips", "frames", "size", "SHA-256")
    return Table(columns=columns, rows=rows, total=total, numeric=frozenset({2, 3, 4}))


def _clips_of(shards: Sequence[int], session: Session) -> dict[int, int]:
    counted = select(ShardClip.shard_id, func.count()).where(ShardClip.shard_id.in_(shards))
    return {shard: number for shard, number in session.execute(counted.group_by(ShardClip.shard_id))}


def takedowns_table(session: Session) -> Table:
    """What was taken down, newest first."""
    down = Video.taken_down_at.is_not(None)
    total = session.scalar(select(func.count()).select_from(Video).where(down)) or 0
    videos = session.scalars(select(Video).where(down).order_by(Video.taken_down_at.desc(), Video.id).limit(MOST_ROWS))
    rows = tuple(
        (
            Cell(text=clean(video.title or video.id), link=link(video.source)),
            Cell(text=clean(video.taken_down_reason or "", 200)),
            Cell(text=moment(video.taken_down_at)),
        )
        for video in videos
    )
    return Table(columns=("video", "reason", "taken down (UTC)"), rows=rows, total=total)
