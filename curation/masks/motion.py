"""Masks of what moves: pixels whose temporal variance over a clip reaches a threshold.

Such a mask of a clip's first frame knows the frames after it. It is fit to train an `input` mask that a person paints
later, and never for a test; its origin in the catalogue, `motion`, says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session

from curation.decode import rgb
from curation.errors import ErrorClass, StageError
from curation.masks.given import mask_path, write_mask
from curation.masks.label_maps import geometry, png_bytes, turned
from curation.recipes import keep_recipe
from curation.scores.stage import fail_clip
from curation.sources import locate_clip
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.models import Clip, Mask, Video
from db.recipes import recipe_hash
from db.states import ClipState, VideoState

THRESHOLD = 0.001  # as the clip's own variance has it (thesis, section 3.9)


@dataclass(frozen=True, kw_only=True)
class MotionRecipe:
    """`threshold`: the least temporal variance of a moving pixel, mean over RGB, values in [0, 1]."""

    threshold: float = THRESHOLD

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 0.25:
            raise ValueError(f"the threshold must be above 0 and at most 0.25, not {self.threshold}")

    def settings(self) -> dict[str, Any]:
        """As stored and hashed."""
        return {
            "kind": "mask",
            "version": 1,
            "origin": "motion",
            "threshold": self.threshold,
            "classes": {"0": "still", "1": "moving"},
        }

    @property
    def hash(self) -> str:
        return recipe_hash(self.settings())


@dataclass(frozen=True, kw_only=True)
class Job:
    folder: Path
    path: Path
    video_id: str
    start_pts: int
    end_pts: int
    frames: int
    threshold: float


@dataclass(frozen=True, kw_only=True)
class Made:
    """A mask in its place."""

    path: str
    sha256: str


def pixel_variance(frames: Iterable[NDArray[np.uint8]], count: int) -> NDArray[np.float64]:
    """(H, W) temporal variance of each pixel, the mean over its three channels, of values in [0, 1].

    Streaming: sum(x^2)/T - mean^2 a value (Eq. 3.19), both sums of integers and exact in float64. Raises `StageError`
    (corrupt, unsupported) where not all `count` frames come, or their size changes.
    """
    total = squares = None
    came = 0
    for frame in frames:
        if total is None or squares is None:
            total, squares = np.zeros(frame.shape), np.zeros(frame.shape)
        elif total.shape != frame.shape:
            raise StageError(ErrorClass.UNSUPPORTED, "the frame size changes within the clip")
        cv2.accumulate(frame, total)
        cv2.accumulateSquare(frame, squares)
        came += 1
    if total is None or squares is None or came != count:
        raise StageError(ErrorClass.CORRUPT, f"{came} of the clip's {count} frames decode")
    variance: NDArray[np.float64] = (squares / came - (total / came) ** 2).mean(axis=2) / 255**2
    return variance


def motion_mask(job: Job) -> Made:
    """Make one clip's mask: 1 where it moves, 0 elsewhere. Raises `StageError`."""
    cv2.setNumThreads(1)
    try:
        variance = pixel_variance(rgb(job.path, job.start_pts, job.end_pts), job.frames)
    except StageError as error:
        raise StageError(error.error_class, f"{job.path.name}: {error.message}") from None
    labels = turned((variance >= job.threshold).astype(np.uint8), geometry(job.path).rotation)
    content = png_bytes(labels)
    digest = hashlib.sha256(content).hexdigest()
    made = Made(path=mask_path(job.video_id, job.start_pts, "motion", digest), sha256=digest)
    write_mask(job.folder, made.path, content)
    return made


def clips_without(recipe: MotionRecipe) -> Select[Any]:
    """Accepted clips that have no mask of this recipe."""
    made = exists().where(
        Mask.video_id == Clip.video_id,
        Mask.pts == Clip.start_pts,
        Mask.origin == "motion",
        Mask.settings_hash == recipe.hash,
    )
    return (
        select(Clip.id)
        .join(Video, Video.id == Clip.video_id)
        .where(
            Clip.state == ClipState.ACCEPTED,
            Clip.error.is_(None),
            or_(Video.state == VideoState.DOWNLOADED, Clip.path.is_not(None)),
            ~made,
        )
        .order_by(Clip.video_id, Clip.index)
    )


def make_motion_masks(
    catalogue: Catalogue, recipe: MotionRecipe, *, workers: int = 1, done: Callable[[str], None] = lambda item: None
) -> Result:
    """Make the masks of all accepted clips that have none of this recipe."""
    with catalogue.writing() as session:
        keep_recipe(session, "mask", recipe.settings())
    stage: Stage[Job, Made] = Stage(
        name="masks",
        candidates=clips_without(recipe),
        job=lambda session, clip: _job(catalogue, session, clip, recipe),
        work=motion_mask,
        store=lambda session, clip, made: _store(catalogue, session, clip, made, recipe),
        fail=fail_clip,
    )
    return run_stage(catalogue, stage, workers=workers, done=done)


def _job(catalogue: Catalogue, session: Session, clip_id: str, recipe: MotionRecipe) -> Job:
    clip = session.get_one(Clip, clip_id)
    return Job(
        folder=catalogue.folder,
        path=locate_clip(catalogue, session, clip),
        video_id=clip.video_id,
        start_pts=clip.start_pts,
        end_pts=clip.end_pts,
        frames=clip.frame_count,
        threshold=recipe.threshold,
    )


def _store(catalogue: Catalogue, session: Session, clip_id: str, made: Made, recipe: MotionRecipe) -> None:
    clip = session.get_one(Clip, clip_id)
    row = session.get(Mask, (clip.video_id, clip.start_pts, "motion"))
    if row is not None and row.path != made.path:
        catalogue.path(row.path).unlink(missing_ok=True)  # of another threshold; a kill here makes it anew
    session.merge(
        Mask(
            video_id=clip.video_id,
            pts=clip.start_pts,
            origin="motion",
            path=made.path,
            sha256=made.sha256,
            settings_hash=recipe.hash,
        )
    )
