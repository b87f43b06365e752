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
from curation.publishing.published import read_published
from curation.verifying.catalogue import NothingExportedError, check_dataset
from curation.verifying.published import compare, compare_folder
from curation.verifying.verify import CheckedFolder, CheckedShard, Fault, check_folder, check_shard
from db.engine import Catalogue


@click.command()
@click.argument("shards", nargs=-1, type=click.Path(path_type=Path), metavar="[SHARD]...")
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Is this the data set that was published so? Compares the dataset, or a folder of shards, with that file.",
)
@click.option("--strict", is_flag=True, help="Count leaks that an official split has of its own as faults.")
@dataset_options
def verify(shards: tuple[Path, ...], manifest: Path | None, strict: bool, dataset: Dataset) -> None:
    """Check the newest export: every byte, the manifest, the catalogue, and that nothing is on two sides of the split.

    Nothing: no video, and no videos that belong together, worked out anew. Decisions that were changed after they were
    made are found too. Leaks within an imported data set's own split are told, and no fault.

    With SHARD, a shard file or a folder of shards with its manifest, only that is checked, and no dataset is needed.
    Each fault is a line; the exit status is 1 if there is one.
    """
    if manifest is not None:
        if len(shards) > 1 or (shards and not shards[0].is_dir()):
            raise UsageFault("--manifest is compared with a dataset, or with one folder of shards")
        outcome = check_published(dataset, manifest, shards[0] if shards else None)
    elif shards:
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


def check_published(dataset: Dataset, path: Path, folder: Path | None) -> Outcome:
    """Compare a dataset, or a folder of shards, with a published manifest."""
    published = read_published(path)
    if folder is not None:
        with progress("verifying", len(published.shards), "shards") as bar:
            found = compare_folder(folder, published, done=lambda _file: bar.advance())
    else:
        with dataset.open() as catalogue:
            found = compare(catalogue, published)
    failures = [Failure(item=fault.file, source=fault.against, error=fault.message) for fault in found.faults]
    failures += [Failure(item="malformed row", source=path.name, error=fault) for fault in published.faults]
    return Outcome(
        command="verify",
        counts={
            "shards_published": found.shards_published,
            "shards_as_published": found.shards,
            "clips_published": found.clips_published,
            "clips_as_published": found.clips,
            "faults": len(failures),
        },
        failures=failures,
        remarks=[] if failures else ["all as published"],
    )


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
