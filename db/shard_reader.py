"""Reading shards: rows, attributes and windows of clips, straight from a memory map."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardError
from db.shard_codec import Encoded, Frames, decode_jpeg
from db.shard_rows import ClipRow, Side
from db.shard_tables import Tables, read_tables

__all__ = ["ClipRow", "Frames", "ShardReader", "bytes_sha256"]


class ShardReader:
    """Reads one shard. Cheap to make and to pickle: the file is opened on first use, once in each process.

    Raises `ShardError` where the file is missing, truncated, damaged or of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._pid = 0
        self._tables: Tables | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_pid": 0, "_tables": None}

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the open file; the next use opens it again."""
        self._tables = None
        self._pid = 0

    @property
    def rows(self) -> tuple[ClipRow, ...]:
        """Every clip's provenance, in the order of the file."""
        return self._open().rows

    @property
    def codec(self) -> str:
        """How the frames stand in the file: `raw` or `jpeg`. Windows are the same kind of array in both."""
        return str(self.attributes["codec"])

    @property
    def split(self) -> str:
        return str(self.attributes["split"])

    @property
    def height(self) -> int:
        return int(self.attributes["height"])

    @property
    def width(self) -> int:
        return int(self.attributes["width"])

    @property
    def fps(self) -> float:
        """The frames' rate; 0 where each clip keeps its own (`rows[i].fps`)."""
        return float(self.attributes["fps"])

    @property
    def recipe_hash(self) -> str:
        return str(self.attributes["recipe_hash"])

    @property
    def frame_count(self) -> int:
        return self._open().frame_count

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(H, W, 3) of the frames themselves; where they are encoded, as announced, and `window` checks it."""
        tables = self._open()
        return tuple(tables.frames.shape[1:]) if tables.encoded is None else (tables.height, tables.width, 3)

    @property
    def attributes(self) -> dict[str, Any]:
        """The file's attributes, as `formats.md` lists them."""
        return self._open().attributes

    @property
    def extras(self) -> tuple[str, ...]:
        """Names of the side data that all clips of this shard have, one row a frame."""
        return tuple(self._open().extras)

    def window(self, clip: int, start: int, length: int) -> Frames:
        """Frames `start` to `start + length` of a clip, by its position: a (length, H, W, 3) uint8 array of its own."""
        tables = self._open()
        first, end = self._range(tables, clip, start, length)
        if tables.encoded is None:
            return tables.frames[first:end].copy()
        out = np.empty((length, tables.height, tables.width, 3), np.uint8)
        for row in range(first, end):
            frame = self._decoded(tables, row)
            if frame.shape != out.shape[1:]:
                raise ShardError(f"{self.path}: frame {row} is {frame.shape}, not {out.shape[1:]}; run: curate verify")
            out[row - first] = frame
        return out

    def clip(self, clip: int) -> Frames:
        """All frames of a clip: (L, H, W, 3) uint8."""
        return self.window(clip, 0, self.rows[clip].length)

    def stored(self, clip: int) -> Frames | Encoded:
        """All frames of a clip as they stand in the file, to be copied."""
        tables = self._open()
        if tables.encoded is None:
            return self.clip(clip)
        ends = tables.frame_offset[tables.first[clip] : tables.end[clip] + 1]
        return Encoded(
            images=tuple(tables.encoded[start:end].tobytes() for start, end in pairwise(ends)),
            shape=(tables.height, tables.width, 3),
        )

    def extra(self, name: str, clip: int, start: int, length: int) -> NDArray[Any]:
        """A window's rows of an extra: a (length, ...) array of its own. Raises `KeyError` if the shard has none."""
        tables = self._open()
        first, end = self._range(tables, clip, start, length)
        return tables.extras[name][first:end].copy()

    def masked_frames(self, clip: int) -> tuple[int, ...]:
        """The frames of a clip, from 0, that have a label map. A window that uses masks starts at one of them."""
        tables = self._open()
        first, end = tables.first[clip], tables.end[clip]
        begin, stop = np.searchsorted(tables.mask_frame, (first, end))
        return tuple((tables.mask_frame[begin:stop] - first).tolist())

    def labels(self, clip: int, frame: int) -> Frames:
        """The label map of a masked frame of a clip: (H, W) uint8. Raises `KeyError` if it has none."""
        tables = self._open()
        row = tables.first[clip] + frame
        place = int(np.searchsorted(tables.mask_frame, row))
        if not 0 <= frame < tables.rows[clip].length or row not in tables.mask_frame[place : place + 1]:
            raise KeyError(f"{self.path.name}: frame {frame} of clip {clip} has no label map")
        found: Frames = tables.labels[place].copy()
        return found

    def side(self, clip: int) -> Side:
        """All that stands beside a clip's frames."""
        tables = self._open()
        first, end = tables.first[clip], tables.end[clip]
        begin, stop = np.searchsorted(tables.mask_frame, (first, end))
        return Side(
            extras={name: values[first:end] for name, values in tables.extras.items()},
            mask_frames=self.masked_frames(clip),
            labels=tables.labels[begin:stop],
        )

    def damaged_frames(self) -> list[str]:
        """Ids of the clips whose frame bytes do not have the hash that the file records."""
        tables = self._open()
        damaged = []
        for row, first, end, recorded in zip(tables.rows, tables.first, tables.end, tables.sha256, strict=True):
            if tables.encoded is None:
                content = tables.frames[first:end]
            else:
                content = tables.encoded[tables.frame_offset[first] : tables.frame_offset[end]]
            if bytes_sha256(content.data.cast("B")) != recorded:
                damaged.append(row.id)
        return damaged

    def damaged_sides(self) -> list[str]:
        """Ids of the clips whose extras or masks do not have the hash that the file records."""
        tables = self._open()
        return [
            row.id
            for clip, row in enumerate(tables.rows)
            if tables.side_sha256 and self.side(clip).sha256() != tables.side_sha256[clip]
        ]

    def damaged_clips(self) -> list[str]:
        """Ids of the clips of which anything is not as it was written."""
        return sorted({*self.damaged_frames(), *self.damaged_sides()})

    @property
    def offsets(self) -> tuple[int, ...]:
        """Each clip's first row in the file's frames."""
        return tuple(self._open().first)

    @property
    def clip_sha256(self) -> tuple[str, ...]:
        """Each clip's recorded hash, of its frame bytes as they stand in the file: where encoded, of the encoded."""
        return self._open().sha256

    def _range(self, tables: Tables, clip: int, start: int, length: int) -> tuple[int, int]:
        first, end = tables.first[clip] + start, tables.first[clip] + start + length
        if start < 0 or length < 1 or end > tables.end[clip]:
            raise IndexError(f"{self.path.name}: frames {start} to {start + length} are not all in clip {clip}")
        return first, end

    def _decoded(self, tables: Tables, row: int) -> Frames:
        assert tables.encoded is not None
        try:
            return decode_jpeg(tables.encoded[tables.frame_offset[row] : tables.frame_offset[row + 1]])
        except ValueError as error:
            raise ShardError(f"{self.path}: frame {row} is {error}; run: curate verify") from None

    def _open(self) -> Tables:
        if self._tables is not None and self._pid == os.getpid():
            return self._tables
        if not self.path.is_file():
            raise ShardError(f"{self.path}: no such shard; export again, or check --data")
        try:
            with h5py.File(self.path, "r") as file:
                tables = read_tables(self.path, file)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ShardError(f"{self.path}: not a readable shard ({reason}); run: curate verify") from None
        self._tables, self._pid = tables, os.getpid()
        return tables


def bytes_sha256(content: memoryview) -> str:
    """SHA-256 of a clip's frame bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
