"""The score stage: every score of a clip in one decode pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.cut import fail_video
from curation.decode import rgb
from curation.errors import ErrorClass, StageError
from curation.recipes import keep_recipe
from curation.scores import Scorer, measure
from curation.scores.variance import Variance
from curation.sources import locate_clip
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.models import Clip, Score, Video
from db.states import ClipState, VideoState, move_clip

SCORERS: tuple[type[Scorer], ...] = (Variance,)


@dataclass(frozen=True, kw_only=True)
class Job:
    path: Path
    start_pts: int
    end_pts: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    values: dict[str, float]
    settings: dict[str, dict[str, Any]]


def score(job: Job) -> Scores:
    """Score one clip. Raises `StageError` (corrupt) where not all its frames decode."""
    cv2.setNumThreads(1)
    scorers = [scorer() for scorer in SCORERS]
    try:
        frames = measure(rgb(job.path, job.start_pts, job.end_pts), scorers)
    except ValueError as error:
        raise StageError(ErrorClass.UNSUPPORTED, f"{job.path.name}: {error}") from None
    if frames != job.frames:
        raise StageError(ErrorClass.CORRUPT, f"{job.path.name}: {frames} of the clip's {job.frames} frames decode")
    values: dict[str, float] = {}
    settings: dict[str, dict[str, Any]] = {}
    for scorer in scorers:
        for name, value in scorer.values().items():
            values[name] = value
            settings[name] = {"kind": "score", "version": 1, "name": name, **scorer.settings}
    return Scores(values=values, settings=settings)


LEFT = (
    select(Clip.id)
    .join(Video, Video.id == Clip.video_id)
    .where(Clip.state == ClipState.PLANNED, Clip.error.is_(None), Video.state == VideoState.DOWNLOADED)
    .order_by(Clip.video_id, Clip.index)
)


def score_clips(catalogue: Catalogue, *, workers: int = 1, done: Callable[[str], None] = lambda item: None) -> Result:
    """Score all planned clips that have not failed."""
    stage: Stage[Job, Scores] = Stage(
        name="score",
        candidates=LEFT,
        job=lambda session, clip: _job(catalogue, session, clip),
        work=score,
        store=_store,
        fail=fail_clip,
    )
    return run_stage(catalogue, stage, workers=workers, done=done)


def fail_clip(session: Session, clip_id: str, error: StageError) -> None:
    """Record a failure: on the video if its file is not there, else on the clip, which is left alone from then on."""
    clip = session.get_one(Clip, clip_id)
    if error.error_class == ErrorClass.MISSING:
        fail_video(session, clip.video_id, error)
    else:
        clip.error = str(error)


def _job(catalogue: Catalogue, session: Session, clip_id: str) -> Job:
    clip = session.get_one(Clip, clip_id)
    path = locate_clip(catalogue, session, clip)
    return Job(path=path, start_pts=clip.start_pts, end_pts=clip.end_pts, frames=clip.frame_count)


def _store(session: Session, clip_id: str, result: Scores) -> None:
    clip = session.get_one(Clip, clip_id)
    for name, value in result.values.items():
        settings = keep_recipe(session, "score", result.settings[name])
        session.merge(Score(clip_id=clip_id, name=name, value=value, settings_hash=settings))
    move_clip(clip, ClipState.SCORED)
