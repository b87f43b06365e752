"""Verification against the catalogue: the newest export holds the accepted clips, where the split wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.exporting.export import entries
from curation.exporting.plan import newest_exports
from curation.exporting.recipe import FORMATS, FormatName
from curation.verifying.rows import component_faults, decision_faults, row_fault, taken_down_faults
from curation.verifying.verify import CheckedFolder, CheckedShard, Fault, check_folder
from db.engine import Catalogue
from db.models import Clip, Export, ExportShard, Shard, ShardClip, Split
from db.shards import MANIFEST, Manifest, ShardEntry
from db.states import ClipState
from db.verdicts import standing


class NothingExportedError(Exception):
    """There is no finished export to verify."""


def check_dataset(
    catalogue: Catalogue,
    *,
    planned: Callable[[int], None] = lambda shards: None,
    done: Callable[[CheckedShard], None] = lambda shard: None,
) -> CheckedFolder:
    """Check the newest export of each format: files, manifest, catalogue. `planned` is told how many shards there are.

    The manifest that is returned is that of the HDF5 shards, where there are any.
    """
    with catalogue.reading() as session:
        newest = {name: export.version for name, export in newest_exports(session).items()}
    if not newest:
        raise NothingExportedError("nothing has been exported yet")
    formats = [_check_format(catalogue, name, version, planned, done) for name, version in newest.items()]
    faults = [fault for checked in formats for fault in checked.faults]
    with catalogue.reading() as session:
        exports = [session.get_one(Export, version) for version in newest.values()]
        leaks, official = component_faults(session, exports)
        faults += leaks
        faults += decision_faults(session)
        faults += taken_down_faults(catalogue, session)
    return CheckedFolder(
        manifest=formats[0].manifest,
        shards=tuple(shard for checked in formats for shard in checked.shards),
        faults=tuple(faults),
        official_leaks=tuple(official),
    )


def _check_format(
    catalogue: Catalogue,
    name: FormatName,
    version: int,
    planned: Callable[[int], None],
    done: Callable[[CheckedShard], None],
) -> CheckedFolder:
    with catalogue.reading() as session:
        newest = session.get_one(Export, version)
        recorded = entries(session, [shard.id for shard in newest.shards])
    planned(len(recorded))
    folder = FORMATS[name].folder
    checked = check_folder(catalogue.folder / folder, expected=recorded, done=done)
    faults = [*checked.faults]
    with catalogue.reading() as session:
        newest = session.get_one(Export, version)
        if checked.manifest is not None:
            faults += _manifest_faults(newest, recorded, checked.manifest)
        faults += _shard_faults(newest.shards, checked.shards)
        faults += _clip_faults(session, newest)
    if name != "hdf5":  # each format's folder has one
        faults = [replace(fault, file=f"{folder}/{MANIFEST}") if fault.file == MANIFEST else fault for fault in faults]
    return replace(checked, faults=tuple(faults))


def _manifest_faults(newest: Export, recorded: Sequence[ShardEntry], manifest: Manifest) -> list[Fault]:
    if manifest.version != newest.version:
        return [
            row_fault(
                MANIFEST, f"is of version {manifest.version}, the newest export is {newest.version}; export again"
            )
        ]
    told = []
    if manifest.recipe_hash != newest.recipe_hash:
        told.append(row_fault(MANIFEST, "names another recipe than the catalogue"))
    listed = {entry.file: entry for entry in manifest.shards}
    known = {entry.file: entry for entry in recorded}
    told += [
        row_fault(file, "is in the manifest and not in the export") for file in sorted(listed.keys() - known.keys())
    ]
    told += [
        row_fault(file, "is in the export and not in the manifest") for file in sorted(known.keys() - listed.keys())
    ]
    told += [
        row_fault(file, "the manifest and the catalogue say different things of it")
        for file in sorted(listed.keys() & known.keys())
        if listed[file] != known[file]
    ]
    return told


def _shard_faults(shards: Sequence[Shard], checked: Sequence[CheckedShard]) -> list[Fault]:
    """Clips, order, lengths and hashes in the file against the catalogue's rows."""
    told = []
    found = {shard.file: shard for shard in checked}
    for shard in shards:
        name = shard.file.rpartition("/")[2]
        file = found.get(name)
        if file is None or not file.rows:  # told already
            continue
        there = [(row.id, row.length, digest) for row, digest in zip(file.rows, file.clip_sha256, strict=True)]
        known = [(clip.clip_id, clip.length, clip.sha256) for clip in shard.clips]
        if there != known:
            different = sorted({clip[0] for clip in set(there) ^ set(known)})
            which = f"clips {', '.join(different[:5])}" if different else "the order of its clips"
            told.append(row_fault(name, f"its clips are not as the catalogue has them: {which}"))
    return told


def _clip_faults(session: Session, newest: Export) -> list[Fault]:
    """Each clip accepted, by a decision that stands, and in its video's split."""
    told = []
    stands = standing(session)
    rows = session.execute(
        select(Shard.file, Shard.split, Clip.id, Clip.state, Clip.video_id, Split.name)
        .join(ExportShard, ExportShard.shard_id == Shard.id)
        .join(ShardClip, ShardClip.shard_id == Shard.id)
        .join(Clip, Clip.id == ShardClip.clip_id)
        .outerjoin(Split, Split.video_id == Clip.video_id)
        .where(ExportShard.version == newest.version)
        .order_by(Shard.file, ShardClip.position)
    )
    for file, split, clip, state, video, split_now in rows:
        name = file.rpartition("/")[2]
        verdict = stands[clip].verdict if clip in stands else None
        if state != ClipState.ACCEPTED:
            told.append(row_fault(name, f"clip {clip} is {state}, not accepted; export again"))
        elif verdict != "accept":
            said = "no decision that stands says so" if verdict is None else f"its decisions come to {verdict!r}"
            told.append(row_fault(name, f"clip {clip} counts as accepted, but {said}"))
        if split_now != split:
            told.append(
                row_fault(name, f"clip {clip}: video {video} is now in {split_now or 'no split'}; export again")
            )
    return told
