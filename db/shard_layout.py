"""The small objects of a shard, laid out by HDF5 in memory: all that stands in the file before its frames."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardError
from db.shard_reader import ClipRow


def lay_out(
    attributes: Mapping[str, Any], rows: Sequence[ClipRow], shape: tuple[int, ...], hashes: Sequence[str]
) -> bytes:
    """All of a shard that stands before its frames, which follow at once: the same length whatever the hashes."""
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
        file.flush()
        # Last, so that the frames, read in place, follow all that is small. No fill: every row is written.
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.CONTIGUOUS)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        creation.set_obj_track_times(False)
        h5py.h5d.create(file.id, b"frames", h5py.h5t.STD_U8LE, h5py.h5s.create_simple(shape), creation)
        offset = int(file["frames"].id.get_offset())
    if image.size != offset + int(np.prod(shape)):
        raise ShardError(f"HDF5 {h5py.version.hdf5_version} laid a shard out with its frames not at the end")
    return image.head(offset)


def _fixed(texts: Sequence[str]) -> NDArray[np.void]:
    """UTF-8 of one length for all. Texts of varying length stand in a heap without a checksum, and a damaged one makes
    HDF5 loop for ever; every other small object has one."""
    encoded = [text.encode() for text in texts]
    longest = max(1, *map(len, encoded))
    return np.array(encoded, h5py.string_dtype("utf-8", longest))


class _HeadOnly(io.RawIOBase):
    """A file for HDF5 to write into that keeps what is written and pretends the rest, which is the frames."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = bytearray()
        self._position = 0
        self.size = 0

    def head(self, length: int) -> bytes:
        """The first bytes, zeros where nothing was written. Raises `ShardError` if more than those was written."""
        if len(self._kept) > length:
            raise ShardError(f"HDF5 {h5py.version.hdf5_version} wrote where a shard's frames belong")
        return bytes(self._kept.ljust(length, b"\0"))

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
