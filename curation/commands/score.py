"""`curate score`: measure each planned clip."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, Outcome, dataset_options, finish
from curation.commands.stage import perform_on_clips, workers_option
from curation.score import LEFT, score_clips
from db.engine import Catalogue


@click.command()
@workers_option
@dataset_options
def score(dataset: Dataset, workers: int) -> None:
    """Measure how much each planned clip moves.

    The temporal variance of the thesis (Eq. 3.18 and 3.19), exactly, in one decode pass whose memory does not grow with
    the clip.
    """
    with dataset.open() as catalogue:
        finish(dataset, perform(catalogue, dataset, workers=workers))


def perform(catalogue: Catalogue, dataset: Dataset, *, workers: int = 1) -> Outcome:
    """Score what is left to score."""
    return perform_on_clips(
        catalogue, dataset, "score", left=LEFT, work=score_clips, workers=workers, done="clips", then="filter"
    )
