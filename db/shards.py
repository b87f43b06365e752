"""The shard format: closed, immutable HDF5 files of RGB clips, and their manifest.

All clips' frames lie one after the other in one contiguous dataset, so that a reader takes any window of any clip
straight from a memory map. Shape letters: F frames of the shard, N clips, L frames of a clip, H height, W width.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from db.files import sha256_of, sync
from db.manifest import MANIFEST, SCHEMA_VERSION, Manifest, ShardEntry, ShardError, read_manifest, write_manifest
from db.recipes import canonical, recipe_hash

__all__ = [
    "MANIFEST",
    "SCHEMA_VERSION",
    "SPLITS",
    "ClipRow",
    "Manifest",
    "ShardEntry",
    "ShardError",
    "ShardInfo",
    "ShardReader",
    "ShardWriter",
    "read_manifest",
    "recipe_hash",
    "write_manifest",
    "write_shard",
]

SPLITS = ("train", "val", "test")
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


@dataclass(frozen=True, kw_only=True)
class ShardInfo:
    """What a finished shard is: for the catalogue and the manifest."""

    path: Path
    split: str
    sha256: str
    bytes: int
    frames: int
    clip_sha256: tuple[str, ...]


class ShardWriter:
    """Writes one shard, clip by clip, in the order of `rows`.

    The file appears under its name only when all clips are in, the bytes are on the disk, and a fresh look at the file
    has found every clip's hash again. As a context manager it removes what it wrote if the block fails.
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
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._hashes: list[Future[str]] = []
        self._next_row = 0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shard hash")
        self._file = h5py.File(self._temporary, "w", libver=("v110", "v110"))
        try:
            self._prepare(height, width, fps, recipe, tool_version)
        except BaseException:
            self.abort()
            raise

    def _prepare(self, height: int, width: int, fps: float, recipe: Mapping[str, Any], tool_version: str) -> None:
        file, rows = self._file, self.rows
        lengths = np.array([row.length for row in rows], np.int64)
        attributes: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "codec": "raw",
            "split": self.split,
            "height": height,
            "width": width,
            "fps": float(fps),
            "colour": "sRGB",
            "recipe": canonical(recipe),
            "recipe_hash": recipe_hash(recipe),
            "tool_version": tool_version,
        }
        for name, value in attributes.items():
            file.attrs[name] = value
        clips = file.create_group("clips")
        clips["offset"] = np.cumsum(lengths) - lengths
        clips["length"] = lengths
        text = h5py.string_dtype("utf-8")
        for name in ("id", "video_id", "source_url", "licence", "label"):
            clips.create_dataset(name, data=[getattr(row, name) for row in rows], dtype=text)
        for name in ("start", "end", "fps"):
            clips[name] = np.array([getattr(row, name) for row in rows], np.float64)
        clips.create_dataset("sha256", (len(rows),), "S64")
        # Last, so that the frames, read in place, follow all that is small. No fill: every row is written.
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_layout(h5py.h5d.CONTIGUOUS)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        creation.set_obj_track_times(False)
        space = h5py.h5s.create_simple((int(lengths.sum()), height, width, 3))
        h5py.h5d.create(file.id, b"frames", h5py.h5t.STD_U8LE, space, creation)
        self._frames = file["frames"]

    def write(self, frames_LHW3: Frames) -> None:
        """Append the next clip: (L, H, W, 3) uint8 RGB, L as its row says."""
        row = self.rows[self._next_row]
        expected = (row.length, *self._frames.shape[1:])
        if frames_LHW3.shape != expected or frames_LHW3.dtype != np.uint8:
            raise ShardError(
                f"clip {row.id}: got {frames_LHW3.shape} {frames_LHW3.dtype} frames, announced were {expected} uint8"
            )
        frames_LHW3 = np.ascontiguousarray(frames_LHW3)
        self._hashes.append(self._pool.submit(_sha256, frames_LHW3))
        first = sum(done.length for done in self.rows[: self._next_row])
        self._frames.write_direct(frames_LHW3, dest_sel=np.s_[first : first + row.length])
        self._next_row += 1

    def close(self) -> ShardInfo:
        """Finish the file, check it by a second look, and give it its name."""
        if self._next_row != len(self.rows):
            raise ShardError(f"{self.path.name}: {self._next_row} of {len(self.rows)} clips were written")
        hashes = tuple(future.result() for future in self._hashes)
        self._file["clips/sha256"][:] = np.array(hashes, "S64")
        self._file.close()
        sync(self._temporary)
        whole = self._pool.submit(sha256_of, self._temporary)
        with ShardReader(self._temporary) as reader:
            bad = reader.damaged_clips()
            frames = reader.frame_count
        if bad:
            raise ShardError(f"{self.path.name}: clips {', '.join(bad)} did not reach the disk as they were written")
        info = ShardInfo(
            path=self.path,
            split=self.split,
            sha256=whole.result(),
            bytes=self._temporary.stat().st_size,
            frames=frames,
            clip_sha256=hashes,
        )
        self._temporary.replace(self.path)
        sync(self.path.parent)
        self._pool.shutdown()
        return info

    def abort(self) -> None:
        """Remove what was written."""
        self._pool.shutdown(cancel_futures=True)
        try:
            self._file.close()
        finally:
            self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if self._temporary.exists():
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
        for frames_LHW3 in clips:
            writer.write(frames_LHW3)
        return writer.close()


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
            if _sha256(self._frames[first:end]) != expected
        ]

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
        attributes = dict(file.attrs)
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


def _sha256(array: Frames) -> str:
    return hashlib.sha256(array.data.cast("B")).hexdigest()
