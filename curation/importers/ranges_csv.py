"""Lists of ranges of web videos as CSV: Kinetics' own layouts, and plain `url,start,end[,label][,split]`.

A first row that names its columns is obeyed, in any order; without one, the plain layout's order is meant.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

from curation.errors import ErrorClass, StageError
from curation.importers.layout import LayoutError, Refused
from curation.providers import youtube
from curation.providers.found import Found
from curation.providers.urls import identify_url, is_url

# The names that DeepMind's files, and others made of them, give the columns.
COLUMNS = {
    "youtube_id": "id",
    "video-id": "id",
    "url": "url",
    "time_start": "start",
    "start-time": "start",
    "start": "start",
    "time_end": "end",
    "end-time": "end",
    "end": "end",
    "label": "label",
    "label-name": "label",
    "split": "split",
    "is_cc": "is_cc",
}
PLAIN = ("url", "start", "end", "label", "split")
SPLITS = {
    "": None,
    "train": "train",
    "training": "train",
    "val": "val",
    "validate": "val",  # Kinetics-700's word
    "validation": "val",
    "test": "test",
    "testing": "test",
}
YES, NO = ("1", "true", "yes"), ("0", "false", "no", "")


@dataclass(frozen=True, kw_only=True)
class Ranged:
    """One row: a video and the range of it that is wanted, in seconds, end exclusive; None: the whole video."""

    found: Found
    range: tuple[float, float] | None


@dataclass(kw_only=True)
class RangedRows:
    """The rows of one or more files, those that cannot be read with their numbers."""

    rows: list[Ranged] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


def read_ranges(path: Path) -> RangedRows:
    """Read a file. Raises `LayoutError` if its first row is of neither layout."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        return _read(stream, path)


def _read(stream: TextIO, path: Path) -> RangedRows:
    result = RangedRows()
    columns: list[str | None] | None = None
    for number, cells in _rows(stream, path, result):
        if columns is None:
            columns = _columns(cells, path)
            if columns is None:
                columns = list(PLAIN)
            else:
                continue
        try:
            result.rows.append(_row(cells, columns))
        except StageError as error:
            result.refused.append(_refused(path, number, error))
    if columns is None:
        raise LayoutError(f"{path}: the file is empty")
    return result


def _rows(stream: TextIO, path: Path, result: RangedRows) -> Iterator[tuple[int, list[str]]]:
    """(number of its line, cells) of each row that is one."""
    reader = csv.reader(stream, strict=True)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            result.refused.append(_refused(path, reader.line_num, StageError(ErrorClass.CORRUPT, f"no CSV: {error}")))
            continue
        if any(cell.strip() for cell in cells):
            yield reader.line_num, [cell.strip() for cell in cells]


def _refused(path: Path, number: int, error: StageError) -> Refused:
    return Refused(item=f"{path.name}, line {number}", source=str(path), error=error)


def _columns(cells: list[str], path: Path) -> list[str | None] | None:
    """What each column of a first row with names holds, unknown ones None; None if it has no names but values."""
    named = [COLUMNS.get(cell.lower()) for cell in cells]
    if "id" in named or "url" in named:
        lacking = {"start", "end"} - set(named)
        twice = {name for name in named if name is not None and named.count(name) > 1}
        if lacking and "id" in named:
            raise LayoutError(f"{path}: its first row names no column for the {' and '.join(sorted(lacking))}")
        if twice or {"id", "url"} <= set(named):
            raise LayoutError(f"{path}: its first row names two columns for the same thing: {', '.join(cells)}")
        return named
    if cells and is_url(cells[0]):
        return None
    raise LayoutError(
        f"{path}: its first row is neither Kinetics' (label,youtube_id,time_start,time_end,split) nor a URL with its"
        " start and end"
    )


def _row(cells: list[str], columns: list[str | None]) -> Ranged:
    """One row. Raises `StageError`."""
    if len(cells) > len(columns) or ("id" in columns and len(cells) < len(columns)):
        raise StageError(ErrorClass.CORRUPT, f"{len(cells)} values for {len(columns)} columns")
    values = {name: cell for name, cell in zip(columns, cells, strict=False) if name is not None}
    if any("\ufffd" in value for value in values.values()):
        raise StageError(ErrorClass.CORRUPT, "not UTF-8 text")
    if values.get("split", "").lower() not in SPLITS:
        raise StageError(ErrorClass.CORRUPT, f"split {values['split']!r} is none of train, val (validate), test")
    is_cc = values.get("is_cc", "").lower()
    if is_cc not in YES + NO:
        raise StageError(ErrorClass.CORRUPT, f"is_cc {values['is_cc']!r} is neither 0 nor 1")
    found = replace(
        _video(values),
        label=values.get("label") or None,
        official_split=SPLITS[values.get("split", "").lower()],
        licence=youtube.CREATIVE_COMMONS if is_cc in YES else None,
    )
    return Ranged(found=found, range=_range(values, needed="id" in values))


def _video(values: dict[str, str]) -> Found:
    if "url" in values:
        return identify_url(values["url"])
    try:
        return youtube.video(values["id"])
    except ValueError as error:
        raise StageError(ErrorClass.CORRUPT, str(error)) from None


def _range(values: dict[str, str], *, needed: bool) -> tuple[float, float] | None:
    start, end = values.get("start", ""), values.get("end", "")
    if not needed and not start and not end:
        return None
    try:
        seconds = float(start), float(end)
    except ValueError:
        raise StageError(ErrorClass.CORRUPT, f"start {start!r} and end {end!r} are not both seconds") from None
    if not all(map(math.isfinite, seconds)) or seconds[0] < 0 or not seconds[0] < seconds[1]:
        raise StageError(ErrorClass.CORRUPT, f"there is nothing from {start} s to {end} s")
    return seconds
