"""`curate preview`: make the small loops that the grid shows."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, Outcome, dataset_options, finish
from curation.commands.stage import perform_on_clips, workers_option
from curation.preview import LEFT, make_previews
from db.engine import Catalogue


@click.command()
@workers_option
@dataset_options
def preview(dataset: Dataset, workers: int) -> None:
    """Make a small looping video of each clip that passed the filter, for the grid."""
    with dataset.open() as catalogue:
        finish(dataset, perform(catalogue, dataset, workers=workers))


def perform(catalogue: Catalogue, dataset: Dataset, *, workers: int = 1) -> Outcome:
    """Make the previews that are missing."""
    return perform_on_clips(
        catalogue, dataset, "preview", left=LEFT, work=make_previews, workers=workers, done="previews", then="annotate"
    )
