"""What the readers of all data sets share: items, items that cannot be read, and looking at folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.errors import StageError
from curation.providers.folder import natural_key
from curation.providers.found import Found

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff"})


class LayoutError(Exception):
    """The path does not hold this data set; the message says what was expected and what was found."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """A video's frames, (H, W, 3) uint8 RGB in order, and what goes with them: (frames, ...) arrays by name."""

    frames: Iterable[NDArray[np.uint8]]
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Made:
    """A video to be made. `read` is called only if it is not there yet, and may raise `StageError`."""

    found: Found
    fps: Fraction
    read: Callable[[], Content]


@dataclass(frozen=True, kw_only=True)
class Refused:
    """An item that cannot be brought in: its name, where it was met, and why."""

    item: str
    source: str
    error: StageError


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A data set to be made: its items, read as they are asked for; `total` as far as it is known before."""

    items: Iterator[Made | Refused]
    total: int | None
    remarks: Sequence[str] = ()


@dataclass(kw_only=True)
class Files:
    """A data set that lies as video files: those to be queued, what cannot be, and remarks."""

    found: list[Found] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def folders(path: Path) -> list[Path]:
    """The folders in a folder, without hidden ones, in numeric order."""
    return _sorted(entry for entry in _listed(path) if entry.is_dir())


def files(path: Path, suffixes: Iterable[str]) -> list[Path]:
    """The files in a folder with one of these (lower-case) suffixes, without hidden ones, in numeric order."""
    wanted = frozenset(suffixes)
    return _sorted(entry for entry in _listed(path) if entry.suffix.lower() in wanted and entry.is_file())


def _listed(path: Path) -> Iterator[Path]:
    with os.scandir(path) as entries:
        yield from (Path(entry.path) for entry in entries if not entry.name.startswith("."))


def _sorted(entries: Iterable[Path]) -> list[Path]:
    return sorted(entries, key=lambda entry: natural_key(Path(entry.name)))


def refuse_layout(path: Path, expected: str) -> LayoutError:
    """The error for a path that holds something else."""
    if path.is_dir():
        names = [entry.name + "/" * entry.is_dir() for entry in _sorted(_listed(path))]
        more = f" and {len(names) - 6:,} more" if len(names) > 6 else ""
        there = ", ".join(names[:6]) + more if names else "nothing"
    else:
        there = "a file"
    return LayoutError(f"{path}: expected {expected}; found {there}")
