"""`curate import folder`: a folder of video files, as they are."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.add import outcome_of
from curation.commands.common import Dataset, Failure, UsageFault, dataset_options, finish
from curation.errors import StageError
from curation.finding.adding import add_found
from curation.providers.folder import identify_file, list_folder
from curation.providers.found import Found


@click.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--recursive", is_flag=True, help="Folders within the folder too.")
@click.option("--label-from-folder", is_flag=True, help="Keep the name of a video's folder as its class label.")
@dataset_options
def folder(path: Path, recursive: bool, label_from_folder: bool, dataset: Dataset) -> None:
    """Add all video files of the folder PATH, in numeric order (2.mp4 before 10.mp4).

    Files are told by their extensions and used where they are. Hidden files are left out.
    """
    files = list_folder(path, recursive=recursive)
    if not files:
        deeper = "" if recursive else " (its folders are looked into with --recursive)"
        raise UsageFault(f"{path}: no video files there{deeper}")
    found: list[Found] = []
    failures: list[Failure] = []
    for file in files:
        try:
            found.append(identify_file(file, label=file.absolute().parent.name if label_from_folder else None))
        except StageError as error:
            failures.append(Failure(item=str(file), source=str(path), error=str(error)))
    with dataset.open() as catalogue:
        added = add_found(
            catalogue,
            found,
            provider="import folder",
            phrase=str(path.absolute()),
            settings={"recursive": recursive, "label_from_folder": label_from_folder, "refused": len(failures)},
        )
    finish(dataset, outcome_of("import folder", added, failures, dataset))
