"""Shards that an export wrote and was killed before recording: taken in, where this export would write them so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import select

from curation.exporting.plan import WantedClip
from curation.exporting.recipe import ExportRecipe
from curation.exporting.shards import record
from curation.exporting.webdataset_reader import open_shard
from db.engine import Catalogue
from db.files import sha256_of
from db.models import Shard, now
from db.shards import ShardError, ShardInfo


def adopt(catalogue: Catalogue, recipe: ExportRecipe, wanted: Mapping[str, WantedClip]) -> list[str]:
    """Take in whole shards that the catalogue does not know. Returns remarks on other strays."""
    layout = recipe.layout
    with catalogue.reading() as session:
        known = set(session.scalars(select(Shard.file)))
    remarks = []
    for path in sorted((catalogue.folder / layout.folder).glob(f"*{layout.suffix}")):
        stored = f"{layout.folder}/{path.name}"
        if stored in known or not layout.parse(path.name):
            continue
        info = _as_written(path, recipe, wanted)
        if info is None:
            remarks.append(f"{stored} belongs to no export of this dataset; delete it if nothing needs it")
            continue
        with catalogue.writing() as session:
            record(session, recipe, info, now())
    return remarks


def _as_written(path: Path, recipe: ExportRecipe, wanted: Mapping[str, WantedClip]) -> ShardInfo | None:
    """What a stray shard is, if this export would write its clips just so."""
    try:
        with open_shard(path) as reader:
            rows = reader.rows
            if reader.recipe_hash != recipe.hash or not all(
                row.id in wanted and wanted[row.id].row == row and wanted[row.id].split == reader.split for row in rows
            ):
                return None
            if reader.damaged_clips():
                return None
            return ShardInfo(
                path=path,
                split=reader.split,
                sha256=sha256_of(path),
                bytes=path.stat().st_size,
                frames=reader.frame_count,
                rows=rows,
                clip_sha256=reader.clip_sha256,
            )
    except ShardError:
        return None
