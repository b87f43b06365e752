"""`curate import mocogan`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click

from curation.commands.common import Dataset, dataset_options
from curation.commands.import_.shared import dry_run_option, fps_option, path_argument, run_made
from curation.importers.mocogan import PROVIDER, read_mocogan


@click.command()
@path_argument
@fps_option
@dry_run_option
@dataset_options
def mocogan(path: Path, fps: Fraction, dry_run: bool, dataset: Dataset) -> None:
    """MoCoGAN's image strips: square frames side by side, or one below the other, a strip a video.

    PATH is one set, a folder of classes: data/actions (0/00000002.jpg) or data/shapes (0/00000000.png); or any other
    laid out like them. The class folder's name is the label. The strips become lossless videos in videos/.

    Had from github.com/sergeytulyakov/mocogan, in data/. Terms: the repository's, CC BY-NC-ND 4.0; the actions are
    frames of the Weizmann action data set.
    """
    run_made(dataset, PROVIDER, path, lambda: read_mocogan(path, fps=fps), settings={"fps": str(fps)}, dry_run=dry_run)
