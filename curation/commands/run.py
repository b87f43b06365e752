"""`curate run`: all stages one after the other, each doing what is left of it."""

from __future__ import annotations

from typing import Any

import click

from curation.commands.common import (
    Dataset,
    Failure,
    Outcome,
    as_json,
    dataset_options,
    finish,
    gathering,
    next_command,
)
from curation.commands.cut import cut, recipe_options
from curation.commands.download import download
from curation.commands.export import export
from curation.commands.filter import filter_
from curation.commands.preview import preview
from curation.commands.score import score
from curation.commands.split import split
from curation.commands.stage import workers_option
from curation.exporting.export import accept_unreviewed
from curation.status import counts, failures


@click.command()
@recipe_options
@click.option("--min-variance", type=float, help="Save this as rule 'default', as filter does.")
@click.option("--accept-unreviewed", is_flag=True, help="Accept what passes the filter unseen, and go on to export.")
@click.option("--size", type=click.IntRange(8), default=128, show_default=True, help="As in export.")
@workers_option
@dataset_options
def run(
    dataset: Dataset, min_variance: float | None, accept_unreviewed: bool, size: int, workers: int,
    **recipe: Any,
) -> None:  # fmt: skip
    """Download, cut, score, filter and preview all that is left; then the review is yours: curate annotate.

    Leaves with status 1 as long as any video of the dataset stands failed.
    """

    context = click.get_current_context()

    def call(command: click.Command, **options: object) -> None:
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
        arguments += ["--json"] if dataset.json else []
        shared = {"dataset": dataset.folder, "database": dataset.database}
        arguments += [f"--{name}={value}" for name, value in shared.items() if value is not None]
        with command.make_context(command.name, arguments, parent=context) as inner:
            command.invoke(inner)

    with gathering() as outcomes:
        call(download)
        call(cut, workers=workers, **recipe)
        call(score, workers=workers)
        call(filter_, min_variance=min_variance)
        call(preview, workers=workers)
        if accept_unreviewed and _accept(dataset):
            call(split)
            call(export, size=size, workers=workers)
    finish(dataset, _summary(dataset, outcomes, accept_unreviewed))


def _accept(dataset: Dataset) -> bool:
    """Accept all pending clips; whether there is anything to export."""
    with dataset.open() as catalogue:
        accept_unreviewed(catalogue)
        with catalogue.reading() as session:
            return counts(session)["clips"].get("accepted", 0) > 0


def _summary(dataset: Dataset, outcomes: list[Outcome], exported: bool) -> Outcome:
    with dataset.open() as catalogue, catalogue.reading() as session:
        standing = [Failure(item=item, source=source, error=error) for item, source, error in failures(session)]
        clips = counts(session)["clips"]
    now_failed = [failure for outcome in outcomes for failure in outcome.failures]
    named = {failure.item for failure in now_failed}
    pending = clips.get("pending", 0)
    told = Outcome(
        command="run",
        counts={f"clips_{state}": number for state, number in clips.items()},
        failures=[*now_failed, *(failure for failure in standing if failure.item not in named)],
        details={"stages": [as_json(outcome) for outcome in outcomes]},
    )
    if exported:
        told.next = next_command(dataset, "verify")
    elif pending:
        told.remarks.append(f"{pending:,} clips await your review")
        told.next = next_command(dataset, "annotate")
    return told
