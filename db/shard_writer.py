"""Writing shards: one clip after the other, checked by a second look before the file gets its name.

Encoding, hashing and writing run beside the caller, who decodes the next clip meanwhile. A shard's bytes depend on its
recipe, rows, frames, what stands beside them, and the tool version alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from db.files import sha256_of, sync
from db.manifest import SCHEMA_VERSION, SPLITS, ShardError
from db.recipes import canonical, recipe_hash
from db.shard_codec import RAW, Codec, Encoded, Frames
from db.shard_part import Part
from db.shard_reader import ShardReader
from db.shard_rows import NO_SIDE, ClipRow, ExtraType, Side, SideLayout


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


def shard_attributes(
    *, split: str, height: int, width: int, fps: float, recipe: Mapping[str, Any], tool_version: str, codec: Codec
) -> dict[str, Any]:
    """What a shard says of all its clips. Raises `ValueError` for a split that is none."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {', '.join(SPLITS)}")
    return {
        "schema_version": SCHEMA_VERSION,
        "codec": codec.name,
        "split": split,
        "height": height,
        "width": width,
        "fps": float(fps),
        "colour": "sRGB",
        "recipe": canonical(recipe),
        "recipe_hash": recipe_hash(recipe),
        "tool_version": tool_version,
    }


def check_frames(row: ClipRow, frames: Frames | Encoded, shape: tuple[int, ...], codec: Codec) -> None:
    """Raise `ShardError` unless these are the frames that a clip's row announces, each of `shape`."""
    expected = (row.length, *shape)
    if isinstance(frames, Encoded):
        if codec.name != "jpeg" or (len(frames.images), *frames.shape) != expected:
            raise ShardError(f"clip {row.id}: these encoded frames do not belong into {codec.name} ones of {expected}")
    elif frames.shape != expected or frames.dtype != np.uint8:
        raise ShardError(f"clip {row.id}: got {frames.shape} {frames.dtype} frames, announced were {expected} uint8")


class ShardWriter:
    """Writes one shard, clip by clip, in the order of `rows`; `side` announces what stands beside their frames.

    The file appears under its name only when all clips are in, the bytes are on the disk, and a fresh look at the file
    has found every clip's hash again. As a context manager it removes what it wrote if the block fails. Holds one clip
    in memory beside the caller's. Raises `OSError` naming the file, for raw frames at once if the disk has no room.
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
        codec: Codec = RAW,
        side: SideLayout | None = None,
    ) -> None:
        if not rows:
            raise ValueError("a shard has at least one clip")
        self.path = path
        self.split = split
        self.rows = tuple(rows)
        self._side = side or SideLayout()
        self._shape = (height, width, 3)
        self._codec = codec
        self._attributes = shard_attributes(
            split=split, height=height, width=width, fps=fps, recipe=recipe, tool_version=tool_version, codec=codec
        )
        self._next_row = 0
        self._written: list[int] = []  # positions in `rows`
        self._hashes: list[Future[tuple[str, str]]] = []
        self._part = Part(self._temporary(""), self._attributes, self.rows, self._side, self._shape, codec)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shard")
        self._open = True

    def _temporary(self, mark: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{os.getpid()}{mark}.part")

    def write(self, frames: Frames | Encoded, side: Side = NO_SIDE) -> None:
        """Append the next clip: (L, H, W, 3) uint8 RGB, L as its row says. The arrays must not change afterwards."""
        row = self.rows[self._next_row]
        check_frames(row, frames, self._shape, self._codec)
        if fault := self._side.fault(self._next_row, row.length, self._shape[:2], side):
            raise ShardError(f"clip {row.id}: {fault}")
        if self._hashes:
            self._hashes[-1].result()  # one clip waits at most
        content = frames if isinstance(frames, Encoded) else np.ascontiguousarray(frames)
        self._hashes.append(self._pool.submit(self._part.write, content, side))
        self._written.append(self._next_row)
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
        hashes = [future.result() for future in self._hashes]
        if len(self._written) < len(self.rows):
            self._rebuild()
        self._part.finish([frames for frames, _ in hashes], [side for _, side in hashes])
        temporary = self._part.path
        whole = self._pool.submit(sha256_of, temporary)
        with ShardReader(temporary) as reader:
            bad = reader.damaged_clips()
            frames = reader.frame_count
            found = reader.clip_sha256
        if bad:
            raise ShardError(f"{self.path.name}: clips {', '.join(bad)} did not reach the disk as they were written")
        info = ShardInfo(
            path=self.path,
            split=self.split,
            sha256=whole.result(),
            bytes=temporary.stat().st_size,
            frames=frames,
            rows=tuple(self.rows[position] for position in self._written),
            clip_sha256=found,
        )
        temporary.replace(self.path)
        sync(self.path.parent)
        self._pool.shutdown()
        self._open = False
        return info

    def _rebuild(self) -> None:
        """Give the clips that are there a file of their own: a contiguous dataset cannot shrink."""
        old = self._part
        rows = [self.rows[position] for position in self._written]
        masks = [self._side.masks[position] for position in self._written] if self._side.masks else []
        side = SideLayout(extras=self._side.extras, masks=masks)
        self._part = Part(self._temporary(".kept"), self._attributes, rows, side, self._shape, self._codec)
        try:
            self._part.take_over(old)
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
    codec: Codec = RAW,
    extras: Mapping[str, ExtraType] | None = None,
    sides: Sequence[Side] = (),
) -> ShardInfo:
    """Write one shard whole. `clips` gives an (L, H, W, 3) uint8 array a row, in order; `sides` what is beside."""
    beside = [*sides] or [NO_SIDE] * len(rows)
    with ShardWriter(
        path,
        split=split,
        height=height,
        width=width,
        fps=fps,
        recipe=recipe,
        rows=rows,
        tool_version=tool_version,
        codec=codec,
        side=SideLayout(extras=extras or {}, masks=[len(side.mask_frames) for side in beside]),
    ) as writer:
        for number, frames in enumerate(clips):
            writer.write(frames, beside[number])
        return writer.close()
