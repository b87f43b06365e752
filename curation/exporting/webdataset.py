"""Clips as WebDataset: POSIX tar files whose members with one stem are one sample.

A sample is a clip. Its key is the clip's id; its members are `<key>.frames.npy` (L, H, W, 3) uint8 RGB, or
`<key>.<nnnn>.jpg` a frame where frames are JPEG; `<key>.<extra>.npy` (L, ...); `<key>.<nnnn>.mask.png` a label map of
frame nnnn; and `<key>.json`, the clip's provenance, last. All that could tell one writing from another (times, owners)
is fixed, so that a tar's bytes depend on its clips alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.exporting.webdataset_reader import TarReader
from curation.masks.label_maps import png_bytes
from db.files import sha256_of, sync
from db.shards import (
    RAW,
    ClipRow,
    Codec,
    Encoded,
    Frames,
    ShardError,
    ShardInfo,
    Side,
    SideLayout,
    check_frames,
    images,
)

NO_SIDE = Side()
FRAMES = "frames.npy"


class TarWriter:
    """Writes one tar, clip by clip, in the order of `rows`, as `db.shards.ShardWriter` writes a shard.

    `attributes` are what `db.shards.shard_attributes` says of all clips. The file appears under its name only when all
    clips are in, the bytes are on the disk, and a fresh look at it has found every clip's hash again.
    """

    def __init__(
        self,
        path: Path,
        *,
        attributes: Mapping[str, Any],
        rows: Sequence[ClipRow],
        codec: Codec = RAW,
        side: SideLayout | None = None,
    ) -> None:
        if not rows:
            raise ValueError("a shard has at least one clip")
        self.path = path
        self.rows = tuple(rows)
        self._export = {**attributes, "recipe": json.loads(attributes["recipe"])}
        self._shape = (attributes["height"], attributes["width"], 3)
        self._codec = codec
        self._side = side or SideLayout()
        self._next_row = 0
        self._written: list[ClipRow] = []
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._stream = self._temporary.open("wb")
        self._tar = tarfile.TarFile(fileobj=self._stream, mode="w", format=tarfile.PAX_FORMAT)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tar")
        self._writing: Future[None] | None = None
        self._open = True

    def write(self, frames: Frames | Encoded, side: Side = NO_SIDE) -> None:
        """Append the next clip: (L, H, W, 3) uint8 RGB, L as its row says. The arrays must not change afterwards."""
        row = self.rows[self._next_row]
        check_frames(row, frames, self._shape, self._codec)
        if fault := self._side.fault(self._next_row, row.length, self._shape[:2], side):
            raise ShardError(f"clip {row.id}: {fault}")
        if self._writing is not None:
            self._writing.result()  # one clip waits at most
        content = frames if isinstance(frames, Encoded) else np.ascontiguousarray(frames)
        self._writing = self._pool.submit(self._append, row, content, side)
        self._written.append(row)
        self._next_row += 1

    def leave_out(self) -> None:
        """The next clip cannot be had: the tar is made of the others, as if this one had never been announced."""
        if self._next_row == len(self.rows):
            raise IndexError(f"{self.path.name}: all {len(self.rows)} clips are in already")
        self._next_row += 1

    @property
    def written(self) -> int:
        """Clips in the tar so far."""
        return len(self._written)

    def close(self) -> ShardInfo:
        """Finish the file, check it by a second look, and give it its name. Raises `ShardError` if it has no clips."""
        if self._next_row != len(self.rows) or self._writing is None:
            raise ShardError(f"{self.path.name}: {self._next_row} of {len(self.rows)} clips were written")
        self._writing.result()
        with self._named_errors():
            self._tar.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._stream.close()
        whole = self._pool.submit(sha256_of, self._temporary)
        with TarReader(self._temporary) as reader:
            bad = reader.damaged_clips()
            found, hashes = reader.rows, reader.clip_sha256
        if bad or found != tuple(self._written):
            raise ShardError(f"{self.path.name}: clips {', '.join(bad)} did not reach the disk as they were written")
        info = ShardInfo(
            path=self.path,
            split=self._export["split"],
            sha256=whole.result(),
            bytes=self._temporary.stat().st_size,
            frames=sum(row.length for row in found),
            rows=found,
            clip_sha256=hashes,
        )
        self._temporary.replace(self.path)
        sync(self.path.parent)
        self._pool.shutdown()
        self._open = False
        return info

    def abort(self) -> None:
        """Remove what was written."""
        self._open = False
        self._pool.shutdown(cancel_futures=True)
        self._temporary.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the disk is full: nothing more goes into a file that is gone
            self._stream.close()

    def __enter__(self) -> TarWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._open:
            self.abort()

    def _append(self, row: ClipRow, frames: Frames | Encoded, side: Side) -> None:
        key = sample_key(row.id)
        digest = hashlib.sha256()
        if self._codec.name == "raw" and not isinstance(frames, Encoded):
            digest.update(frames.data.cast("B"))
            self._add(f"{key}.{FRAMES}", _npy(frames))
        else:
            for number, image in enumerate(images(frames, self._codec)):
                digest.update(image)
                self._add(f"{key}.{number:04d}.jpg", image)
        for name, values in sorted(side.extras.items()):
            self._add(f"{key}.{name}.npy", _npy(values))
        for number, labels in zip(side.mask_frames, side.labels, strict=True):
            self._add(f"{key}.{number:04d}.mask.png", png_bytes(labels))
        told = {
            **asdict(row),
            "sha256": digest.hexdigest(),
            "side_sha256": side.sha256(),
            "extras": sorted(side.extras),
            "masks": [*side.mask_frames],
            "export": self._export,
        }
        self._add(f"{key}.json", json.dumps(told, ensure_ascii=False, sort_keys=True).encode())

    def _add(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        member.mode = 0o644  # time, owner and group stay 0 and empty
        with self._named_errors():
            self._tar.addfile(member, io.BytesIO(content))

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Errors of open files lack the file's name."""
        try:
            yield
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._temporary)) from None


def sample_key(clip_id: str) -> str:
    """A clip's key in a tar: WebDataset takes all that follows the first dot for the kind of a member."""
    return clip_id.replace(".", "_")


def _npy(values: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, version=(1, 0), allow_pickle=False)
    return stream.getvalue()
