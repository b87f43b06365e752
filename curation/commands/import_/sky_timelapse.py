"""`curate import sky-timelapse`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click

from curation.commands.common import Dataset, dataset_options
from curation.commands.import_.shared import dry_run_option, fps_option, path_argument, run_made
from curation.importers.sky_timelapse import PROVIDER, read_sky_timelapse


@click.command(name="sky-timelapse")
@path_argument
@fps_option
@dry_run_option
@dataset_options
def sky_timelapse(path: Path, fps: Fraction, dry_run: bool, dataset: Dataset) -> None:
    """Sky Time-lapse: 2,392 short training and 225 test videos of moving clouds, 640x360.

    PATH is the folder sky_timelapse with sky_train/ and sky_test/, each <video>/<clip>/<video>_frames_00000046.jpg.
    The frames, in numeric order, become lossless videos in videos/. Short videos that were cut out of one long video
    share its YouTube id as their group; those on both sides of the split are reported.

    Had by the link in github.com/weixiong-ur/mdgan (Google Drive). Terms: its makers state none; the frames are of
    YouTube videos, and their owners'.
    """
    run_made(
        dataset,
        PROVIDER,
        path,
        lambda: read_sky_timelapse(path, fps=fps),
        settings={"fps": str(fps)},
        dry_run=dry_run,
    )
