"""`curate import faceforensics`."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.common import Dataset, dataset_options
from curation.commands.import_.shared import dry_run_option, path_argument, run_files
from curation.importers.faceforensics import PROVIDER, read_faceforensics


@click.command()
@path_argument
@click.option("--compression", metavar="raw|c23|c40", help="Which compression, where several are there.")
@click.option(
    "--method",
    "methods",
    multiple=True,
    metavar="NAME",
    help="Only this part: youtube or actors (real), or Deepfakes, Face2Face, FaceSwap, ... Can be given again.",
)
@click.option(
    "--splits",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of train.json, val.json and test.json, if not splits/ in PATH.",
)
@dry_run_option
@dataset_options
def faceforensics(
    path: Path,
    compression: str | None,
    methods: tuple[str, ...],
    splits: Path | None,
    dry_run: bool,
    dataset: Dataset,
) -> None:
    """FaceForensics++: 1,000 real videos of faces, and as many manipulated by each of several methods.

    PATH holds original_sequences/youtube/c23/videos/000.mp4 and
    manipulated_sequences/<method>/c23/videos/<target>_<source>.mp4. The official split is by pairs of videos, in
    dataset/splits/*.json of github.com/ondyari/FaceForensics. All videos that show the same faces, real or put on,
    are one group. The videos are used where they are, and checked by `curate download`.

    Had by the form in github.com/ondyari/FaceForensics. Terms: the FaceForensics terms of use, for research and
    education, on application.
    """
    run_files(
        dataset,
        PROVIDER,
        path,
        lambda: read_faceforensics(path, compression=compression, kinds=methods, splits=splits),
        settings={"compression": compression, "methods": list(methods)},
        dry_run=dry_run,
    )
