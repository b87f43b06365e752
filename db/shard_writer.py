"""Writing shards: one clip after the other, checked by a second look before the file gets its name.

Hashing and writing run beside the caller, who decodes the next clip meanwhile. A shard's bytes depend on its recipe,
rows, frames and tool version alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from db.files import sha256_of, sync
from db.manifest import SCHEMA_VERSION, SPLITS, ShardError
from db.recipes import canonical, recipe_hash
from db.shard_layout import lay_out
from db.shard_reader import ClipRow, Frames, ShardReader, frames_sha256

SYNC_BYTES = 64 * 2**20  # written between two calls of fsync, so that the last one does not wait for a whole shard


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """What a finished shard is: for the catalogue and the manifest. `rows` are those that are in it."""

    path: Path
    split: str
    sha256: str
    bytes: int
    frames: int
    rows: tuple[ClipRow, ...]
    clip_sha256: tuple[str, ...]


class ShardWriter:
    """Writes one shard, clip by clip, in the order of `rows`.

    The file appears under its name only when all clips are in, the bytes are on the disk, and a fresh look at the file
    has found every clip's hash again. As a context manager it removes what it wrote if the block fails. Holds one clip
    in memory beside the caller's. Raises `OSError` naming the file, at once if the disk has no room for all rows.
    """

    def __init__(
        self,
        path: Path,
        *,
        split: str,
        height: int,
        width: int,
        fps: float,
        recipe: Mapping[str, Any],
        rows: Sequence[ClipRow],
        tool_version: str,
    ) -> None:
        if not rows:
            raise ValueError("a shard has at least one clip")
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
        self.path = path
        self.split = split
        self.rows = tuple(rows)
        self._shape = (height, width, 3)
        self._attributes: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "codec": "raw",
            "split": split,
            "height": height,
            "width": width,
            "fps": float(fps),
            "colour": "sRGB",
            "recipe": canonical(recipe),
            "recipe_hash": recipe_hash(recipe),
            "tool_version": tool_version,
        }
        self._next_row = 0
        self._written: list[ClipRow] = []
        self._hashes: list[Future[str]] = []
        self._part = _Part(self._temporary(""), self._attributes, self.rows, self._shape)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shard")
        self._open = True

    def _temporary(self, mark: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{os.getpid()}{mark}.part")

    def write(self, frames: Frames) -> None:
        """Append the next clip: (L, H, W, 3) uint8 RGB, L as its row says. The array must not change afterwards."""
        row = self.rows[self._next_row]
        expected = (row.length, *self._shape)
        if frames.shape != expected or frames.dtype != np.uint8:
            raise ShardError(
                f"clip {row.id}: got {frames.shape} {frames.dtype} frames, announced were {expected} uint8"
            )
        if self._hashes:
            self._hashes[-1].result()  # one clip waits at most
        first = sum(done.length for done in self._written)
        self._hashes.append(self._pool.submit(self._part.write, first, np.ascontiguousarray(frames)))
        self._written.append(row)
        self._next_row += 1

    def leave_out(self) -> None:
        """The next clip cannot be had: the shard is made of the others, as if this one had never been announced."""
        if self._next_row == len(self.rows):
            raise IndexError(f"{self.path.name}: all {len(self.rows)} clips are in already")
        self._next_row += 1

    @property
    def written(self) -> int:
        """Clips in the shard so far."""
        return len(self._written)

    def close(self) -> ShardInfo:
        """Finish the file, check it by a second look, and give it its name. Raises `ShardError` if it has no clips."""
        if self._next_row != len(self.rows) or not self._written:
            raise ShardError(f"{self.path.name}: {self._next_row} of {len(self.rows)} clips were written")
        hashes = tuple(future.result() for future in self._hashes)
        if len(self._written) < len(self.rows):
            self._rebuild()
        self._part.finish(hashes)
        temporary = self._part.path
        whole = self._pool.submit(sha256_of, temporary)
        with ShardReader(temporary) as reader:
            bad = reader.damaged_clips()
            frames = reader.frame_count
        if bad:
            raise ShardError(f"{self.path.name}: clips {', '.join(bad)} did not reach the disk as they were written")
        info = ShardInfo(
            path=self.path,
            split=self.split,
            sha256=whole.result(),
            bytes=temporary.stat().st_size,
            frames=frames,
            rows=tuple(self._written),
            clip_sha256=hashes,
        )
        temporary.replace(self.path)
        sync(self.path.parent)
        self._pool.shutdown()
        self._open = False
        return info

    def _rebuild(self) -> None:
        """Give the clips that are there a file of their own: a contiguous dataset cannot shrink."""
        old = self._part
        self._part = _Part(self._temporary(".kept"), self._attributes, self._written, self._shape)
        try:
            self._part.copy_frames(old)
        finally:
            old.discard()

    def abort(self) -> None:
        """Remove what was written."""
        self._open = False
        self._pool.shutdown(cancel_futures=True)
        self._part.discard()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._open:
            self.abort()


class _Part:
    """The file while it grows. HDF5 lays it out in memory: it must never meet a full disk, which breaks its state."""

    def __init__(
        self, path: Path, attributes: Mapping[str, Any], rows: Sequence[ClipRow], shape: tuple[int, ...]
    ) -> None:
        self.path = path
        self._attributes = attributes
        self._rows = rows
        self._shape = (sum(row.length for row in rows), *shape)
        self._frame_bytes = int(np.prod(shape))
        self._unsynced = 0
        head = lay_out(attributes, rows, self._shape, [""] * len(rows))
        self._offset = len(head)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            with self._named_errors():
                if hasattr(os, "posix_fallocate"):  # not everywhere; a full disk is then met later
                    os.posix_fallocate(self._descriptor, 0, self._offset + self._shape[0] * self._frame_bytes)
        except BaseException:
            self.discard()
            raise

    def write(self, first: int, frames: Frames) -> str:
        """Put a clip's frames from row `first` on. Returns their SHA-256."""
        with self._named_errors():
            _write_all(self._descriptor, frames.data.cast("B"), self._offset + first * self._frame_bytes)
            self._unsynced += frames.nbytes
            if self._unsynced >= SYNC_BYTES:
                os.fsync(self._descriptor)
                self._unsynced = 0
        return frames_sha256(frames)

    def copy_frames(self, other: _Part) -> None:
        """Take over another's frames, from the first one on, as many as this one holds."""
        left, done = self._shape[0] * self._frame_bytes, 0
        with self._named_errors():
            while done < left:
                piece = os.pread(other._descriptor, min(left - done, SYNC_BYTES), other._offset + done)
                if not piece:
                    raise ShardError(f"{other.path}: shrank while it was read; export again")
                _write_all(self._descriptor, memoryview(piece), self._offset + done)
                done += len(piece)

    def finish(self, hashes: Sequence[str]) -> None:
        """Put all that is small before the frames, and bring everything to the disk."""
        head = lay_out(self._attributes, self._rows, self._shape, hashes)
        with self._named_errors():
            _write_all(self._descriptor, memoryview(head), 0)
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


def write_shard(
    path: Path,
    *,
    split: str,
    height: int,
    width: int,
    fps: float,
    recipe: Mapping[str, Any],
    rows: Sequence[ClipRow],
    clips: Iterable[Frames],
    tool_version: str = "stillflow",
) -> ShardInfo:
    """Write one shard whole. `clips` gives an (L, H, W, 3) uint8 array a row, in order."""
    with ShardWriter(
        path,
        split=split,
        height=height,
        width=width,
        fps=fps,
        recipe=recipe,
        rows=rows,
        tool_version=tool_version,
    ) as writer:
        for frames in clips:
            writer.write(frames)
        return writer.close()
