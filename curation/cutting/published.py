"""Cutting the videos of a published manifest: its clips, at the published times, accepted and split as published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from curation.cutting.cut import PUBLISHED, fail_video
from curation.errors import ErrorClass, StageError
from curation.probe import VideoInfo, probe
from curation.publishing.published import Published, PublishedClip, PublishedVideo
from curation.publishing.rebuilding import manifests
from curation.sources import locate
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.models import Clip, Decision, Query, Split, Video
from db.states import ClipState, VideoState

ANNOTATOR = "manifest"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to cut as published. `path` None: its file is the published one, byte by byte."""

    path: Path | None
    clips: tuple[PublishedClip, ...]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The clips of a video, as they can be had from its file."""

    clips: tuple[PublishedClip, ...]
    as_published: bool  # frame by frame; else planned anew, by time


def place(job: Job) -> Placed:
    """Find the published clips in a file. Raises `StageError`: corrupt if none of them is in it."""
    if job.path is None:
        return Placed(clips=job.clips, as_published=True)
    info = probe(job.path)
    if all(_stands(clip, info) for clip in job.clips):
        return Placed(clips=job.clips, as_published=True)
    placed = tuple(found for clip in job.clips if (found := _by_time(clip, info)) is not None)
    if not placed:
        raise StageError(
            ErrorClass.CORRUPT,
            f"{job.path.name}: not the published video, and none of its {len(job.clips)} clips is in it",
        )
    return Placed(clips=placed, as_published=False)


def _stands(clip: PublishedClip, info: VideoInfo) -> bool:
    low, high = np.searchsorted(info.pts, [clip.start_pts, clip.end_pts])
    return (
        Fraction(*clip.time_base) == info.time_base
        and int(high - low) == clip.frames
        and int(info.pts[low]) == clip.start_pts
    )


def _by_time(clip: PublishedClip, info: VideoInfo) -> PublishedClip | None:
    """The clip with the same seconds in another encoding of the video; None if that is too short."""
    base = Fraction(*clip.time_base)
    ticks = round(Fraction(str(clip.start)) / info.time_base) + int(info.pts[0])
    # A tick of the published file is no finer than half of itself.
    low = int(np.searchsorted(info.pts, ticks - max(1, round(base / info.time_base / 2))))
    if low == len(info.pts):
        return None
    start = int(info.pts[low])
    end = start + round((clip.end_pts - clip.start_pts) * base / info.time_base)
    frame = (info.end_pts - int(info.pts[0])) / info.frames
    if end > info.end_pts + frame:
        return None
    end = min(end, info.end_pts)
    frames = int(np.searchsorted(info.pts, end)) - low
    return PublishedClip(
        **{
            **vars(clip),
            "start_pts": start,
            "end_pts": end,
            "time_base": (info.time_base.numerator, info.time_base.denominator),
            "start": float(info.seconds(start)),
            "end": float(info.seconds(end)),
            "frames": frames,
        }
    )


def left() -> Select[Any]:
    """Ids of the downloaded videos of manifests that are not cut yet."""
    return (
        select(Video.id)
        .join(Query, Query.id == Video.query_id)
        .where(Query.provider == PUBLISHED, Video.state == VideoState.DOWNLOADED)
        .where(Video.cut_recipe.is_(None), Video.pruned_at.is_(None))
        .order_by(Video.query_id, Video.query_rank, Video.id)
    )


def cut_published(catalogue: Catalogue, *, workers: int = 1, done: Callable[[str], None] = lambda item: None) -> Result:
    """Cut the videos of manifests as published: clips with their ids, accepted, and their videos' splits."""
    with catalogue.reading() as session:
        if session.scalar(select(Video.id).where(Video.id.in_(left())).limit(1)) is None:
            return Result()
        loaded = dict(manifests(session, catalogue))
    videos = {(query, video.id): video for query, published in loaded.items() for video in published.videos}
    clips: dict[tuple[int, str], list[PublishedClip]] = defaultdict(list)
    for query, published in loaded.items():
        for clip in published.clips:
            clips[query, clip.video].append(clip)

    def job(session: Session, video_id: str) -> Job:
        video = session.get_one(Video, video_id)
        key = (video.query_id or 0, video_id)
        path = locate(catalogue, video)
        same = video.sha256 is not None and video.sha256 == videos[key].sha256
        return Job(path=None if same else path, clips=tuple(clips[key]))

    def store(session: Session, video_id: str, placed: Placed) -> None:
        video = session.get_one(Video, video_id)
        key = (video.query_id or 0, video_id)
        _store(session, video, videos[key], loaded[key[0]], placed)

    stage: Stage[Job, Placed] = Stage(name="cut", candidates=left(), job=job, work=place, store=store, fail=fail_video)
    return run_stage(catalogue, stage, workers=workers, done=done)


def _store(session: Session, video: Video, source: PublishedVideo, published: Published, placed: Placed) -> None:
    # What the shards say of a video is what they said when they were published.
    video.licence, video.label = source.licence, source.label
    video.cut_recipe = placed.clips[0].recipe
    versions = ", ".join(f"{name} version {number}" for name, number in published.versions.items())
    for clip in placed.clips:
        session.add(
            Clip(
                id=clip.id,
                video_id=video.id,
                recipe_hash=clip.recipe,
                index=clip.index,
                start_pts=clip.start_pts,
                end_pts=clip.end_pts,
                time_base_num=clip.time_base[0],
                time_base_den=clip.time_base[1],
                start=clip.start,
                end=clip.end,
                frame_count=clip.frames,
                short=clip.short,
                scene=clip.scene,
                state=ClipState.ACCEPTED,
            )
        )
    session.flush()
    session.add_all(
        Decision(clip_id=clip.id, annotator=ANNOTATOR, verdict="accept", reason=f"published: {versions}")
        for clip in placed.clips
    )
    if session.get(Split, video.id) is None:
        key = next((key for key, settings in published.recipes.items() if settings["kind"] == "split"), None)
        session.add(Split(video_id=video.id, name=source.split, component=source.component, seed=0, recipe_hash=key))
