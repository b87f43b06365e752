"""The objects of a shard, laid out by HDF5 in memory: all that is small, and where in the file the large ones go."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardError
from db.shard_rows import ClipRow, SideLayout

FRAMES, ENCODED, FRAME_OFFSET = "frames", "frames_encoded", "frame_offset"
MASK_FRAME, MASK_LABELS = "masks/frame", "masks/labels"


def extra_region(name: str) -> str:
    """The HDF5 path of an extra."""
    return f"extras/{name}"


@dataclass(frozen=True, kw_only=True)
class Region:
    """A large dataset that is plain bytes in the file: contiguous, no chunks, no filter."""

    shape: tuple[int, ...]
    dtype: str = "u1"

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`head`: the file's first bytes; its length does not depend on the hashes or on the last region's size."""

    head: bytes
    offsets: Mapping[str, int]  # region -> its first byte in the file


def regions_of(
    rows: Sequence[ClipRow], side: SideLayout, shape: tuple[int, ...], encoded_bytes: int | None
) -> dict[str, Region]:
    """The large datasets in their order in the file, the frames last. `encoded_bytes` None: raw frames."""
    frames, masks = sum(row.length for row in rows), sum(side.masks)
    regions = {
        extra_region(name): Region(shape=(frames, *kind.shape), dtype=kind.dtype)
        for name, kind in sorted(side.extras.items())
    }
    if masks:
        regions[MASK_FRAME] = Region(shape=(masks,), dtype="<i8")
        regions[MASK_LABELS] = Region(shape=(masks, *shape[:2]))
    if encoded_bytes is None:
        regions[FRAMES] = Region(shape=(frames, *shape))
    else:
        regions[FRAME_OFFSET] = Region(shape=(frames + 1,), dtype="<i8")
        regions[ENCODED] = Region(shape=(encoded_bytes,))
    return regions


def lay_out(
    attributes: Mapping[str, Any],
    rows: Sequence[ClipRow],
    regions: Mapping[str, Region],
    hashes: Sequence[str],
    side_hashes: Sequence[str],
) -> Layout:
    """All of a shard but what stands in its regions, which follow the head at once, one after the other."""
    image = _HeadOnly()
    with h5py.File(image, "w", libver=("v110", "v110")) as file:
        for name, value in attributes.items():
            file.attrs.create(name, _fixed([value]).reshape(()) if isinstance(value, str) else value)
        clips = file.create_group("clips")
        lengths = np.array([row.length for row in rows], np.int64)
        clips["offset"] = np.cumsum(lengths) - lengths
        clips["length"] = lengths
        for name in ("id", "video_id", "source_url", "licence", "label"):
            clips[name] = _fixed([getattr(row, name) for row in rows])
        for name in ("start", "end", "fps"):
            clips[name] = np.array([getattr(row, name) for row in rows], np.float64)
        clips["sha256"] = np.array(hashes, "S64")
        if any(row.side for row in rows):
            clips["side"] = np.array([row.side for row in rows], "S64")
            clips["side_sha256"] = np.array(side_hashes, "S64")
        for name, region in regions.items():
            _create(file, name, region)
        file.flush()
        # The regions get their places last, in their order, so that they follow all that is small.
        end = image.freeze()
        offsets = {}
        for name, region in regions.items():
            dataset = file[name]
            dataset[(slice(0, 1),) * dataset.ndim] = 0  # one element, never kept: it makes HDF5 choose the place
            offsets[name] = dataset.id.get_offset()
            if offsets[name] != end:
                raise ShardError(f"HDF5 {h5py.version.hdf5_version} laid a shard out with gaps between its parts")
            end += region.bytes
    if image.size != end:
        raise ShardError(f"HDF5 {h5py.version.hdf5_version} laid a shard out with its frames not at the end")
    return Layout(head=image.head, offsets=offsets)


def _create(file: h5py.File, name: str, region: Region) -> None:
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)  # every row is written
    creation.set_obj_track_times(False)
    group, _, last = name.rpartition("/")
    parent = file.require_group(group) if group else file
    space = h5py.h5s.create_simple(region.shape)
    h5py.h5d.create(parent.id, last.encode(), h5py.h5t.py_create(np.dtype(region.dtype)), space, creation)


def _fixed(texts: Sequence[str]) -> NDArray[np.void]:
    """UTF-8 of one length for all. Texts of varying length stand in a heap without a checksum, and a damaged one makes
    HDF5 loop for ever; every other small object has one."""
    encoded = [text.encode() for text in texts]
    longest = max(1, *map(len, encoded))
    return np.array(encoded, h5py.string_dtype("utf-8", longest))


class _HeadOnly(io.RawIOBase):
    """A file for HDF5 to write into that keeps what is written before `freeze`'s end and pretends the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = bytearray()
        self._position = 0
        self._frozen: int | None = None
        self.size = 0

    def freeze(self) -> int:
        """The end of the head, where the file ends now: what is written behind it from now on is not kept."""
        self._frozen = self.size
        return self.size

    @property
    def head(self) -> bytes:
        """The bytes before that end, zeros where nothing was written."""
        assert self._frozen is not None
        return bytes(self._kept[: self._frozen].ljust(self._frozen, b"\0"))

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def truncate(self, size: int | None = None) -> int:
        self.size = self._position if size is None else size
        del self._kept[self.size :]
        return self.size

    def write(self, data: Any) -> int:
        content = bytes(data)
        end = self._position + len(content)
        if self._frozen is None or self._position < self._frozen:
            if end > len(self._kept):
                self._kept.extend(bytes(end - len(self._kept)))
            self._kept[self._position : end] = content
        self._position = end
        self.size = max(self.size, end)
        return len(content)

    def readinto(self, buffer: Any) -> int:
        content = self._kept[self._position : self._position + len(buffer)]
        count = min(len(buffer), max(0, self.size - self._position))
        buffer[:count] = bytes(content[:count].ljust(count, b"\0"))
        self._position += count
        return count
