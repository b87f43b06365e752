"""A shard's file while it grows, before it has its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardError
from db.shard_codec import Codec, Encoded, Frames, images
from db.shard_layout import (
    ENCODED,
    FRAME_OFFSET,
    FRAMES,
    MASK_FRAME,
    MASK_LABELS,
    Region,
    extra_region,
    lay_out,
    regions_of,
)
from db.shard_reader import bytes_sha256
from db.shard_rows import ClipRow, Side, SideLayout

SYNC_BYTES = 64 * 2**20  # written between two calls of fsync, so that the last one does not wait for a whole shard


class Part:
    """The file while it grows. HDF5 lays it out in memory: it must never meet a full disk, which breaks its state."""

    def __init__(
        self,
        path: Path,
        attributes: Mapping[str, Any],
        rows: Sequence[ClipRow],
        side: SideLayout,
        shape: tuple[int, ...],
        codec: Codec,
    ) -> None:
        self.path = path
        self._attributes = attributes
        self._rows = rows
        self._codec = codec
        # What JPEG will take is known at the end; a region is never empty.
        self._regions = regions_of(rows, side, shape, None if codec.name == "raw" else 1)
        self._filled = dict.fromkeys(self._regions, 0)
        self._frames = 0
        self._frame_offsets = [0]
        self._unsynced = 0
        layout = lay_out(attributes, rows, self._regions, [""] * len(rows), [""] * len(rows))
        self._offsets = layout.offsets
        known = [name for name in self._regions if name != ENCODED]
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with self._named_errors():
                if hasattr(os, "posix_fallocate"):  # not everywhere; a full disk is then met later
                    size = len(layout.head) + sum(self._regions[name].bytes for name in known)
                    os.posix_fallocate(self._descriptor, 0, size)
        except BaseException:
            self.discard()
            raise

    def write(self, frames: Frames | Encoded, side: Side) -> tuple[str, str]:
        """Append a clip. Returns the SHA-256 of its frame bytes, as they stand in the file, and of what is beside."""
        if self._codec.name == "raw" and not isinstance(frames, Encoded):
            content = frames.data.cast("B")
            count = len(frames)
            name = FRAMES
        else:
            encoded = images(frames, self._codec)
            count = len(encoded)
            self._frame_offsets += (self._frame_offsets[-1] + np.cumsum([*map(len, encoded)])).tolist()
            content = memoryview(b"".join(encoded))
            name = ENCODED
        self._append(name, content)
        for extra, values in sorted(side.extras.items()):
            self._append(extra_region(extra), _bytes(values))
        if len(side.mask_frames):
            self._append(MASK_FRAME, _bytes(np.array(side.mask_frames, "<i8") + self._frames))
            self._append(MASK_LABELS, _bytes(side.labels))
        self._frames += count
        return bytes_sha256(content), side.sha256()

    def _append(self, region: str, content: memoryview) -> None:
        size = content.nbytes
        with self._named_errors():
            _write_all(self._descriptor, content, self._offsets[region] + self._filled[region])
            self._filled[region] += size
            self._unsynced += size
            if self._unsynced >= SYNC_BYTES:
                os.fsync(self._descriptor)
                self._unsynced = 0

    def take_over(self, other: Part) -> None:
        """Take over all that another holds, whose clips are the first of its own."""
        self._frames, self._frame_offsets = other._frames, other._frame_offsets
        for region, left in other._filled.items():
            start = other._offsets[region]
            while left:
                with self._named_errors():
                    piece = os.pread(other._descriptor, min(left, SYNC_BYTES), start)
                if not piece:
                    raise ShardError(f"{other.path}: shrank while it was read; export again")
                self._append(region, memoryview(piece))
                start, left = start + len(piece), left - len(piece)

    def finish(self, hashes: Sequence[str], side_hashes: Sequence[str]) -> None:
        """Put all that is small before the frames, and bring everything to the disk."""
        if self._codec.name == "jpeg":
            self._append(FRAME_OFFSET, _bytes(np.array(self._frame_offsets, "<i8")))
            self._regions[ENCODED] = Region(shape=(self._filled[ENCODED],))
        layout = lay_out(self._attributes, self._rows, self._regions, hashes, side_hashes)
        if layout.offsets != self._offsets:
            raise ShardError(f"{self.path.name}: HDF5 laid the shard out in two ways")
        with self._named_errors():
            _write_all(self._descriptor, memoryview(layout.head), 0)
            os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1

    def discard(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Errors of descriptors lack the file's name."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from None


def _write_all(descriptor: int, data: memoryview, position: int) -> None:
    while data:
        done = os.pwrite(descriptor, data, position)
        data, position = data[done:], position + done


def _bytes(values: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(values).data.cast("B")
