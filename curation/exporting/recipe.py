"""What an export makes: the recipe that all its pixels depend on, and the two formats of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from db.recipes import recipe_hash
from db.shards import RAW, SPLITS, Codec

FormatName = Literal["hdf5", "webdataset"]
MaskOrigin = Literal["given", "motion"]
# JPEG frames are taken as this part of raw ones where shards are planned: real footage at quality 95 came to 0.12 (at
# 256x256) to 0.25 (at 64x64).
JPEG_PART = 5


@dataclass(frozen=True, kw_only=True)
class Format:
    """A kind of shard files. Each format has a folder, file numbers and a line of versions of its own."""

    name: FormatName
    folder: str  # in the dataset
    suffix: str

    def file(self, split: str, number: int) -> str:
        """A shard's name in the folder."""
        return f"{split}-{number:05d}{self.suffix}"

    def parse(self, name: str) -> tuple[str, int] | None:
        """The split and the number that a file name tells, if it is a shard's."""
        found = re.fullmatch(rf"({'|'.join(SPLITS)})-(\d{{5,}}){re.escape(self.suffix)}", name)
        return (found[1], int(found[2])) if found else None


HDF5 = Format(name="hdf5", folder="shards", suffix=".h5")
WEBDATASET = Format(name="webdataset", folder="webdataset", suffix=".tar")
FORMATS: dict[FormatName, Format] = {"hdf5": HDF5, "webdataset": WEBDATASET}


@dataclass(frozen=True, kw_only=True)
class ExportRecipe:
    """All that the pixels of an export depend on. Frames are `size` x `size`; `fps` None keeps the source's frames.

    `masks` names the origin of the label maps that stand beside the frames. Extras always do, where a clip has any.
    """

    size: int = 128
    fit: Literal["crop", "squash"] = "crop"
    fps: Fraction | None = Fraction(25)
    codec: Codec = RAW
    masks: MaskOrigin | None = None
    format: FormatName = "hdf5"

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise ValueError(f"size must be from 8 to 4096 pixels, not {self.size}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"fps must be above 0 and at most 1000, not {self.fps}")

    def settings(self) -> dict[str, Any]:
        """As stored and hashed. What came later stands in it only where it is used: older exports keep their hash."""
        return {
            "kind": "export",
            "version": 1,
            "size": self.size,
            "fit": self.fit,
            "fps": "native" if self.fps is None else str(self.fps),
            **self.codec.settings(),
            **({} if self.masks is None else {"masks": self.masks}),
            **({} if self.format == "hdf5" else {"format": self.format}),
        }

    @classmethod
    def of_settings(cls, settings: dict[str, Any]) -> ExportRecipe:
        """The recipe that was stored as these settings. Raises `ValueError` if this version makes no such export."""
        try:
            recipe = cls(
                size=settings["size"],
                fit=settings["fit"],
                fps=None if settings["fps"] == "native" else Fraction(settings["fps"]),
                codec=Codec(name=settings["codec"], quality=settings.get("quality", Codec.quality)),
                masks=settings.get("masks"),
                format=settings.get("format", "hdf5"),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"not the settings of an export ({error})") from None
        if recipe.settings() != settings:
            raise ValueError("these settings of an export are not known to this version of stillflow")
        return recipe

    @property
    def hash(self) -> str:
        return recipe_hash(self.settings())

    @property
    def layout(self) -> Format:
        """Where its shards go, and how they are named."""
        return FORMATS[self.format]

    @property
    def shard_fps(self) -> float:
        """As a shard states it: 0 for native."""
        return 0.0 if self.fps is None else float(self.fps)

    @property
    def frame_bytes(self) -> int:
        """What a frame takes in a shard, or about that where it is encoded: for the planning of shards' sizes."""
        raw = self.size * self.size * 3
        return raw if self.codec.name == "raw" else raw // JPEG_PART
