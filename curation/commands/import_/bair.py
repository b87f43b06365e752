"""`curate import bair`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Literal

import click

from curation.commands.common import Dataset, dataset_options
from curation.commands.import_.shared import dry_run_option, fps_option, path_argument, run_made
from curation.importers.bair import PROVIDER, read_bair


@click.command()
@path_argument
@click.option(
    "--camera",
    type=click.Choice(["aux1", "main"]),
    default="aux1",
    show_default=True,
    help="aux1 is what published results use; each camera is imported for itself.",
)
@fps_option
@dry_run_option
@dataset_options
def bair(path: Path, camera: Literal["aux1", "main"], fps: Fraction, dry_run: bool, dataset: Dataset) -> None:
    """BAIR robot pushing, small: 43,264 training and 256 test sequences of 30 frames, 64x64.

    PATH is the folder softmotion30_44k, with train/*.tfrecords and test/*.tfrecords (val/ too, where some were set
    aside). The frames become lossless videos in videos/; the arm's actions and positions are kept beside them, a row
    a frame. A damaged record is named and left out; behind a damaged length the rest of its file cannot be read.

    Had from rail.eecs.berkeley.edu/datasets/bair_robot_pushing_dataset_v0.tar (30 GB). Terms: its makers state none;
    published for research.
    """
    run_made(
        dataset,
        PROVIDER,
        path,
        lambda: read_bair(path, camera=camera, fps=fps),
        settings={"camera": camera, "fps": str(fps)},
        dry_run=dry_run,
    )
