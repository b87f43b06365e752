"""The score stage: every score of a clip in one decode pass.

A clip's scores are complete if it has one by each of today's recipes, and its fingerprint. Planned clips are scored
first; then those that an earlier version scored by fewer or other recipes, which keep their state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from curation.cutting.cut import fail_video
from curation.errors import ErrorClass, StageError
from curation.recipes import keep_recipe
from curation.scores import Scorer, measure
from curation.scores.camera import CameraMotion
from curation.scores.cuts import HardCuts
from curation.scores.exposure import Exposure
from curation.scores.fingerprints import Fingerprints
from curation.scores.frame import frames
from curation.scores.frozen import Frozen
from curation.scores.letterbox import Letterbox
from curation.scores.overlays import Overlay
from curation.scores.transitions import Transitions
from curation.scores.variance import Variance
from curation.sources import locate_clip
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.models import Clip, Fingerprint, Score, Video
from db.recipes import recipe_hash
from db.states import ClipState, VideoState, move_clip

# All that is measured on a clip: one line a scorer.
SCORERS: tuple[type[Scorer], ...] = (
    Variance,
    HardCuts,
    Transitions,
    Letterbox,
    CameraMotion,
    Overlay,
    Exposure,
    Frozen,
    Fingerprints,
)

FINGERPRINT = "fingerprint"
# Claims search their candidates from the first on; among all clips of a large dataset, each search would cost a scan.
CHUNK = 500


@dataclass(frozen=True, kw_only=True)
class Job:
    path: Path
    start_pts: int
    end_pts: int
    frames: int


@dataclass(frozen=True, kw_only=True)
class Scores:
    values: dict[str, float]
    fingerprint: bytes | None = None


@cache
def recipes() -> dict[str, dict[str, Any]]:
    """For each score of today's, and the fingerprint if there is one: the settings it is measured by."""
    settings: dict[str, dict[str, Any]] = {}
    for scorer in SCORERS:
        names = (*scorer.names, *((FINGERPRINT,) if scorer.fingerprints else ()))
        for name in names:
            assert name not in settings, f"two scorers measure {name}"
            settings[name] = {"kind": "score", "version": 1, "name": name, **scorer.settings}
    return settings


def score(job: Job) -> Scores:
    """Score one clip. Raises `StageError` (corrupt) where not all its frames decode."""
    cv2.setNumThreads(1)
    scorers = [scorer() for scorer in SCORERS]
    try:
        count = measure(frames(job.path, job.start_pts, job.end_pts), scorers)
    except ValueError as error:
        raise StageError(ErrorClass.UNSUPPORTED, f"{job.path.name}: {error}") from None
    if count != job.frames:
        raise StageError(ErrorClass.CORRUPT, f"{job.path.name}: {count} of the clip's {job.frames} frames decode")
    values = {name: value for scorer in scorers for name, value in scorer.values().items()}
    fingerprints = [scorer.fingerprint() for scorer in scorers if scorer.fingerprints]
    return Scores(values=values, fingerprint=fingerprints[0] if fingerprints else None)


LEFT = (
    select(Clip.id)
    .join(Video, Video.id == Clip.video_id)
    .where(Clip.state == ClipState.PLANNED, Clip.error.is_(None), Video.state == VideoState.DOWNLOADED)
    .order_by(Clip.video_id, Clip.index)
)


def incomplete() -> Select[Any]:
    """Ids of the clips that are past scoring, but lack a score or the fingerprint by today's recipes."""
    hashes = {name: recipe_hash(settings) for name, settings in recipes().items()}
    printed = hashes.pop(FINGERPRINT, None)
    # A recipe's settings name its score: the hash alone tells both.
    found = select(func.count()).where(Score.clip_id == Clip.id, Score.settings_hash.in_(hashes.values()))
    lacking = found.scalar_subquery() < len(hashes)
    if printed is not None:
        prints = select(Fingerprint.clip_id).where(Fingerprint.settings_hash == printed)
        lacking = or_(lacking, Clip.id.not_in(prints))
    return (
        select(Clip.id)
        .join(Video, Video.id == Clip.video_id)
        .where(
            Clip.state.not_in((ClipState.PLANNED, ClipState.TAKEN_DOWN)),
            Clip.error.is_(None),
            Video.state == VideoState.DOWNLOADED,
            lacking,
        )
        .order_by(Clip.video_id, Clip.index)
    )


def score_clips(catalogue: Catalogue, *, workers: int = 1, done: Callable[[str], None] = lambda item: None) -> Result:
    """Score all planned clips that have not failed, then complete the scores of all others."""
    result = run_stage(catalogue, _stage(catalogue, LEFT), workers=workers, done=done)
    with catalogue.reading() as session:
        again = list(session.scalars(incomplete()))
    for first in range(0, len(again), CHUNK):
        candidates = incomplete().where(Clip.id.in_(again[first : first + CHUNK]))
        more = run_stage(catalogue, _stage(catalogue, candidates), workers=workers, done=done)
        result.done += more.done
        result.failed += more.failed
        result.elsewhere += more.elsewhere
    return result


def _stage(catalogue: Catalogue, candidates: Select[Any]) -> Stage[Job, Scores]:
    return Stage(
        name="score",
        candidates=candidates,
        job=lambda session, clip: _job(catalogue, session, clip),
        work=score,
        store=_store,
        fail=fail_clip,
    )


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
    settings = recipes()
    for name, value in result.values.items():
        used = keep_recipe(session, "score", settings[name])
        session.merge(Score(clip_id=clip_id, name=name, value=value, settings_hash=used))
    clip = session.get_one(Clip, clip_id)
    if result.fingerprint is not None:
        used = keep_recipe(session, "score", settings[FINGERPRINT])
        session.merge(Fingerprint(clip_id=clip_id, hashes=result.fingerprint, settings_hash=used))
        clip.scene = None  # until `update_scenes`
    if clip.state == ClipState.PLANNED:  # else it was scored before, and what has been decided since stands
        move_clip(clip, ClipState.SCORED)
