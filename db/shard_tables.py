"""All of an open shard: its small tables in memory, its large ones as views into a memory map."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from db.manifest import SCHEMA_VERSION, ShardError
from db.shard_codec import Frames
from db.shard_layout import ENCODED, FRAME_OFFSET, FRAMES, MASK_FRAME, MASK_LABELS, extra_region
from db.shard_rows import EXTRA_KINDS, ClipRow


@dataclass(frozen=True, kw_only=True)
class Tables:
    """F frames of N clips, M of them with a label map. Views are read-only.

    Raw frames stand in `frames` (F, H, W, 3). JPEG frames stand in `encoded` (bytes,), frame k from `frame_offset[k]`
    to `frame_offset[k + 1]`, and `frames` is empty.
    """

    attributes: dict[str, Any]
    rows: tuple[ClipRow, ...]
    first: list[int]  # each clip's first frame
    end: list[int]  #   each clip's last frame + 1
    sha256: tuple[str, ...]
    side_sha256: tuple[str, ...]  # empty where nothing stands beside the frames
    frame_count: int
    height: int
    width: int
    frames: Frames
    encoded: Frames | None
    frame_offset: list[int]
    extras: dict[str, NDArray[Any]]  # name -> (F, ...)
    mask_frame: NDArray[np.int64]  #   (M,) ascending
    labels: Frames  #                  (M, H, W)


def read_tables(path: Path, file: h5py.File) -> Tables:
    """Read and check an open shard. Raises `ShardError`, or what h5py raises for damage."""
    attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()}
    version = attributes.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ShardError(
            f"{path}: shard schema version {version}, this version of stillflow reads {SCHEMA_VERSION}; "
            "export again, or update stillflow"
        )
    codec = attributes["codec"]
    if codec not in ("raw", "jpeg"):
        raise ShardError(f"{path}: codec {codec!r} is not known; this version reads 'raw' and 'jpeg'; update stillflow")
    view = _Views(path, file)
    encoded: Frames | None = None
    frame_offset: list[int] = []
    if codec == "raw":
        frames = view(FRAMES, np.dtype(np.uint8), 4, "its frames are not one contiguous (F, H, W, 3) uint8 dataset")
        frame_count = len(frames)
    else:
        frames = np.zeros((0, 0, 0, 3), np.uint8)
        encoded = view(ENCODED, np.dtype(np.uint8), 1, "its encoded frames are not one contiguous row of bytes")
        offsets = view(FRAME_OFFSET, np.dtype("<i8"), 1, "its frame offsets are not one contiguous row of integers")
        if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(encoded) or (np.diff(offsets) < 1).any():
            raise ShardError(f"{path}: its frame offsets do not rise from 0 to its last byte; run: curate verify")
        frame_offset = offsets.tolist()
        frame_count = len(offsets) - 1
    clips = file["clips"]
    columns = {name: clips[name][:] for name in ("offset", "length", "start", "end", "fps", "sha256")}
    texts = {name: clips[name].asstr()[:] for name in ("id", "video_id", "source_url", "licence", "label")}
    beside = {name: _hashes(clips[name][:]) for name in ("side", "side_sha256") if name in clips}
    first: list[int] = columns["offset"].tolist()
    end: list[int] = (columns["offset"] + columns["length"]).tolist()
    if first and (min(first) < 0 or max(end) > frame_count):
        raise ShardError(f"{path}: its clips reach beyond its frames; export again")
    rows = tuple(
        ClipRow(
            **{name: str(values[i]) for name, values in texts.items()},
            start=float(columns["start"][i]),
            end=float(columns["end"][i]),
            fps=float(columns["fps"][i]),
            length=int(columns["length"][i]),
            side=beside["side"][i] if beside else "",
        )
        for i in range(len(first))
    )
    extras = _extras(path, file, view, frame_count)
    mask_frame, labels = _masks(path, file, view, frame_count)
    if (extras or len(mask_frame)) and len(beside.get("side_sha256", ())) != len(rows):
        raise ShardError(f"{path}: its extras and masks have no hashes; export again")
    return Tables(
        attributes=attributes,
        rows=rows,
        first=first,
        end=end,
        sha256=_hashes(columns["sha256"]),
        side_sha256=beside.get("side_sha256", ()),
        frame_count=frame_count,
        height=int(attributes["height"]),
        width=int(attributes["width"]),
        frames=frames,
        encoded=encoded,
        frame_offset=frame_offset,
        extras=extras,
        mask_frame=mask_frame,
        labels=labels,
    )


class _Views:
    """Contiguous datasets as arrays on one memory map of the file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self._path, self._file = path, file
        with path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    def __call__(self, name: str, dtype: np.dtype[Any] | None, dimensions: int | None, fault: str) -> NDArray[Any]:
        """The dataset `name`; `fault` is what is wrong where it is of another kind."""
        dataset = self._file[name]
        offset = dataset.id.get_offset()
        if (
            dataset.chunks is not None
            or offset is None
            or (dtype is not None and dataset.dtype != dtype)
            or (dimensions is not None and dataset.ndim != dimensions)
        ):
            raise ShardError(f"{self._path}: {fault}; export again")
        if offset + dataset.size * dataset.dtype.itemsize > len(self._map):
            raise ShardError(f"{self._path}: truncated; run: curate verify")
        return np.frombuffer(self._map, dataset.dtype, dataset.size, offset).reshape(dataset.shape)


def _hashes(column: NDArray[Any]) -> tuple[str, ...]:
    return tuple(value.decode() for value in column.tolist())


def _extras(path: Path, file: h5py.File, view: _Views, frames: int) -> dict[str, NDArray[Any]]:
    found = {}
    for name in sorted(file["extras"]) if "extras" in file else ():
        values = view(extra_region(name), None, None, f"its extra {name} is not one contiguous dataset")
        if values.dtype.kind not in EXTRA_KINDS or values.ndim < 1 or len(values) != frames:
            raise ShardError(f"{path}: its extra {name} is not one row of numbers a frame; export again")
        found[name] = values
    return found


def _masks(path: Path, file: h5py.File, view: _Views, frames: int) -> tuple[NDArray[np.int64], Frames]:
    if "masks" not in file:
        return np.zeros(0, np.int64), np.zeros((0, 0, 0), np.uint8)
    rows = view(MASK_FRAME, np.dtype("<i8"), 1, "its masked frames are not one contiguous row of integers")
    labels = view(MASK_LABELS, np.dtype(np.uint8), 3, "its masks are not one contiguous (M, H, W) uint8 dataset")
    if len(rows) != len(labels) or (np.diff(rows) < 1).any() or (len(rows) and not 0 <= rows[0] <= rows[-1] < frames):
        raise ShardError(f"{path}: its masks do not stand at ascending frames; run: curate verify")
    return rows, labels
