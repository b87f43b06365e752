"""Exports without some of their clips: each shard that held one is made anew of the others, copied as they stand.

Nothing is decoded: sources may be pruned, and copied clips keep their bytes. Shards that held none are not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.exporting.export import republish
from curation.exporting.lock import exporting
from curation.exporting.plan import newest_export, newest_exports
from curation.exporting.recipe import FORMATS, ExportRecipe
from curation.exporting.shards import open_writer, record
from curation.exporting.webdataset_reader import open_shard
from db.engine import Catalogue
from db.files import sha256_of
from db.models import Clip, Recipe, Shard, ShardClip, now
from db.shards import ExtraType, ShardError, ShardInfo, SideLayout
from db.states import ClipState


@dataclass(kw_only=True)
class Rewritten:
    """What became of the newest export of a format."""

    format: str
    version: int | None = None  # None: it held none of the clips
    replaced: dict[str, str | None] = field(
        default_factory=dict
    )  # file -> the one in its place; None: nothing was left
    lost: dict[str, str] = field(default_factory=dict)  # file -> why its other clips could not be copied


def rewrite_exports(catalogue: Catalogue, *, done: Callable[[str], None] = lambda shard: None) -> list[Rewritten]:
    """Bring the newest export of each format to a version without clips that are taken down.

    Raises `ExportBusyError` if an export is running.
    """
    # An export that is running may be writing the clips just now; what a killed one left may hold them.
    with exporting(catalogue):
        for layout in FORMATS.values():
            for leftover in (catalogue.folder / layout.folder).glob(".*.part"):
                leftover.unlink()
    with catalogue.reading() as session:
        settings = {
            name: session.get_one(Recipe, export.recipe_hash).settings
            for name, export in newest_exports(session).items()
        }
    rewritten = []
    for name, found in settings.items():
        told = Rewritten(format=name)
        recipe = ExportRecipe.of_settings(found)
        with catalogue.reading() as session:
            affected = _affected(session, recipe)
        if affected:
            told.version, _ = republish(catalogue, recipe, partial(_shards, catalogue, recipe, told, done))
        rewritten.append(told)
    return rewritten


def _affected(session: Session, recipe: ExportRecipe) -> list[int]:
    """Ids of the newest export's shards that hold clips which are taken down."""
    newest = newest_export(session, recipe.format)
    if newest is None:
        return []
    down = select(ShardClip.shard_id).join(Clip, Clip.id == ShardClip.clip_id).where(Clip.state == ClipState.TAKEN_DOWN)
    held = set(session.scalars(down))
    return [shard.id for shard in newest.shards if shard.id in held]


def _shards(catalogue: Catalogue, recipe: ExportRecipe, told: Rewritten, done: Callable[[str], None]) -> Sequence[int]:
    """Ids of the shards of the new version."""
    with catalogue.reading() as session:
        newest = newest_export(session, recipe.format)
        assert newest is not None
        affected = set(_affected(session, recipe))
        shards = {shard.id: shard for shard in newest.shards}
    ids = [shard_id for shard_id in shards if shard_id not in affected]
    for shard_id in sorted(affected):
        replacement = _replace(catalogue, recipe, shards[shard_id], told)
        if replacement is not None:
            ids.append(replacement)
        done(shards[shard_id].file)
    return ids


def _replace(catalogue: Catalogue, recipe: ExportRecipe, old: Shard, told: Rewritten) -> int | None:
    with catalogue.reading() as session:
        rows = session.execute(
            select(ShardClip.clip_id, Clip.state)
            .join(Clip, Clip.id == ShardClip.clip_id)
            .where(ShardClip.shard_id == old.id)
            .order_by(ShardClip.position)
        ).all()
        wanted = [clip for clip, state in rows if state != ClipState.TAKEN_DOWN]
        told.replaced[old.file] = None
        if not wanted:
            return None
        # A call that was killed may have made it already.
        made = _made_before(catalogue, session, recipe, old.split, wanted)
    if made is None:
        try:
            made = _copy(catalogue, recipe, old, wanted)
        except ShardError as error:
            told.lost[old.file] = str(error)
            return None
    if isinstance(made, ShardInfo):
        with catalogue.writing() as session:
            made_id = record(session, recipe, made, now())
            told.replaced[old.file] = f"{recipe.layout.folder}/{made.path.name}"
            return made_id
    told.replaced[old.file] = made.file
    return made.id


def _made_before(
    catalogue: Catalogue, session: Session, recipe: ExportRecipe, split: str, wanted: list[str]
) -> Shard | ShardInfo | None:
    """A shard of just these clips: recorded, or whole in the folder and not recorded yet."""
    first = select(ShardClip.shard_id).where(ShardClip.clip_id == wanted[0], ShardClip.position == 0)
    for shard in session.scalars(
        select(Shard).where(Shard.id.in_(first), Shard.recipe_hash == recipe.hash, Shard.split == split)
    ):
        path = catalogue.path(shard.file)
        if [clip.clip_id for clip in shard.clips] == wanted and path.is_file() and path.stat().st_size == shard.bytes:
            return shard
    known = set(session.scalars(select(Shard.file)))
    layout = recipe.layout
    for path in sorted((catalogue.folder / layout.folder).glob(f"*{layout.suffix}")):
        if f"{layout.folder}/{path.name}" in known or not layout.parse(path.name):
            continue
        try:
            with open_shard(path) as reader:
                rows = reader.rows
                if (
                    [row.id for row in rows] == wanted
                    and (reader.recipe_hash, reader.split) == (recipe.hash, split)
                    and not reader.damaged_clips()
                ):
                    return ShardInfo(
                        path=path,
                        split=split,
                        sha256=sha256_of(path),
                        bytes=path.stat().st_size,
                        frames=reader.frame_count,
                        rows=rows,
                        clip_sha256=reader.clip_sha256,
                    )
        except ShardError:  # not one of ours; `curate export` speaks of it
            continue
    return None


def _copy(catalogue: Catalogue, recipe: ExportRecipe, old: Shard, wanted: list[str]) -> ShardInfo:
    """Make a shard of some clips of another. Raises `ShardError` if that is not there, or they are damaged."""
    with open_shard(catalogue.path(old.file)) as reader:
        place = {row.id: number for number, row in enumerate(reader.rows)}
        if missing := [clip for clip in wanted if clip not in place]:
            raise ShardError(f"{old.file}: does not hold clip {missing[0]}")
        if damaged := [clip for clip in reader.damaged_clips() if clip in wanted]:
            raise ShardError(f"{old.file}: clip {damaged[0]} is damaged")
        sides = {clip: reader.side(place[clip]) for clip in wanted}
        kinds = {
            name: ExtraType(dtype=values.dtype.str, shape=values.shape[1:])
            for name, values in sides[wanted[0]].extras.items()
        }
        layout = SideLayout(extras=kinds, masks=[len(sides[clip].mask_frames) for clip in wanted])
        target = catalogue.folder / recipe.layout.folder / _next_file(catalogue, recipe, old.split)
        rows = [reader.rows[place[clip]] for clip in wanted]
        with open_writer(target, recipe, old.split, rows, layout) as writer:
            for clip in wanted:
                writer.write(reader.stored(place[clip]), sides[clip])
            return writer.close()


def _next_file(catalogue: Catalogue, recipe: ExportRecipe, split: str) -> str:
    """A name with a number that was never used."""
    layout = recipe.layout
    with catalogue.reading() as session:
        names = [file.rpartition("/")[2] for file in session.scalars(select(Shard.file))]
    names += [path.name for path in (catalogue.folder / layout.folder).glob(f"*{layout.suffix}")]
    used = [parsed[1] for name in names if (parsed := layout.parse(name)) and parsed[0] == split]
    return layout.file(split, max(used, default=-1) + 1)
