"""Label maps of videos' frames: taken in from a folder that any segmenter or painter filled, matched by file name.

<clip id>.png            the clip's first frame
<clip id>-<frame>.png    that frame of the clip, from 0, counted in the source's frames
<video id>@<seconds>.png the video's frame nearest to this time, from its first frame on
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from curation.errors import ErrorClass, StageError
from curation.exporting.recipe import MaskOrigin
from curation.masks.label_maps import Geometry, Labels, geometry, png_bytes, read_png
from curation.probe import probe
from curation.recipes import keep_recipe
from curation.sources import locate, locate_clip
from db.engine import Catalogue
from db.files import replacing
from db.models import Clip, Mask, Section, Video
from db.recipes import recipe_hash

T = TypeVar("T")
MASKS = "masks"  # the folder, in the dataset
BATCH = 64  # masks in one transaction
CHUNK = 500  # ids asked for in one query
AT = re.compile(r"(?P<video>.+)@(?P<seconds>\d+(?:\.\d+)?)")
FRAME = re.compile(r"(?P<clip>.+)-(?P<frame>\d+)")


@dataclass(kw_only=True)
class Imported:
    """What became of the files: `failed` are (file, error)."""

    stored: int = 0
    unchanged: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)  # files that are no PNG


@dataclass(frozen=True, kw_only=True)
class _Match:
    """A file and the frame that it is of."""

    file: Path
    video_id: str
    path: Path  # a file that holds the frame
    pts: int


def import_masks(
    catalogue: Catalogue,
    folder: Path,
    *,
    classes: Mapping[int, str] | None = None,
    done: Callable[[str], None] = lambda file: None,
) -> Imported:
    """Take in all label maps of a folder. Files stand in their place before their rows do.

    `classes` names the values; a map with another value fails. Raises `OSError` for a full disk.
    """
    result = Imported()
    settings = {
        "kind": "mask",
        "version": 1,
        "origin": "given",
        "classes": {str(value): name for value, name in sorted((classes or {}).items())},
    }
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    result.left_alone = [path.name for path in files if path.suffix.lower() != ".png"]
    look = _Look()
    taken: dict[tuple[str, int], str] = {}
    for some in _chunks([path for path in files if path.suffix.lower() == ".png"], BATCH):
        found: list[tuple[_Match, bytes]] = []
        for match in _matched(catalogue, some, look, result):
            try:
                labels = _checked(read_png(match.file), look.geometry(match.path), match.file.name, classes)
                first = taken.setdefault((match.video_id, match.pts), match.file.name)
                if first != match.file.name:
                    raise StageError(ErrorClass.UNSUPPORTED, f"is of the same frame as {first}, which was taken")
                found.append((match, png_bytes(labels)))
            except StageError as error:
                result.failed.append((match.file.name, error.message))
        _store(catalogue, found, settings, result)
        for path in some:
            done(path.name)
    return result


def mask_path(video_id: str, pts: int, origin: MaskOrigin, digest: str) -> str:
    """Where a label map stands, relative to the dataset folder: another map of the same frame is another file."""
    return f"{MASKS}/{video_id}/{pts}-{origin}-{digest[:12]}.png"


def write_mask(catalogue_folder: Path, stored: str, content: bytes) -> None:
    """Put a label map in its place, whole."""
    path = catalogue_folder / stored
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def count_masks(session: Session) -> list[tuple[str, int, int]]:
    """(origin, masks, videos) of all origins that there are masks of."""
    rows = session.execute(
        select(Mask.origin, func.count(), func.count(Mask.video_id.distinct())).group_by(Mask.origin)
    )
    return [(origin, masks, videos) for origin, masks, videos in rows]


def remove_masks(catalogue: Catalogue, origin: MaskOrigin) -> int:
    """Forget all masks of an origin and delete their files. Returns how many they were."""
    with catalogue.writing() as session:
        paths = list(session.scalars(select(Mask.path).where(Mask.origin == origin)))
        session.execute(delete(Mask).where(Mask.origin == origin))
    # Also what a killed command left behind without a row.
    for path in {catalogue.path(path) for path in paths} | {*(catalogue.folder / MASKS).glob(f"*/*-{origin}-*.png")}:
        path.unlink(missing_ok=True)
    return len(paths)


class _Look:
    """Frame times and geometry of files, each looked at once while files of the same video follow each other."""

    def __init__(self) -> None:
        self.pts = lru_cache(maxsize=8)(lambda path: probe(path).pts)
        self.time_base = lru_cache(maxsize=8)(lambda path: probe(path).time_base)
        self.geometry: Callable[[Path], Geometry] = lru_cache(maxsize=8)(geometry)


def _matched(catalogue: Catalogue, files: Sequence[Path], look: _Look, result: Imported) -> Iterator[_Match]:
    """The files whose frames are there; the others are told as failed."""
    with catalogue.reading() as session:
        clips, videos = _named(session, [path.stem for path in files])
        for path in files:
            try:
                yield _match(catalogue, session, path, clips, videos, look)
            except StageError as error:
                result.failed.append((path.name, error.message))


def _named(session: Session, stems: Iterable[str]) -> tuple[dict[str, Clip], dict[str, Video]]:
    """The clips and videos that these names may mean."""
    clip_ids: set[str] = set()
    video_ids: set[str] = set()
    for stem in stems:
        if at := AT.fullmatch(stem):
            video_ids.add(at["video"])
        clip_ids.add(stem)
        if numbered := FRAME.fullmatch(stem):
            clip_ids.add(numbered["clip"])
    clips: dict[str, Clip] = {}
    for some in _chunks(sorted(clip_ids), CHUNK):
        clips |= {clip.id: clip for clip in session.scalars(select(Clip).where(Clip.id.in_(some)))}
    video_ids.update(clip.video_id for clip in clips.values())
    videos: dict[str, Video] = {}
    for some in _chunks(sorted(video_ids), CHUNK):
        videos |= {video.id: video for video in session.scalars(select(Video).where(Video.id.in_(some)))}
    return clips, videos


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[first : first + size] for first in range(0, len(items), size))


def _match(
    catalogue: Catalogue,
    session: Session,
    file: Path,
    clips: Mapping[str, Clip],
    videos: Mapping[str, Video],
    look: _Look,
) -> _Match:
    if clip := clips.get(file.stem):
        return _of_clip(catalogue, session, file, clip, 0, look)
    numbered = FRAME.fullmatch(file.stem)
    if numbered and (clip := clips.get(numbered["clip"])):
        return _of_clip(catalogue, session, file, clip, int(numbered["frame"]), look)
    at = AT.fullmatch(file.stem)
    if at and (video := videos.get(at["video"])):
        return _at_time(catalogue, session, file, video, Fraction(at["seconds"]), look)
    raise StageError(
        ErrorClass.UNSUPPORTED,
        "names no clip or video of this dataset (<clip id>.png, <clip id>-<frame>.png, <video id>@<seconds>.png)",
    )


def _of_clip(catalogue: Catalogue, session: Session, file: Path, clip: Clip, frame: int, look: _Look) -> _Match:
    if frame >= clip.frame_count:
        raise StageError(ErrorClass.UNSUPPORTED, f"the clip has {clip.frame_count} frames, counted from 0")
    path = locate_clip(catalogue, session, clip)
    pts = clip.start_pts
    if frame:
        every = look.pts(path)
        inside = every[(every >= clip.start_pts) & (every < clip.end_pts)]
        if len(inside) != clip.frame_count:
            raise StageError(ErrorClass.CORRUPT, f"{path.name} does not hold the clip's frames; cut the video again")
        pts = int(inside[frame])
    return _Match(file=file, video_id=clip.video_id, path=path, pts=pts)


def _at_time(
    catalogue: Catalogue, session: Session, file: Path, video: Video, seconds: Fraction, look: _Look
) -> _Match:
    first: int | None = None
    if video.path is None:
        section = session.scalar(
            select(Section)
            .where(
                Section.video_id == video.id,
                Section.path.is_not(None),
                Section.start <= float(seconds),
                Section.end > float(seconds),
            )
            .limit(1)
        )
        if section is None or section.path is None:
            raise StageError(ErrorClass.MISSING, f"no file of video {video.id} holds this time")
        path, first = catalogue.path(section.path), section.first_pts
    else:
        path = locate(catalogue, video)
    every = look.pts(path)
    wanted = (int(every[0]) if first is None else first) + seconds / look.time_base(path)
    nearest = int(every[np.argmin(np.abs(every - float(wanted)))])
    step = float(np.median(np.diff(every))) if len(every) > 1 else 1.0
    if abs(nearest - float(wanted)) > step:
        raise StageError(ErrorClass.UNSUPPORTED, f"video {video.id} has no frame at {float(seconds)} s")
    return _Match(file=file, video_id=video.id, path=path, pts=nearest)


def _checked(labels: Labels, frame: Geometry, name: str, classes: Mapping[int, str] | None) -> Labels:
    """The map at the size of the stored frame. Raises `StageError` for another size, or a value without a class."""
    if classes is not None:
        unknown = sorted({*np.unique(labels).tolist()} - set(classes))
        if unknown:
            told = ", ".join(map(str, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            raise StageError(ErrorClass.UNSUPPORTED, f"has values that no class names: {told}")
    stored = (frame.height, frame.width)
    if labels.shape == stored:
        return labels
    if labels.shape == frame.shown:  # painted with square pixels
        resized = cv2.resize(labels, (frame.width, frame.height), interpolation=cv2.INTER_NEAREST_EXACT)
        return np.asarray(resized, np.uint8)
    raise StageError(
        ErrorClass.UNSUPPORTED,
        f"is {labels.shape[1]}x{labels.shape[0]}, the video's frames are {frame.width}x{frame.height}",
    )


def _store(
    catalogue: Catalogue, found: Sequence[tuple[_Match, bytes]], settings: Mapping[str, Any], result: Imported
) -> None:
    rows: list[Mask] = []
    key = recipe_hash(settings)
    for match, content in found:
        digest = hashlib.sha256(content).hexdigest()
        stored = mask_path(match.video_id, match.pts, "given", digest)
        if not catalogue.path(stored).is_file():
            write_mask(catalogue.folder, stored, content)
        rows.append(
            Mask(
                video_id=match.video_id,
                pts=match.pts,
                origin="given",
                path=stored,
                sha256=digest,
                settings_hash=key,
            )
        )
    old: list[str] = []
    with catalogue.writing() as session:
        keep_recipe(session, "mask", settings)
        for new in rows:
            row = session.get(Mask, (new.video_id, new.pts, "given"))
            if row is not None and (row.path, row.sha256, row.settings_hash) == (new.path, new.sha256, key):
                result.unchanged += 1
                continue
            if row is not None and row.path != new.path:
                old.append(row.path)
            session.merge(new)
            result.stored += 1
    for path in old:
        catalogue.path(path).unlink(missing_ok=True)
