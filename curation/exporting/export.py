"""The export: accepted clips, decoded and resized, into shards; append-only versions of the data set.

A shard is renamed into place before the catalogue names it, and a version is complete once its manifest is in place:
whatever is killed in between, the next export finds what is there and does the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import av
import h5py
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, aliased

from curation.exporting.adopt import adopt
from curation.exporting.lock import exporting
from curation.exporting.plan import Prescribed, newest_export, plan_export, wanted_clips
from curation.exporting.recipe import ExportRecipe, FormatName
from curation.exporting.shards import ClipFailure, make_shard
from curation.recipes import keep_recipe
from db.engine import Catalogue
from db.leases import Claim, finish
from db.models import Clip, Decision, Export, ExportShard, Shard, ShardClip
from db.shards import SPLITS, ShardEntry, ShardError, read_manifest, write_manifest
from db.states import ClipState, move_clips

UNREVIEWED = "unreviewed"  # the annotator of clips that were accepted without a look
SHARD_BYTES = 2**30


class NothingAcceptedError(Exception):
    """No clip is accepted, and no earlier export has to be brought up to date."""


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What an export did. `version` is None if nothing could be exported; without `new_version` all stood already."""

    version: int | None
    new_version: bool
    clips: int  # in the version
    frames: int
    shards_written: int
    shards_kept: int
    shards_dropped: tuple[str, ...]  # of the version before: files that are not listed any more
    failures: tuple[ClipFailure, ...]
    remarks: tuple[str, ...]


def export_clips(
    catalogue: Catalogue,
    recipe: ExportRecipe,
    *,
    shard_bytes: int = SHARD_BYTES,
    prescribed: Sequence[Prescribed] = (),
    workers: int = 1,
    planned: Callable[[int], None] = lambda clips: None,
    clip_done: Callable[[str], None] = lambda clip: None,
) -> ExportResult:
    """Bring the shards up to date with the accepted clips. `planned` is told how many clips will be decoded.

    `prescribed` shards are made first, with their names and orders (`plan_export`).
    Raises `SplitMissingError`, `NothingAcceptedError`, `ExportBusyError`, and `OSError` for a full disk.
    """
    folder = catalogue.folder / recipe.layout.folder
    folder.mkdir(exist_ok=True)
    with exporting(catalogue) as claimed:
        for leftover in folder.glob(".*.part"):
            leftover.unlink()
        _settle(catalogue)
        with catalogue.reading() as session:
            wanted = wanted_clips(session, recipe)
            if not wanted and newest_export(session, recipe.format) is None:
                raise NothingAcceptedError("no clip is accepted")
        _remember(catalogue, recipe)
        remarks = adopt(catalogue, recipe, wanted)
        if recipe.masks is not None:
            masked = sum(bool(clip.masks) for clip in wanted.values())
            remarks.append(f"{masked:,} of {len(wanted):,} clips have masks ({recipe.masks})")
        with catalogue.reading() as session:
            plan = plan_export(session, catalogue.folder, recipe, wanted, shard_bytes, prescribed)
        planned(sum(len(new.clips) for new in plan.new))
        written: list[int] = []
        failures: list[ClipFailure] = []
        for new in plan.new:
            shard_id, failed = make_shard(catalogue, recipe, new, workers=workers, clip_done=clip_done)
            failures += failed
            if shard_id is not None:
                written.append(shard_id)
        shards = [*plan.kept, *written]
        number, changed = _publish(catalogue, claimed, recipe, shards)
        with catalogue.reading() as session:
            clips, frames, stale = _totals(session, shards)
            other = _otherwise_than_before(session, written)
        if stale:
            remarks.append(f"{stale:,} clips lost their acceptance while they were exported; run the export again")
    if other:
        remarks.append(
            f"{other:,} clips have other frames here than in an earlier shard of the same recipe: their clip files are "
            "encoded with loss, or their sources or the decoder changed"
        )
    return ExportResult(
        version=number,
        new_version=changed,
        clips=clips,
        frames=frames,
        shards_written=len(written),
        shards_kept=len(plan.kept),
        shards_dropped=plan.dropped,
        failures=tuple(failures),
        remarks=tuple(remarks),
    )


def republish(
    catalogue: Catalogue, recipe: ExportRecipe, shards: Callable[[], Sequence[int]]
) -> tuple[int | None, bool]:
    """Make other shards, by id, the newest version of a recipe's format. `shards` is called once no export runs.

    Returns the version's number, and whether it is a new one. Raises `ExportBusyError`.
    """
    with exporting(catalogue) as claimed:
        _settle(catalogue)
        return _publish(catalogue, claimed, recipe, shards())


def accept_unreviewed(catalogue: Catalogue) -> int:
    """Accept all pending clips, with a decision each by annotator `unreviewed`. Returns how many."""
    with catalogue.writing() as session:
        pending = list(session.scalars(select(Clip.id).where(Clip.state == ClipState.PENDING).order_by(Clip.id)))
        session.add_all(Decision(clip_id=clip, annotator=UNREVIEWED, verdict="accept") for clip in pending)
        session.flush()
        return move_clips(session, pending, ClipState.ACCEPTED)


def newest_shards(session: Session, format: FormatName = "hdf5") -> dict[str, str]:
    """Each clip of the newest export of a format -> its shard's file, relative to the dataset folder."""
    newest = newest_export(session, format)
    if newest is None:
        return {}
    rows = session.execute(
        select(ShardClip.clip_id, Shard.file)
        .join(Shard, Shard.id == ShardClip.shard_id)
        .join(ExportShard, ExportShard.shard_id == Shard.id)
        .where(ExportShard.version == newest.version)
    )
    return dict(rows.all())


def entries(session: Session, shard_ids: Sequence[int]) -> list[ShardEntry]:
    """Shards as a manifest lists them: by split, then by file."""
    shards = session.scalars(select(Shard).where(Shard.id.in_(shard_ids))).all()
    clips: dict[int, list[str]] = defaultdict(list)
    for shard_id, clip_id in session.execute(
        select(ShardClip.shard_id, ShardClip.clip_id)
        .where(ShardClip.shard_id.in_(shard_ids))
        .order_by(ShardClip.shard_id, ShardClip.position)
    ):
        clips[shard_id].append(clip_id)
    return [
        ShardEntry(
            file=Path(shard.file).name,
            split=shard.split,
            sha256=shard.sha256,
            bytes=shard.bytes,
            clips=len(clips[shard.id]),
            frames=shard.frames,
            clip_ids=tuple(clips[shard.id]),
        )
        for shard in sorted(shards, key=lambda shard: (SPLITS.index(shard.split), shard.file))
    ]


def _settle(catalogue: Catalogue) -> None:
    """Versions that a killed export left open: those with a manifest are whole, the others never were."""
    with catalogue.writing() as session:
        for unfinished in session.scalars(select(Export).where(~Export.complete)).all():
            path = catalogue.folder / unfinished.manifest
            try:
                unfinished.complete = read_manifest(path.parent, path.name).version == unfinished.version
            except ShardError:
                session.execute(delete(ExportShard).where(ExportShard.version == unfinished.version))
                session.delete(unfinished)


def _remember(catalogue: Catalogue, recipe: ExportRecipe) -> None:
    with catalogue.writing() as session:
        keep_recipe(session, "export", recipe.settings())


def _publish(
    catalogue: Catalogue, claimed: Claim, recipe: ExportRecipe, shards: Sequence[int]
) -> tuple[int | None, bool]:
    """Make these shards the newest version, unless they are. Returns its number, and whether it is a new one."""
    folder = recipe.layout.folder
    with catalogue.writing() as session:
        newest = newest_export(session, recipe.format)
        if newest is None and not shards:
            return None, False
        same = (
            newest is not None
            and newest.recipe_hash == recipe.hash
            and {shard.id for shard in newest.shards} == set(shards)
        )
        if same and newest is not None:
            number = newest.version
        else:
            number = (session.scalar(select(func.max(Export.version))) or 0) + 1
            manifest = f"{folder}/manifest-{number}.json"
            session.add(Export(version=number, recipe_hash=recipe.hash, format=recipe.format, manifest=manifest))
            session.flush()
            session.add_all(ExportShard(version=number, shard_id=shard) for shard in shards)
        listed = entries(session, shards)
    if not same or not _in_place(catalogue.folder / folder, number, listed):
        write_manifest(
            catalogue.folder / folder, version=number, recipe=recipe.settings(), tools=tools(), shards=listed
        )
    with catalogue.writing() as session:
        finish(session, claimed)
        session.get_one(Export, number).complete = True
    return number, not same


def _in_place(folder: Path, number: int, listed: Sequence[ShardEntry]) -> bool:
    """Whether both manifests of a version stand as they should."""
    try:
        found = [read_manifest(folder, name) for name in (f"manifest-{number}.json", "manifest.json")]
    except ShardError:
        return False
    return all(manifest.version == number and manifest.shards == tuple(listed) for manifest in found)


def _totals(session: Session, shards: Sequence[int]) -> tuple[int, int, int]:
    """Clips, frames, and clips that are not accepted, of these shards."""
    clips, frames = session.execute(
        select(func.count(), func.sum(ShardClip.length)).where(ShardClip.shard_id.in_(shards))
    ).one()
    stale = session.scalar(
        select(func.count())
        .select_from(ShardClip)
        .join(Clip, Clip.id == ShardClip.clip_id)
        .where(ShardClip.shard_id.in_(shards), Clip.state != ClipState.ACCEPTED)
    )
    return clips, frames or 0, stale or 0


def _otherwise_than_before(session: Session, written: Sequence[int]) -> int:
    """Clips of new shards whose frames an older shard of the same recipe has otherwise."""
    before, shard, older = aliased(ShardClip), aliased(Shard), aliased(Shard)
    rows = (
        select(func.count(ShardClip.clip_id.distinct()))
        .join(shard, shard.id == ShardClip.shard_id)
        .join(before, before.clip_id == ShardClip.clip_id)
        .join(older, older.id == before.shard_id)
        .where(ShardClip.shard_id.in_(written), older.id < shard.id, older.recipe_hash == shard.recipe_hash)
        .where(before.sha256 != ShardClip.sha256)
    )
    return session.scalar(rows) or 0


def tools() -> dict[str, str]:
    """Versions of what a shard's bytes may depend on."""
    names = ("stillflow", "av", "numpy", "h5py", "opencv-python-headless")
    return {
        **{name: version(name) for name in names},
        "ffmpeg": av.ffmpeg_version_info,
        "hdf5": h5py.version.hdf5_version,
    }
