"""`curate score`: measure each clip."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, Outcome, dataset_options, finish, next_command
from curation.commands.stage import count, outcome, with_bar, workers_option
from curation.scores.scenes import repeats, update_scenes
from curation.scores.stage import LEFT, incomplete, score_clips
from db.engine import Catalogue


@click.command()
@workers_option
@dataset_options
def score(dataset: Dataset, workers: int) -> None:
    """Measure each planned clip: how much it moves, and the faults it may have.

    All scores come from one decode pass whose memory does not grow with the clip. Near-duplicates, of any videos, and
    clips of one fixed camera are joined to scenes. Scores reject nothing: that is for 'curate filter', by rules that
    can change. Clips that an earlier version scored get what they lack and keep their state and their verdict.
    """
    with dataset.open() as catalogue:
        finish(dataset, perform(catalogue, dataset, workers=workers))


def perform(catalogue: Catalogue, dataset: Dataset, *, workers: int = 1) -> Outcome:
    """Score what is left to score."""
    planned, again = count(catalogue, LEFT), count(catalogue, incomplete())
    fewer = min(workers, max(planned, again, 1))
    result = with_bar("score", planned + again, "clips", lambda each: score_clips(catalogue, workers=fewer, done=each))
    told = outcome(catalogue, "score", result, done="clips")
    if again:
        told.remarks.append(f"{again:,} had been scored by other recipes: measured anew, states unchanged")
    update_scenes(catalogue)
    with catalogue.reading() as session:
        clips, scenes = repeats(session)
    if clips:
        told.remarks.append(f"{clips:,} clips show the same as others, in {scenes:,} scenes")
    told.next = next_command(dataset, "filter")
    return told
