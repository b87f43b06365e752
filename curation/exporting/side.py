"""What stands beside a clip's frames in a shard: a video's extras and its label maps, on the clip's output frames."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.errors import ErrorClass, StageError
from curation.exporting.recipe import MaskOrigin
from db.models import Clip, Extra, Mask
from db.recipes import recipe_hash
from db.shards import ExtraType
from db.states import ClipState


@dataclass(frozen=True, kw_only=True)
class ExtraFile:
    """A video's extra: an .npy with one row a frame. `path` is relative to the dataset folder."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """The label map of the video's frame at `pts`. `path` is relative to the dataset folder."""

    pts: int
    path: str
    sha256: str


def extras_of_videos(session: Session) -> dict[str, tuple[ExtraFile, ...]]:
    """Each video's extras, by name."""
    found: dict[str, list[ExtraFile]] = defaultdict(list)
    for row in session.execute(
        select(Extra.video_id, Extra.name, Extra.path, Extra.sha256).order_by(Extra.video_id, Extra.name)
    ):
        found[row.video_id].append(ExtraFile(name=row.name, path=row.path, sha256=row.sha256))
    return {video: tuple(files) for video, files in found.items()}


def masks_of_clips(session: Session, origin: MaskOrigin) -> dict[str, tuple[MaskFile, ...]]:
    """The label maps that fall into each accepted clip, by time."""
    found: dict[str, list[MaskFile]] = defaultdict(list)
    for row in session.execute(
        select(Clip.id, Mask.pts, Mask.path, Mask.sha256)
        .join(Mask, Mask.video_id == Clip.video_id)
        .where(
            Clip.state == ClipState.ACCEPTED,
            Mask.origin == origin,
            Mask.pts >= Clip.start_pts,
            Mask.pts < Clip.end_pts,
        )
        .order_by(Clip.id, Mask.pts)
    ):
        found[row.id].append(MaskFile(pts=row.pts, path=row.path, sha256=row.sha256))
    return {clip: tuple(files) for clip, files in found.items()}


def side_hash(extras: Sequence[ExtraFile], masks: Sequence[MaskFile]) -> str:
    """From which files a clip's extras and masks come; empty where it has none."""
    if not extras and not masks:
        return ""
    return recipe_hash(
        {
            "extras": {file.name: file.sha256 for file in extras},
            "masks": {str(file.pts): file.sha256 for file in masks},
        }
    )


def extra_types(folder: Path, files: Iterable[ExtraFile]) -> dict[str, ExtraType | None]:
    """What a row of each extra is, from the files' heads, by path; None where that cannot be read or kept."""
    types: dict[str, ExtraType | None] = {}
    for file in files:
        if file.path not in types:
            try:
                values = open_extra(folder / file.path, file.name)
                types[file.path] = ExtraType(dtype=values.dtype.newbyteorder("<").str, shape=values.shape[1:])
            except (StageError, ValueError):  # told when the shard is made
                types[file.path] = None
    return types


def open_extra(path: Path, name: str) -> np.ndarray:
    """An extra's rows, (frames, ...), mapped and not read. Raises `StageError` (corrupt, unsupported)."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        # Not "missing": that is for the video's own file.
        raise StageError(ErrorClass.CORRUPT, f"{path}: extra {name} is gone; import the video again") from None
    except (OSError, ValueError, EOFError) as error:
        raise StageError(ErrorClass.CORRUPT, f"{path}: extra {name} cannot be read ({error})") from None
    if not isinstance(values, np.ndarray) or values.ndim < 1 or not name or set(name) & set("/."):
        raise StageError(ErrorClass.UNSUPPORTED, f"{path}: extra {name!r} is no array with one row a frame")
    return values
