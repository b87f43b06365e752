"""The manifest beside the shards: which files make up a version of the data set, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from db.files import replacing
from db.recipes import recipe_hash

MANIFEST = "manifest.json"
SCHEMA_VERSION = 1
SPLITS = ("train", "val", "test")


class ShardError(Exception):
    """A shard or manifest cannot be used; the message names it and says what to do, in one line."""


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard in a manifest. `clip_ids` in the order of the file."""

    file: str
    split: str
    sha256: str
    bytes: int
    clips: int
    frames: int
    clip_ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One exported version."""

    version: int
    recipe: Mapping[str, Any]
    recipe_hash: str
    tools: Mapping[str, str]
    shards: tuple[ShardEntry, ...]

    def of_split(self, split: str) -> tuple[ShardEntry, ...]:
        """The shards of one split; none if the split is empty."""
        return tuple(shard for shard in self.shards if shard.split == split)


def write_manifest(
    folder: Path, *, version: int, recipe: Mapping[str, Any], tools: Mapping[str, str], shards: Sequence[ShardEntry]
) -> Manifest:
    """Write `manifest-<version>.json`, then make it the newest as `manifest.json`."""
    manifest = Manifest(
        version=version, recipe=dict(recipe), recipe_hash=recipe_hash(recipe), tools=dict(tools), shards=tuple(shards)
    )
    content = {
        "schema_version": SCHEMA_VERSION,
        "version": version,
        "recipe": manifest.recipe,
        "recipe_hash": manifest.recipe_hash,
        "tools": manifest.tools,
        # An empty split is listed too, so that its absence is known to be meant.
        "splits": {
            split: {
                "shards": len(manifest.of_split(split)),
                "clips": sum(shard.clips for shard in manifest.of_split(split)),
                "frames": sum(shard.frames for shard in manifest.of_split(split)),
            }
            for split in SPLITS
        },
        "shards": [asdict(shard) for shard in manifest.shards],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    for name in (f"manifest-{version}.json", MANIFEST):
        with replacing(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return manifest


def read_manifest(folder: Path, name: str = MANIFEST) -> Manifest:
    """Read a shards folder's manifest. Raises `ShardError` if there is none, or none that this version reads."""
    path = Path(folder) / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{folder} holds no {name}: not a shards folder; make one with: curate export") from None
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: cannot be read ({error}); export again") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise ShardError(
            f"{path}: schema version {version}, this version of stillflow reads {SCHEMA_VERSION}; "
            "export again, or update stillflow"
        )
    try:
        return Manifest(
            version=content["version"],
            recipe=content["recipe"],
            recipe_hash=content["recipe_hash"],
            tools=content["tools"],
            shards=tuple(ShardEntry(**{**entry, "clip_ids": tuple(entry["clip_ids"])}) for entry in content["shards"]),
        )
    except (KeyError, TypeError) as error:
        raise ShardError(f"{path}: damaged ({error!r}); export again") from None
