"""`curate cut`: plan the clips of each downloaded video."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import func, select

from curation.commands.common import Dataset, Outcome, UsageFault, dataset_options, finish, next_command
from curation.commands.stage import outcome, with_bar, workers_option
from curation.cut import cut_otherwise, cut_videos, videos_to_cut
from curation.plan import CutRecipe
from db.engine import Catalogue
from db.models import Clip

DEFAULTS = CutRecipe()


def recipe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a `CutRecipe`; all numbers are seconds but --max-clips."""
    for option in (
        click.option(
            "--spacing", type=float, default=DEFAULTS.spacing, show_default=True, help="At least this between."
        ),
        click.option("--margin", type=float, default=DEFAULTS.margin, show_default=True, help="Left out at both ends."),
        click.option("--max-clips", type=int, default=DEFAULTS.max_clips, show_default=True, help="At most, a video."),
        click.option("--length", type=float, default=DEFAULTS.length, show_default=True, help="Of a clip, s."),
    ):
        function = option(function)
    return function


def recipe_of(length: float, max_clips: int, margin: float, spacing: float) -> CutRecipe:
    """The recipe of these options; a clear error if there is none such."""
    try:
        return CutRecipe(length=length, max_clips=max_clips, margin=margin, spacing=spacing)
    except ValueError as error:
        raise UsageFault(str(error)) from None


@click.command()
@recipe_options
@click.option(
    "--recut", is_flag=True, help="Also cut anew the videos that were cut otherwise and have no judged clips."
)
@workers_option
@dataset_options
def cut(
    dataset: Dataset, length: float, max_clips: int, margin: float, spacing: float, recut: bool, workers: int
) -> None:
    """Cut each downloaded video into clips: rows with exact times, no files.

    A video shorter than a clip is one clip, flagged short.
    """
    recipe = recipe_of(length, max_clips, margin, spacing)
    with dataset.open() as catalogue:
        finish(dataset, perform(catalogue, dataset, recipe, recut=recut, workers=workers))


def perform(
    catalogue: Catalogue, dataset: Dataset, recipe: CutRecipe, *, recut: bool = False, workers: int = 1
) -> Outcome:
    """Cut what is left to cut."""
    before = _clips(catalogue)
    total = len(videos_to_cut(catalogue, recipe, recut=recut))
    result = with_bar(
        "cut",
        total,
        "videos",
        lambda done: cut_videos(catalogue, recipe, recut=recut, workers=min(workers, max(total, 1)), done=done),
    )
    told = outcome(catalogue, "cut", result, done="videos")
    told.counts = {"videos": len(result.done), "new_clips": _clips(catalogue) - before, "failed": len(result.failed)}
    with catalogue.reading() as session:
        others = cut_otherwise(session, recipe)
    if others:
        told.remarks.append(
            f"{len(others)} videos keep the clips of another recipe; --recut cuts those anew that have no judged clips"
        )
    told.next = next_command(dataset, "score")
    return told


def _clips(catalogue: Catalogue) -> int:
    with catalogue.reading() as session:
        return session.scalar(select(func.count()).select_from(Clip)) or 0
