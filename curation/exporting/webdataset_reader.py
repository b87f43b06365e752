"""Reading back the tars that `exporting.webdataset` writes: what verification and adoption need to know of them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from curation.errors import StageError
from curation.masks.label_maps import decode_png
from db.recipes import canonical, recipe_hash
from db.shards import SCHEMA_VERSION, ClipRow, Encoded, Frames, ShardError, ShardReader, Side, decode_jpeg

ROW_FIELDS = tuple(field.name for field in fields(ClipRow))


@dataclass(frozen=True, kw_only=True)
class _Sample:
    """One clip's members by the end of their names, as (offset, size), and what its .json says."""

    key: str
    members: dict[str, tuple[int, int]]
    told: dict[str, Any]
    row: ClipRow


class TarReader:
    """Reads one tar; tells of it what `ShardReader` tells of a shard.

    Raises `ShardError` where the file is missing, truncated, no tar of clips, or of another schema version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> TarReader:
        return self

    def __exit__(self, *exc: object) -> None:
        pass  # nothing is held open

    @property
    def rows(self) -> tuple[ClipRow, ...]:
        """Every clip's provenance, in the order of the file."""
        return tuple(sample.row for sample in self._samples)

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """What all clips have in common, as a shard's attributes."""
        export = self._samples[0].told["export"]
        return {**export, "recipe": canonical(export["recipe"])}

    @property
    def codec(self) -> str:
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
        """The frames' rate; 0 where each clip keeps its own."""
        return float(self.attributes["fps"])

    @property
    def recipe_hash(self) -> str:
        return str(self.attributes["recipe_hash"])

    @property
    def frame_count(self) -> int:
        return sum(row.length for row in self.rows)

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """(H, W, 3) as announced; `clip` and `damaged_frames` find frames of another shape."""
        return (self.height, self.width, 3)

    @property
    def offsets(self) -> tuple[int, ...]:
        """Each clip's first frame, counted through the file."""
        lengths = [row.length for row in self.rows]
        return tuple(int(end) - length for end, length in zip(np.cumsum(lengths), lengths, strict=True))

    @property
    def clip_sha256(self) -> tuple[str, ...]:
        """Each clip's recorded hash, of its frame bytes: where they are JPEG, of the images one after the other."""
        return tuple(str(sample.told["sha256"]) for sample in self._samples)

    def clip(self, clip: int) -> Frames:
        """All frames of a clip: (L, H, W, 3) uint8. Raises `ShardError` if they are not as its .json says."""
        sample = self._samples[clip]
        try:
            if self.codec == "raw":
                frames = np.lib.format.read_array(io.BytesIO(self._read(sample, "frames.npy")), allow_pickle=False)
            else:
                frames = np.stack([decode_jpeg(np.frombuffer(image, np.uint8)) for image in self._images(sample)])
        except (KeyError, ValueError, EOFError) as error:
            raise ShardError(f"{self.path}: the frames of {sample.key} cannot be read ({error})") from None
        if frames.shape != (sample.row.length, self.height, self.width, 3) or frames.dtype != np.uint8:
            raise ShardError(f"{self.path}: the frames of {sample.key} are {frames.shape} {frames.dtype}")
        return np.asarray(frames, np.uint8)

    def stored(self, clip: int) -> Frames | Encoded:
        """All frames of a clip as they stand in the file, to be copied. Raises `ShardError`."""
        if self.codec == "raw":
            return self.clip(clip)
        return Encoded(images=tuple(self._images(self._samples[clip])), shape=(self.height, self.width, 3))

    def side(self, clip: int) -> Side:
        """All that stands beside a clip's frames. Raises `ShardError`."""
        sample = self._samples[clip]
        try:
            extras = {
                name: np.lib.format.read_array(io.BytesIO(self._read(sample, f"{name}.npy")), allow_pickle=False)
                for name in sample.told["extras"]
            }
            masks = [int(frame) for frame in sample.told["masks"]]
            labels = [decode_png(self._read(sample, f"{frame:04d}.mask.png"), sample.key) for frame in masks]
        except (KeyError, ValueError, EOFError, StageError) as error:
            raise ShardError(f"{self.path}: what stands beside {sample.key} cannot be read ({error})") from None
        empty = np.zeros((0, 0, 0), np.uint8)
        return Side(extras=extras, mask_frames=masks, labels=np.stack(labels) if labels else empty)

    def damaged_frames(self) -> list[str]:
        """Ids of the clips whose frame bytes do not have the hash that the file records."""
        return [sample.row.id for number, sample in enumerate(self._samples) if not self._frames_hold(number, sample)]

    def damaged_sides(self) -> list[str]:
        """Ids of the clips whose extras or masks do not have the hash that the file records."""
        damaged = []
        for number, sample in enumerate(self._samples):
            try:
                found = self.side(number).sha256()
            except ShardError:
                found = ""
            if found != sample.told["side_sha256"]:
                damaged.append(sample.row.id)
        return damaged

    def damaged_clips(self) -> list[str]:
        """Ids of the clips of which anything is not as it was written."""
        return sorted({*self.damaged_frames(), *self.damaged_sides()})

    def _frames_hold(self, number: int, sample: _Sample) -> bool:
        digest = hashlib.sha256()
        try:
            if self.codec == "raw":
                digest.update(np.ascontiguousarray(self.clip(number)).data.cast("B"))
            else:
                for image in self._images(sample):
                    digest.update(image)
        except (ShardError, KeyError):
            return False
        return bool(digest.hexdigest() == sample.told["sha256"])

    def _images(self, sample: _Sample) -> list[bytes]:
        return [self._read(sample, f"{number:04d}.jpg") for number in range(sample.row.length)]

    def _read(self, sample: _Sample, kind: str) -> bytes:
        offset, size = sample.members[kind]
        with self.path.open("rb") as stream:
            stream.seek(offset)
            return stream.read(size)

    @cached_property
    def _samples(self) -> list[_Sample]:
        if not self.path.is_file():
            raise ShardError(f"{self.path}: no such shard; export again")
        try:
            samples = self._index()
        except (OSError, tarfile.TarError, KeyError, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ShardError(f"{self.path}: not a readable shard ({reason}); run: curate verify") from None
        if not samples:
            raise ShardError(f"{self.path}: not a readable shard (it holds no clip); run: curate verify")
        return samples

    def _index(self) -> list[_Sample]:
        samples: list[_Sample] = []
        members: dict[str, dict[str, tuple[int, int]]] = {}
        size = self.path.stat().st_size
        with self.path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                key, _, kind = member.name.partition(".")
                if not member.isfile() or member.offset_data + member.size > size:
                    raise ValueError(f"{member.name} is not whole, or no file")
                members.setdefault(key, {})[kind] = (member.offset_data, member.size)
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                if kind == "json":
                    back = stream.tell()
                    stream.seek(member.offset_data)
                    told = json.loads(stream.read(member.size))
                    stream.seek(back)
                    samples.append(self._sample(key, members[key], told))
            if tar.offset > size:
                raise ValueError("it is cut off")
        if len(samples) != len(members):
            raise ValueError("a clip has no .json")
        return samples

    def _sample(self, key: str, members: dict[str, tuple[int, int]], told: dict[str, Any]) -> _Sample:
        export = told["export"]
        if export["schema_version"] != SCHEMA_VERSION:
            raise ShardError(
                f"{self.path}: shard schema version {export['schema_version']}, this version of stillflow reads "
                f"{SCHEMA_VERSION}; export again, or update stillflow"
            )
        if recipe_hash(export["recipe"]) != export["recipe_hash"]:
            raise ValueError(f"the recipe of {key} does not have the hash that it states")
        return _Sample(key=key, members=members, told=told, row=ClipRow(**{name: told[name] for name in ROW_FIELDS}))


def open_shard(path: Path) -> ShardReader | TarReader:
    """A reader for a shard of either format."""
    return TarReader(path) if path.suffix == ".tar" else ShardReader(path)
