"""`curate import ucf101`."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.common import Dataset, dataset_options
from curation.commands.import_.shared import dry_run_option, path_argument, run_files
from curation.importers.ucf101 import PROVIDER, read_ucf101


@click.command()
@path_argument
@click.option(
    "--split-list",
    type=click.Choice(["1", "2", "3", "none"]),
    default="1",
    show_default=True,
    help="Which of the three official splits to keep.",
)
@click.option(
    "--lists",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the split files, if not ucfTrainTestlist in PATH or beside it.",
)
@dry_run_option
@dataset_options
def ucf101(path: Path, split_list: str, lists: Path | None, dry_run: bool, dataset: Dataset) -> None:
    """UCF101: 13,320 videos of 101 human actions, 320x240.

    PATH is the folder UCF-101 with a folder a class (ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi), or the one that
    holds it and ucfTrainTestlist/ (trainlist01.txt, testlist01.txt, ...). The videos are used where they are, and
    checked by `curate download`. Clips of a group (gNN) were cut from one recording.

    Had from crcv.ucf.edu/data/UCF101.php (6.5 GB; the lists: UCF101TrainTestSplits-RecognitionTask.zip). Terms: for
    research; the clips are from YouTube, and their owners'.
    """
    number = None if split_list == "none" else int(split_list)
    run_files(
        dataset,
        PROVIDER,
        path,
        lambda: read_ucf101(path, split_list=number, lists=lists),
        settings={"split_list": number},
        dry_run=dry_run,
    )
