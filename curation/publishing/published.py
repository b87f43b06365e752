"""The published manifest: all that others need to rebuild a data set from its sources, in one JSON file.

Videos (where they are had, SHA-256, licence), clips (exact times, split), recipes, and which clip stands where in which
shard, with the hash that the shard then has. Malformed rows are named by their numbers, and the rest goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from curation.exporting.recipe import ExportRecipe
from db.files import replacing
from db.recipes import recipe_hash
from db.shards import SPLITS, ShardError

KIND = "stillflow data set"
SCHEMA_VERSION = 1
ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")  # becomes part of file names
HASH = re.compile(r"[0-9a-f]{64}")
R = TypeVar("R")


class ManifestError(ShardError):
    """A published manifest cannot be used at all; one line that names it."""


@dataclass(frozen=True, kw_only=True)
class PublishedVideo:
    """A source video. `source` is its URL, or a local file's path, or with `name_only` that file's name."""

    id: str
    provider: str
    provider_id: str
    source: str
    name_only: bool = False
    sha256: str | None = None  # None: only sections of it were fetched
    bytes: int | None = None
    duration: float | None = None
    title: str | None = None
    channel: str | None = None
    channel_id: str | None = None
    licence: str | None = None
    label: str | None = None
    official_split: str | None = None
    group_key: str | None = None
    split: str
    component: str

    def fault(self) -> str | None:
        """What is wrong with it."""
        if not ID.fullmatch(self.id):
            return f"{self.id!r} is no id"
        if self.split not in SPLITS or self.official_split not in (None, *SPLITS):
            return f"its split is none of {', '.join(SPLITS)}"
        if not self.source or "\0" in self.source:
            return "it has no source"
        if self.sha256 is not None and not HASH.fullmatch(self.sha256):
            return f"{self.sha256!r} is no SHA-256"
        return None


@dataclass(frozen=True, kw_only=True)
class PublishedClip:
    """A clip: frames with start_pts <= pts < end_pts in `time_base` ([numerator, denominator]); seconds for people."""

    id: str
    video: str
    recipe: str
    index: int
    start: float
    end: float
    start_pts: int
    end_pts: int
    time_base: tuple[int, int]
    frames: int
    short: bool = False
    scene: str | None = None
    file_recipe: str | None = None  # its frames were taken from a file of its own, encoded so

    def fault(self) -> str | None:
        """What is wrong with it."""
        if not ID.fullmatch(self.id):
            return f"{self.id!r} is no id"
        if len(self.time_base) != 2 or not all(isinstance(part, int) and part > 0 for part in self.time_base):
            return f"{list(self.time_base)} is no time base"
        if self.end_pts <= self.start_pts or self.frames < 1 or self.end <= self.start or self.index < 0:
            return "it is empty"
        return None


@dataclass(frozen=True, kw_only=True)
class PublishedShard:
    """A shard: its clips in their order, each with the hash of its frames, and the hash of the whole file."""

    format: str
    recipe: str
    file: str
    split: str
    sha256: str
    bytes: int
    frames: int
    clips: tuple[str, ...]
    clip_sha256: tuple[str, ...]

    def fault(self) -> str | None:
        """What is wrong with it."""
        if self.split not in SPLITS or not self.clips or len(self.clips) != len(self.clip_sha256):
            return "its split or its clips are not such"
        return None


@dataclass(frozen=True, kw_only=True)
class Published:
    """A manifest. `recipes`: settings by hash, with their kind in them."""

    tools: Mapping[str, str]
    versions: Mapping[str, int]  # of the export of each format
    recipes: Mapping[str, Mapping[str, Any]]
    videos: tuple[PublishedVideo, ...]
    clips: tuple[PublishedClip, ...]
    shards: tuple[PublishedShard, ...]
    faults: tuple[str, ...] = field(default=(), compare=False)  # rows that could not be read, one line each

    def export_recipes(self) -> list[ExportRecipe]:
        """Of the published shards, those that this version can make."""
        found = []
        for key in dict.fromkeys(shard.recipe for shard in self.shards):
            try:
                found.append(ExportRecipe.of_settings(dict(self.recipes[key])))
            except ValueError:
                continue
        return found


def write_published(path: Path, published: Published) -> None:
    """Write a manifest, a row a line, so that two of them can be compared by any tool."""
    head = {"kind": KIND, "schema_version": SCHEMA_VERSION, "tools": dict(published.tools)}
    head |= {"versions": dict(published.versions)}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write("{")
        stream.write(",\n".join(f"{_json(name)}: {_json(value)}" for name, value in head.items()))
        recipes = ",\n".join(f"{_json(key)}: {_json(value)}" for key, value in sorted(published.recipes.items()))
        stream.write(f',\n"recipes": {{\n{recipes}\n}}')
        for name, rows in (("videos", published.videos), ("clips", published.clips), ("shards", published.shards)):
            defaults = {each.name: each.default for each in fields(rows[0])} if rows else {}
            lines = ",\n".join(_json(_row(row, defaults)) for row in rows)
            stream.write(f',\n"{name}": [\n{lines}\n]')
        stream.write("\n}\n")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _row(row: Any, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What is not at its default."""
    return {name: value for name, value in vars(row).items() if value != defaults[name]}


def read_published(path: Path) -> Published:
    """Read a manifest. Raises `ManifestError` if it is none that this version reads; bad rows are in `faults`."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ManifestError(f"{path}: cannot be read ({reason})") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ManifestError(f"{path}: not a published manifest; make one with: curate manifest")
    if content.get("schema_version") != SCHEMA_VERSION:
        raise ManifestError(
            f"{path}: schema version {content.get('schema_version')}, this version of stillflow reads "
            f"{SCHEMA_VERSION}; update stillflow"
        )
    faults: list[str] = []
    recipes = {}
    for key, settings in _mapping(content, "recipes").items():
        if isinstance(settings, dict) and isinstance(settings.get("kind"), str) and recipe_hash(settings) == key:
            recipes[key] = settings
        else:
            faults.append(f"recipes, {key[:12]}: its settings do not have this hash")
    videos = _rows(content, "videos", PublishedVideo, faults)
    known = {video.id for video in videos}
    clips = _rows(
        content,
        "clips",
        PublishedClip,
        faults,
        lambda clip: (
            f"its video {clip.video} is not listed"
            if clip.video not in known
            else None
            if clip.recipe in recipes
            else f"its recipe {clip.recipe[:12]} is not listed"
        ),
    )
    shards = _rows(
        content,
        "shards",
        PublishedShard,
        faults,
        lambda shard: None if shard.recipe in recipes else f"its recipe {shard.recipe[:12]} is not listed",
    )
    return Published(
        tools=_mapping(content, "tools"),
        versions=_mapping(content, "versions"),
        recipes=recipes,
        videos=videos,
        clips=clips,
        shards=shards,
        faults=tuple(faults),
    )


def _mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = content.get(name)
    return found if isinstance(found, dict) else {}


def _rows(
    content: Mapping[str, Any],
    name: str,
    kind: type[R],
    faults: list[str],
    fault_of: Callable[[R], str | None] = lambda row: None,
) -> tuple[R, ...]:
    listed = content.get(name)
    rows: dict[str, R] = {}
    types = _types(kind)
    for number, raw in enumerate(listed if isinstance(listed, list) else [], 1):
        try:
            row = _typed(kind, types, raw)
            key = getattr(row, "id", None) or f"{row.format}/{row.file}"  # type: ignore[attr-defined]
            fault = row.fault() or fault_of(row) or (f"{key} is listed twice" if key in rows else None)  # type: ignore[attr-defined]
        except (TypeError, ValueError) as error:
            fault = str(error)
        if fault:
            faults.append(f"{name}, row {number}: {fault}")
        else:
            rows[key] = row
    return tuple(rows.values())


def _types(kind: type[Any]) -> dict[str, tuple[tuple[Any, ...], bool]]:
    """Of each field: the types that it may have, and whether it must be there."""
    hints = get_type_hints(kind)
    return {
        each.name: (
            get_args(hints[each.name]) if isinstance(hints[each.name], UnionType) else (hints[each.name],),
            each.default is MISSING,
        )
        for each in fields(kind)
    }


def _typed(kind: type[R], types: Mapping[str, tuple[tuple[Any, ...], bool]], raw: Any) -> R:
    """A row of JSON as a dataclass, each value of the type that its field names. Raises `TypeError`."""
    if not isinstance(raw, dict):
        raise TypeError("not an object")
    values = {}
    for name, (allowed, needed) in types.items():
        if name in raw:
            values[name] = _value(name, raw[name], allowed)
        elif needed:
            raise TypeError(f"{name} is missing")
    return kind(**values)


def _value(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    for option in allowed:
        if type(value) is option:
            return value
        if option is float and type(value) is int:
            return float(value)
        if type(value) is list and get_origin(option) is tuple:
            part = get_args(option)[0]
            if all(type(item) is part for item in value):
                return tuple(value)
    raise TypeError(f"{name} is {json.dumps(value)[:40]}")
