"""Reading what stands beside the clips of one shard: which rows of the extras, which label maps, on which frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import ErrorClass, StageError
from curation.exporting.plan import NewShard, WantedClip
from curation.exporting.recipe import ExportRecipe
from curation.exporting.resample import shown
from curation.exporting.side import MaskFile, open_extra
from curation.masks.label_maps import fit_labels, geometry, read_png
from curation.probe import probe
from db.files import sha256_of
from db.shards import NO_SIDE, ExtraType, Side


@dataclass(frozen=True, kw_only=True)
class ClipSource:
    """Where a clip's frames are, and what places them among their video's: for rows of extras that are its video's.

    `whole` is the video's own file, if that is there; else frames are placed by `start` and `rate`.
    """

    path: Path
    whole: Path | None
    start: float  # s from the video's first frame
    rate: float | None  # the video's average frames a second
    frames: int | None  # of the video


@dataclass(frozen=True, kw_only=True)
class Places:
    """`rows`: the video's frame, from 0, that each output frame shows. `masks`: (output frame, label map), in order."""

    rows: NDArray[np.int64] | None
    masks: tuple[tuple[int, MaskFile], ...]


class Beside:
    """Extras and masks of a shard's clips. Files are looked at once; safe to use from several threads."""

    def __init__(self, folder: Path, recipe: ExportRecipe, new: NewShard) -> None:
        self._folder = folder
        self._recipe = recipe
        self._types = new.extras
        self._pts = lru_cache(maxsize=8)(lambda path: probe(path).pts)
        self._geometry = lru_cache(maxsize=8)(geometry)
        self._extra = lru_cache(maxsize=64)(self._open_extra)

    def places(self, clip: WantedClip, source: ClipSource) -> Places:
        """Find the frames, from a packet scan. Raises `StageError`."""
        if not clip.extras and not clip.masks:
            return Places(rows=None, masks=())
        grid = clip.grid
        every = self._pts(source.path)
        inside = every[(every >= grid.start_pts) & (every < grid.end_pts)]
        if len(inside) != grid.frame_count:
            raise StageError(
                ErrorClass.CORRUPT,
                f"{source.path.name}: {len(inside)} of the clip's {grid.frame_count} frames are there; "
                "cut the video again",
            )
        frames = shown(inside.tolist(), grid)
        rows = frames + self._first(source, inside) if clip.extras else None
        masks = []
        for file in clip.masks:
            place = int(np.searchsorted(inside, file.pts))
            if inside[min(place, len(inside) - 1)] != file.pts:
                raise StageError(
                    ErrorClass.CORRUPT, f"{source.path.name}: the mask {file.path} is of no frame of this file any more"
                )
            showing = np.flatnonzero(frames == place)
            if len(showing):  # else the lower frame rate leaves this frame out
                masks.append((int(showing[0]), file))
        return Places(rows=rows, masks=tuple(masks))

    def read(self, clip: WantedClip, source: ClipSource, places: Places) -> Side:
        """All that stands beside the clip. Raises `StageError`."""
        if places.rows is None and not places.masks:
            return NO_SIDE
        extras = {}
        for file in clip.extras:
            values = self._extra(file.path, file.name, file.sha256)
            assert places.rows is not None
            if source.frames is not None and len(values) != source.frames:
                raise StageError(
                    ErrorClass.CORRUPT,
                    f"{file.path}: extra {file.name} has {len(values)} rows, the video {source.frames} frames",
                )
            if places.rows[-1] >= len(values):
                raise StageError(
                    ErrorClass.CORRUPT,
                    f"{file.path}: extra {file.name} has {len(values)} rows, the clip needs row {places.rows[-1]}",
                )
            extras[file.name] = self._as_announced(file.name, file.path, values)[places.rows]
        size = self._recipe.size
        labels = np.zeros((len(places.masks), size, size), np.uint8)
        for number, (_, mask) in enumerate(places.masks):
            labels[number] = self._labels(mask, source.path)
        return Side(extras=extras, mask_frames=tuple(frame for frame, _ in places.masks), labels=labels)

    def _first(self, source: ClipSource, inside: NDArray[np.int64]) -> int:
        """The number, among the video's frames, of the clip's first one."""
        if source.whole is not None:
            return int(np.searchsorted(self._pts(source.whole), inside[0]))
        # A video whose file is gone, or that was never fetched whole: its frames can be counted if they are even.
        gaps = np.diff(inside)
        if source.rate is None or (len(gaps) and gaps.max() - gaps.min() > 2):
            raise StageError(
                ErrorClass.UNSUPPORTED,
                f"{source.path.name}: its video is not here whole and its frames are not evenly spaced, "
                "so the rows of its extras cannot be found; download the video again",
            )
        return round(source.start * source.rate)

    def _open_extra(self, path: str, name: str, sha256: str) -> NDArray[Any]:
        values = open_extra(self._folder / path, name)
        if sha256_of(self._folder / path) != sha256:
            raise StageError(ErrorClass.CORRUPT, f"{path}: extra {name} was changed; import the video again")
        return values

    def _as_announced(self, name: str, path: str, values: NDArray[Any]) -> NDArray[Any]:
        kind = self._types.get(name)
        if kind is None or ExtraType(dtype=values.dtype.newbyteorder("<").str, shape=values.shape[1:]) != kind:
            raise StageError(ErrorClass.UNSUPPORTED, f"{path}: extra {name} is not one row of numbers a frame")
        return values.astype(kind.dtype, copy=False)

    def _labels(self, file: MaskFile, source: Path) -> NDArray[np.uint8]:
        path = self._folder / file.path
        try:
            if sha256_of(path) != file.sha256:
                raise StageError(ErrorClass.CORRUPT, f"{file.path}: the mask was changed; run: curate masks")
            labels = read_png(path)
        except OSError as error:
            raise StageError(ErrorClass.CORRUPT, f"{file.path}: {error.strerror}; run: curate masks") from None
        stands = self._geometry(source)
        if labels.shape != (stands.height, stands.width):
            raise StageError(
                ErrorClass.CORRUPT,
                f"{file.path}: {labels.shape[1]}x{labels.shape[0]}, the frames are {stands.width}x{stands.height}",
            )
        return fit_labels(labels, stands, size=self._recipe.size, fit=self._recipe.fit)
