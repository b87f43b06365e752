"""`curate preview`: make the small loops that the grid shows."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, Outcome, dataset_options, finish, next_command
from curation.commands.stage import count, outcome, with_bar, workers_option
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
    total = count(catalogue, LEFT)
    result = with_bar(
        "preview",
        total,
        "clips",
        lambda done: make_previews(catalogue, workers=min(workers, max(total, 1)), done=done),
    )
    told = outcome(catalogue, "preview", result, done="previews")
    told.next = next_command(dataset, "annotate")
    return told
