"""`curate import moving-mnist`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click

from curation.commands.common import Dataset, dataset_options
from curation.commands.import_.shared import dry_run_option, fps_option, path_argument, run_made
from curation.importers.moving_mnist import PROVIDER, read_moving_mnist


@click.command(name="moving-mnist")
@path_argument
@click.option("--limit", type=click.IntRange(1), help="Only the first so many sequences.")
@click.option(
    "--train",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Count the first N sequences as train; as published, all are the test set.",
)
@fps_option
@dry_run_option
@dataset_options
def moving_mnist(path: Path, limit: int | None, train: int, fps: Fraction, dry_run: bool, dataset: Dataset) -> None:
    """Moving MNIST: 10,000 sequences of 20 frames, 64x64, two digits each.

    PATH is mnist_test_seq.npy, (20, 10000, 64, 64) uint8, or the folder with it. It is the published test set:
    training sequences are drawn on the fly from MNIST's training digits. To train on the file itself set its last
    sequences aside: --train 9000. The sequences become lossless videos in videos/.

    Had from www.cs.toronto.edu/~nitish/unsupervised_video (820 MB). Terms: made of MNIST's digits, CC BY-SA 3.0.
    """
    run_made(
        dataset,
        PROVIDER,
        path,
        lambda: read_moving_mnist(path, fps=fps, limit=limit, train=train),
        settings={"fps": str(fps), "limit": limit, "train": train},
        dry_run=dry_run,
    )
