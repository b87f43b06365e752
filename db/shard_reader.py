"""Reading shards: rows, attributes and windows of clips, straight from a memory map."""

from __future__ import annotations

import hashlib
import mmap
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from db.manifest import SCHEMA_VERSION, ShardError

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """One clip's provenance in a shard. `start` and `end` are seconds in the source, `end` exclusive."""

    id: str
    video_id: str
    source_url: str
    licence: str = ""
    label: str = ""
    start: float
    end: float
    fps: float
    length: int

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"clip {self.id}: a clip has at least one frame, not {self.length}")


class ShardReader:
    """Reads one shard. Cheap to make and to pickle: the file is opened on first use, once in each process.

    Raises `ShardError` where the file is missing, truncated, damaged or of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._pid = 0

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_pid": 0}

    def __enter__(self) -> ShardReader:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the open file; the next use opens it again."""
        for name in ("_frames", "_map"):
            self.__dict__.pop(name, None)
        self._pid = 0

    @property
    def rows(self) -> tuple[ClipRow, ...]:
        """Every clip's provenance, in the order of the file."""
        self._open()
        return self._rows

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
        self._open()
        return int(self._frames.shape[0])

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(H, W, 3) of the frames themselves."""
        self._open()
        return tuple(self._frames.shape[1:])

    @property
    def attributes(self) -> dict[str, Any]:
        """The file's attributes, as `formats.md` lists them."""
        self._open()
        return self._attributes

    def window(self, clip: int, start: int, length: int) -> Frames:
        """Frames `start` to `start + length` of a clip, by its position: a (length, H, W, 3) uint8 array of its own."""
        if self._pid != os.getpid():
            self._open()
        first, end = self._first[clip] + start, self._first[clip] + start + length
        if start < 0 or length < 1 or end > self._end[clip]:
            raise IndexError(f"{self.path.name}: frames {start} to {start + length} are not all in clip {clip}")
        return self._frames[first:end].copy()

    def clip(self, clip: int) -> Frames:
        """All frames of a clip: (L, H, W, 3) uint8."""
        return self.window(clip, 0, self.rows[clip].length)

    def damaged_clips(self) -> list[str]:
        """Ids of the clips whose bytes do not have the hash that the file records."""
        self._open()
        return [
            row.id
            for row, first, end, expected in zip(self._rows, self._first, self._end, self.clip_sha256, strict=True)
            if frames_sha256(self._frames[first:end]) != expected
        ]

    @property
    def offsets(self) -> tuple[int, ...]:
        """Each clip's first row in the file's frames."""
        self._open()
        return tuple(self._first)

    @property
    def clip_sha256(self) -> tuple[str, ...]:
        """Each clip's recorded hash."""
        self._open()
        return self._sha256

    def _open(self) -> None:
        if self._pid == os.getpid():
            return
        if not self.path.is_file():
            raise ShardError(f"{self.path}: no such shard; export again, or check --data")
        try:
            with h5py.File(self.path, "r") as file:
                self._read_tables(file)
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ShardError(f"{self.path}: not a readable shard ({reason}); run: curate verify") from None
        self._pid = os.getpid()

    def _read_tables(self, file: h5py.File) -> None:
        attributes = {name: value.decode() if isinstance(value, bytes) else value for name, value in file.attrs.items()}
        version = attributes.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ShardError(
                f"{self.path}: shard schema version {version}, this version of stillflow reads {SCHEMA_VERSION}; "
                "export again, or update stillflow"
            )
        if attributes["codec"] != "raw":
            raise ShardError(f"{self.path}: codec {attributes['codec']!r} is not known; this version reads 'raw'")
        frames, clips = file["frames"], file["clips"]
        offset = frames.id.get_offset()
        if frames.chunks is not None or offset is None or frames.dtype != np.uint8 or frames.ndim != 4:
            raise ShardError(f"{self.path}: its frames are not one contiguous (F, H, W, 3) uint8 dataset; export again")
        if offset + frames.size > self.path.stat().st_size:
            raise ShardError(f"{self.path}: truncated; run: curate verify")
        columns = {name: clips[name][:] for name in ("offset", "length", "start", "end", "fps", "sha256")}
        texts = {name: clips[name].asstr()[:] for name in ("id", "video_id", "source_url", "licence", "label")}
        self._attributes = attributes
        self._first = columns["offset"].tolist()
        self._end = (columns["offset"] + columns["length"]).tolist()
        if self._first and (min(self._first) < 0 or max(self._end) > frames.shape[0]):
            raise ShardError(f"{self.path}: its clips reach beyond its frames; export again")
        self._sha256 = tuple(value.decode() for value in columns["sha256"].tolist())
        self._rows = tuple(
            ClipRow(
                **{name: str(values[i]) for name, values in texts.items()},
                start=float(columns["start"][i]),
                end=float(columns["end"][i]),
                fps=float(columns["fps"][i]),
                length=int(columns["length"][i]),
            )
            for i in range(len(columns["length"]))
        )
        with self.path.open("rb") as stream:
            self._map = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        # Rows of the map are read-only; window() hands out copies.
        self._frames = np.frombuffer(self._map, np.uint8, frames.size, offset).reshape(frames.shape)


def frames_sha256(array: Frames) -> str:
    """SHA-256 of a clip's frame bytes, (L, H, W, 3) uint8 and contiguous, in hexadecimal."""
    return hashlib.sha256(array.data.cast("B")).hexdigest()
