"""`curate import frames`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click

from curation.commands.common import Dataset, dataset_options
from curation.commands.import_.shared import dry_run_option, fps_option, path_argument, run_made
from curation.importers.frames import PROVIDER, read_frame_folders


@click.command()
@path_argument
@fps_option
@click.option("--recursive", is_flag=True, help="Folders further down too.")
@click.option(
    "--label-from-folder", is_flag=True, help="The name of the folder that a video's folder is in is its label."
)
@dry_run_option
@dataset_options
def frames(
    path: Path, fps: Fraction, recursive: bool, label_from_folder: bool, dry_run: bool, dataset: Dataset
) -> None:
    """Folders of frames: PATH itself, and each folder in it that holds images, is one video.

    Frames are taken in numeric order (2.png before 10.png), whatever they are called, and must be of one size. They
    become lossless videos in videos/.
    """
    run_made(
        dataset,
        PROVIDER,
        path,
        lambda: read_frame_folders(path, fps=fps, recursive=recursive, label_from_folder=label_from_folder),
        settings={"fps": str(fps), "recursive": recursive, "label_from_folder": label_from_folder},
        dry_run=dry_run,
    )
