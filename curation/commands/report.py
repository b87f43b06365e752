"""`curate report`: one page that tells how the data set came to be."""

from __future__ import annotations

from pathlib import Path

import click

from curation.commands.common import Dataset, Outcome, dataset_options, finish, next_command
from curation.report.page import Report, gather, render, write

FILE = "report.html"
PICTURES = 24


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    show_default=f"{FILE} in the dataset",
    help="Where to write it.",
)
@click.option(
    "--pictures",
    type=click.IntRange(0, 500),
    default=PICTURES,
    show_default=True,
    help="Of each contact sheet, at most.",
)
@dataset_options
def report(dataset: Dataset, out: Path | None, pictures: int) -> None:
    """Write a self-contained HTML page: what was found, kept, filtered and rejected, and why.

    With score histograms, contact sheets, licences, splits, shards and the curators' pace. It needs no network, and
    can be made at any time, of an empty data set too.
    """
    with dataset.open() as catalogue:
        path = out or catalogue.folder / FILE
        page = gather(catalogue, pictures=pictures)
        following = _following(dataset, page)
        write(path, render(page, following))
    shown = sum(len(sheet.pictures) for sheet in page.sheets)
    told = Outcome(
        command="report",
        counts={"videos": page.videos.total, "clips": page.funnel.clips[0].number, "pictures": shown},
        remarks=[f"open {path} ({path.stat().st_size / 1000:,.0f} kB)"],
        details={"file": str(path.absolute())},
        next=following or None,
    )
    lacking = sum(picture.image is None for sheet in page.sheets for picture in sheet.pictures)
    if lacking:
        told.remarks.append(f"{lacking:,} of the pictures could not be made; the page says why")
    finish(dataset, told)


def _following(dataset: Dataset, page: Report) -> str:
    """The command that the data set waits for; empty if it waits for none."""
    if page.empty:
        return next_command(dataset, "add URL_OR_FILE...")
    steps = page.funnel.videos + page.funnel.clips
    waiting = next((step.name for step in steps if any(loss.waiting for loss in step.losses)), None)
    commands = {"passed the filter": "annotate", "accepted": "split", "in a split": "export"}
    return next_command(dataset, commands.get(waiting, "run")) if waiting else ""
