"""`curate verify`: are the shards what they should be?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from curation.commands.common import (
    Dataset,
    Failure,
    Outcome,
    UsageFault,
    dataset_options,
    finish,
    next_command,
    progress,
)
from curation.verify import CheckedFolder, CheckedShard, Fault, check_folder, check_shard
from curation.verify_catalogue import NothingExportedError, check_dataset
from db.engine import Catalogue


@click.command()
@click.argument("shards", nargs=-1, type=click.Path(path_type=Path), metavar="[SHARD]...")
@click.option("--strict", is_flag=True, help="Count leaks that an official split has of its own as faults.")
@dataset_options
def verify(shards: tuple[Path, ...], strict: bool, dataset: Dataset) -> None:
    """Check the newest export: every byte, the manifest, the catalogue, and that nothing is on two sides of the split.

    Nothing: no video, and no videos that belong together, worked out anew. Decisions that were changed after they were
    made are found too. Leaks within an imported data set's own split are told, and no fault.

    With SHARD, a shard file or a folder of shards with its manifest, only that is checked, and no dataset is needed.
    Each fault is a line; the exit status is 1 if there is one.
    """
    if shards:
        outcome = check_paths(dataset, shards)
    else:
        with dataset.open() as catalogue:
            outcome = perform(catalogue, dataset, strict=strict)
    finish(dataset, outcome)


def perform(catalogue: Catalogue, dataset: Dataset, *, strict: bool = False) -> Outcome:
    """Check the newest export."""
    try:
        with progress("verifying", 0, "shards") as bar:
            checked = check_dataset(catalogue, planned=bar.grow, done=lambda _shard: bar.advance())
    except NothingExportedError as error:
        raise UsageFault(f"{error}; run: {next_command(dataset, 'export')}") from None
    return _outcome(checked, strict=strict)


def check_paths(dataset: Dataset, paths: Sequence[Path]) -> Outcome:
    """Check files and folders by themselves."""
    shards: list[CheckedShard] = []
    faults: list[Fault] = []
    with progress("verifying", len(paths), "files") as bar:
        for path in paths:
            if path.is_dir():
                folder = check_folder(path)
                shards += folder.shards
                faults += folder.faults
            else:
                shard = check_shard(path)
                shards.append(shard)
                faults += shard.faults
            bar.advance()
    return _outcome(CheckedFolder(manifest=None, shards=tuple(shards), faults=tuple(faults)))


def _outcome(checked: CheckedFolder, *, strict: bool = False) -> Outcome:
    official = checked.official_leaks
    faults = list(dict.fromkeys([*checked.faults, *(official if strict else ())]))
    remarks = [] if faults else ["all as it should be"]
    if official and not strict:
        remarks.append(
            f"{len(official):,} leaks that a data set's official split has of its own, such as "
            f"{official[0].message.removeprefix('a leak: ')}; --strict counts them as faults"
        )
    return Outcome(
        command="verify",
        counts={
            "shards": len(checked.shards),
            "clips": sum(len(shard.rows) for shard in checked.shards),
            "frames": sum(shard.frames for shard in checked.shards),
            "faults": len(faults),
        },
        details={
            "version": checked.manifest.version if checked.manifest else None,
            "official_leaks": [fault.message for fault in official],
        },
        remarks=remarks,
        failures=[Failure(item=fault.file, source=fault.against, error=fault.message) for fault in faults],
    )
