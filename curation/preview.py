"""The preview stage: one small H.264 loop a clip, for the grid: 160x90, the whole clip at 10 frames a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from curation.cutting.cut import fail_video
from curation.decode import Resizer, decode, pixel_aspect, plane
from curation.errors import ErrorClass, StageError
from curation.ranking.appearance import Appearance
from curation.sources import locate_clip
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.files import replacing
from db.models import Clip, Preview, Video
from db.states import ClipState, VideoState

HEIGHT, WIDTH, FPS = 90, 160, 10
SHOWN = (ClipState.PENDING, ClipState.ACCEPTED, ClipState.REJECTED)


@dataclass(frozen=True, kw_only=True)
class Job:
    source: Path
    target: Path
    start_pts: int
    end_pts: int
    time_base: Fraction


@dataclass(frozen=True, kw_only=True)
class Made:
    """A preview that was written: its frames, and how they look (`curation.ranking.appearance`)."""

    frames: int
    appearance: bytes


def make_preview(job: Job) -> Made:
    """Write one preview. Raises `StageError` if the clip does not decode."""
    look = Appearance()
    with replacing(job.target) as temporary:
        count = 0
        with av.open(str(temporary), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=FPS, options={"crf": "24", "preset": "veryfast"})
            stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
            stream.codec_context.thread_count = 1
            for pixels in _small_frames(job):
                look.push(pixels)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
                count += 1
            container.mux(stream.encode())
        if count == 0:
            raise StageError(ErrorClass.CORRUPT, f"{job.source.name}: none of the clip's frames decode")
    return Made(frames=count, appearance=look.packed())


def _small_frames(job: Job) -> Iterator[NDArray[np.uint8]]:
    """The clip at 10 frames a second, each the newest source frame of its moment; only those are resized."""
    resizer = Resizer(height=HEIGHT, width=WIDTH, fit="pad", pixel_aspect=pixel_aspect(job.source))
    tick = 1 / (job.time_base * FPS)
    wanted = Fraction(job.start_pts)
    newest: av.VideoFrame | None = None
    for frame in decode(job.source, job.start_pts, job.end_pts):
        assert frame.pts is not None
        if newest is not None and frame.pts > wanted:
            pixels = plane(resizer.push(newest))
            while wanted < frame.pts:
                yield pixels
                wanted += tick
        newest = frame
    if newest is not None:
        pixels = plane(resizer.push(newest))
        while wanted < job.end_pts:
            yield pixels
            wanted += tick


LEFT = (
    select(Clip.id)
    .join(Video, Video.id == Clip.video_id)
    .where(Clip.state.in_(SHOWN), Video.state == VideoState.DOWNLOADED, ~exists().where(Preview.clip_id == Clip.id))
    .order_by(Clip.video_id, Clip.index)
)


def make_previews(catalogue: Catalogue, *, workers: int = 1, done: Callable[[str], None] = lambda item: None) -> Result:
    """Make the previews of all clips that await or have had a review and have none."""
    stage: Stage[Job, Made] = Stage(
        name="preview",
        candidates=LEFT,
        job=lambda session, clip: _job(catalogue, session, clip),
        work=make_preview,
        store=lambda session, clip, made: _store(catalogue, session, clip, made),
        fail=_fail,
    )
    return run_stage(catalogue, stage, workers=workers, done=done)


def preview_path(clip_id: str) -> str:
    """Where a clip's preview stands, relative to the dataset folder."""
    return f"previews/{clip_id}.mp4"


def _job(catalogue: Catalogue, session: Session, clip_id: str) -> Job:
    clip = session.get_one(Clip, clip_id)
    return Job(
        source=locate_clip(catalogue, session, clip),
        target=catalogue.path(preview_path(clip_id)),
        start_pts=clip.start_pts,
        end_pts=clip.end_pts,
        time_base=Fraction(clip.time_base_num, clip.time_base_den),
    )


def _store(catalogue: Catalogue, session: Session, clip_id: str, made: Made) -> None:
    if session.get_one(Clip, clip_id).state == ClipState.TAKEN_DOWN:  # meanwhile
        catalogue.path(preview_path(clip_id)).unlink(missing_ok=True)
        return
    session.add(
        Preview(
            clip_id=clip_id,
            path=preview_path(clip_id),
            width=WIDTH,
            height=HEIGHT,
            fps=FPS,
            frames=made.frames,
            appearance=made.appearance,
        )
    )


def _fail(session: Session, clip_id: str, error: StageError) -> None:
    if error.error_class == ErrorClass.MISSING:
        fail_video(session, session.get_one(Clip, clip_id).video_id, error)
        return
    # The grid shows the error in the clip's cell; a curator decides.
    session.add(Preview(clip_id=clip_id, error=str(error), width=WIDTH, height=HEIGHT, fps=FPS, frames=0))
