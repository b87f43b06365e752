"""Clips as files of their own: frame-exact, re-encoded, with the source's own timestamps and time base.

A stream copy cannot begin where a clip does. Scores, previews and exports read a clip's file once it has one; what was
exported before stays as it is. Unless `lossless`, its frames are one generation further from the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream
from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from curation.cutting.cut import fail_video
from curation.decode import decode, pixel_aspect
from curation.errors import ErrorClass, StageError
from curation.probe import probe
from curation.recipes import keep_recipe
from curation.sources import locate_clip
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.files import replacing, sha256_of
from db.models import Clip, Recipe, Section, Video
from db.states import ClipState, VideoState

CLIPS = "clips"  # the folder, in the dataset
UNWANTED = (ClipState.FILTERED, ClipState.REJECTED, ClipState.TAKEN_DOWN)
# Fragments state the time of their first packet as it is; an edit list would round it.
MUXER = {
    "movflags": "empty_moov+default_base_moof+frag_keyframe+frag_discont",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
    "fflags": "+bitexact",
}


@dataclass(frozen=True, kw_only=True)
class FileRecipe:
    """How clip files are encoded: H.264 at constant quality (`crf`, smaller is better), or without any loss."""

    lossless: bool = False
    crf: int = 14

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf is from 0 to 51, not {self.crf}")

    def settings(self) -> dict[str, Any]:
        """As stored and hashed."""
        quality = {} if self.lossless else {"crf": self.crf}
        return {"kind": "file", "version": 1, "lossless": self.lossless, **quality}


@dataclass(frozen=True, kw_only=True)
class Job:
    source: Path
    target: Path  # without its suffix
    start_pts: int
    end_pts: int
    frames: int
    recipe: FileRecipe


@dataclass(frozen=True, kw_only=True)
class ClipFile:
    """A finished file."""

    path: Path
    sha256: str
    bytes: int


def make_file(job: Job) -> ClipFile:
    """Write one clip's file. Raises `StageError`: corrupt if not all its frames decode, unsupported for odd formats."""
    target = job.target.with_name(f"{job.target.name}.mp4")
    with replacing(target) as temporary:
        written, base, rotation = _encode(job, temporary)
        info = probe(temporary)
        if (info.time_base, info.rotation) != (base, rotation) or not np.array_equal(info.pts, written):
            raise StageError(ErrorClass.UNSUPPORTED, f"{job.source.name}: no clip file can hold the clip's times")
        return ClipFile(path=target, sha256=sha256_of(temporary), bytes=temporary.stat().st_size)


def _encode(job: Job, path: Path) -> tuple[list[int], Fraction, int]:
    """Encode the clip's frames. Returns their times, the time base and the rotation that the file asks for."""
    source = job.source.name
    written: list[int] = []
    aspect = pixel_aspect(job.source)
    frames = decode(job.source, job.start_pts, job.end_pts)
    first = next(frames, None)
    if first is None or first.time_base is None:
        raise StageError(ErrorClass.CORRUPT, f"{source}: none of the clip's frames decode")
    base, rotation = first.time_base, round(first.rotation / 90) * 90 % 360
    if base.numerator != 1:
        raise StageError(ErrorClass.UNSUPPORTED, f"{source}: no clip file can hold times in {base} s")
    options = MUXER | {"video_track_timescale": str(base.denominator)}
    with av.open(str(path), "w", format="mp4", options=options) as output:
        stream = _stream(output, first, base, job.recipe, source)
        stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in chain((first,), frames):
            if (frame.width, frame.height, frame.format.name) != (first.width, first.height, first.format.name):
                raise StageError(ErrorClass.UNSUPPORTED, f"{source}: its pictures change their size or format")
            written.append(frame.pts or 0)
            if frame.format.name != stream.pix_fmt:
                frame = frame.reformat(format=stream.pix_fmt, threads=1)
            frame.pict_type = PictureType.NONE  # where the source has its key frames is nothing to us
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    if len(written) != job.frames:
        raise StageError(ErrorClass.CORRUPT, f"{source}: {len(written)} of the clip's {job.frames} frames decode")
    return written, base, rotation


def _stream(
    output: OutputContainer, frame: av.VideoFrame, base: Fraction, recipe: FileRecipe, source: str
) -> VideoStream:
    """The H.264 encoder, for the pictures as they are: their format, size and colours."""
    pixels = frame.format.name
    odd = (frame.width % 2 and frame.format.chroma_width(2) == 1) or (
        frame.height % 2 and frame.format.chroma_height(2) == 1
    )
    if odd and not recipe.lossless:
        pixels = "yuv444p"  # the encoder halves the chroma of even sizes alone
    codec = next((name for name in ("libx264", "libx264rgb") if pixels in formats(name)), None)
    if codec is None and frame.format.is_rgb and frame.format.components[0].bits == 8:
        codec, pixels = "libx264rgb", "rgb24"
    if codec is None or (odd and recipe.lossless):
        size = f" of {frame.width}x{frame.height}" if odd else ""
        raise StageError(ErrorClass.UNSUPPORTED, f"{source}: no clip file can hold {frame.format.name} pictures{size}")
    # x264 counts its quality from further below where there are more bits.
    quality = -6 * (frame.format.components[0].bits - 8) if recipe.lossless else recipe.crf
    options = {"preset": "veryfast", "bf": "0", "threads": "1", "x264-params": f"crf={quality}"}
    # The rate is a hint; each frame has its own time.
    stream = output.add_stream(codec, rate=25, options=options)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixels
    context = stream.codec_context
    context.thread_count = 1
    stream.time_base = context.time_base = base
    context.color_range, context.colorspace = frame.color_range, frame.colorspace
    context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
    return stream


@cache
def formats(codec: str) -> frozenset[str]:
    """Names of the pixel formats that an encoder takes."""
    return frozenset(each.name for each in av.codec.Codec(codec, "w").video_formats or ())


def left() -> Select[Any]:
    """Ids of the clips that may still be wanted and have no file of their own, but can have one."""
    return _without_file(Clip.time_base_num == 1)


def unfit() -> Select[Any]:
    """Ids of those whose times no MP4 can hold, such as AVI's at 29.97 frames a second: they need their source."""
    return _without_file(Clip.time_base_num != 1)


def _without_file(of: ColumnElement[bool]) -> Select[Any]:
    return (
        select(Clip.id)
        .join(Video, Video.id == Clip.video_id)
        .where(of, Clip.path.is_(None), Clip.state.not_in(UNWANTED), Clip.error.is_(None))
        .where(Video.state == VideoState.DOWNLOADED, Video.pruned_at.is_(None))
        .order_by(Clip.video_id, Clip.index)
    )


def materialise(
    catalogue: Catalogue, recipe: FileRecipe, *, workers: int = 1, done: Callable[[str], None] = lambda item: None
) -> Result:
    """Give every clip that may still be wanted a file of its own."""
    (catalogue.folder / CLIPS).mkdir(exist_ok=True)
    with catalogue.writing() as session:
        key = keep_recipe(session, "file", recipe.settings())
    stage: Stage[Job, ClipFile] = Stage(
        name="materialise",
        candidates=left(),
        job=lambda session, clip: _job(catalogue, session, clip, recipe),
        work=make_file,
        store=lambda session, clip, made: _store(session, clip, made, key),
        fail=_fail,
    )
    return run_stage(catalogue, stage, workers=workers, done=done)


def _job(catalogue: Catalogue, session: Session, clip_id: str, recipe: FileRecipe) -> Job:
    clip = session.get_one(Clip, clip_id)
    return Job(
        source=locate_clip(catalogue, session, clip),
        target=catalogue.folder / CLIPS / clip_id,
        start_pts=clip.start_pts,
        end_pts=clip.end_pts,
        frames=clip.frame_count,
        recipe=recipe,
    )


def _store(session: Session, clip_id: str, made: ClipFile, key: str) -> None:
    clip = session.get_one(Clip, clip_id)
    if clip.state == ClipState.TAKEN_DOWN:  # meanwhile
        made.path.unlink(missing_ok=True)
        return
    clip.path, clip.sha256, clip.bytes, clip.file_recipe = f"{CLIPS}/{made.path.name}", made.sha256, made.bytes, key


def _fail(session: Session, clip_id: str, error: StageError) -> None:
    clip = session.get_one(Clip, clip_id)
    if error.error_class == ErrorClass.MISSING:
        fail_video(session, clip.video_id, error)
        return
    clip.error = str(error)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What clip files come to, and the sources that they were made from. Bytes."""

    files: int
    bytes: int
    source_bytes: int
    lossy: int  # files


def sizes(session: Session) -> Sizes:
    """Of all clips that have a file."""
    files, total = session.execute(
        select(func.count(), func.coalesce(func.sum(Clip.bytes), 0)).where(Clip.path.is_not(None))
    ).one()
    made = select(Clip.video_id).where(Clip.path.is_not(None))
    videos = session.scalar(select(func.sum(Video.bytes)).where(Video.id.in_(made), Video.path.is_not(None)))
    sections = session.scalar(
        select(func.sum(Section.bytes)).where(Section.video_id.in_(made), Section.path.is_not(None))
    )
    recipes = session.execute(
        select(Recipe.settings, func.count()).join(Clip, Clip.file_recipe == Recipe.hash).group_by(Recipe.hash)
    )
    lossy = sum(number for settings, number in recipes if not settings["lossless"])
    return Sizes(files=files, bytes=total or 0, source_bytes=(videos or 0) + (sections or 0), lossy=lossy)
