"""`curate retry`: give what failed another try."""

from __future__ import annotations

from collections import Counter

import click

from curation.commands.common import (
    Dataset,
    Failure,
    Outcome,
    UsageFault,
    choose,
    dataset_options,
    finish,
    next_command,
)
from curation.downloading.pauses import site_name
from curation.downloading.retrying import Again, Retried
from curation.downloading.retrying import retry as retry_failed
from curation.errors import ErrorClass


@click.command()
@click.argument("videos", nargs=-1, metavar="[VIDEO]...")
@click.option(
    "--error",
    "classes",
    multiple=True,
    metavar="CLASS",
    help=f"What failed with this class of error: {', '.join(ErrorClass)}. May be given several times.",
)
@click.option("--all", "everything", is_flag=True, help="Whatever failed.")
@dataset_options
def retry(videos: tuple[str, ...], classes: tuple[str, ...], everything: bool, dataset: Dataset) -> None:
    """Queue failed videos again, and let failed clips and previews be made again.

    VIDEO is the id or the source of a video; with --error too, only what failed so within the named videos is tried.
    Without VIDEO, the pauses of providers are lifted as well: curate retry --error bot-check goes on at once.
    """
    if not videos and not classes and not everything:
        raise UsageFault("nothing to try again: name videos, or give --error CLASS or --all")
    if everything and (videos or classes):
        raise UsageFault("--all means whatever failed: leave it out where videos or --error select")
    unknown = [name for name in classes if name not in set(ErrorClass)]
    if unknown:
        raise UsageFault(f"--error {unknown[0]}: there is no such class; the classes are {', '.join(ErrorClass)}")
    again = Again(videos=videos or None, classes=frozenset(map(ErrorClass, classes)) or None)
    with dataset.open() as catalogue:
        done = retry_failed(catalogue, again)
    if len(done.refused) == len(set(videos)) > 0:
        raise UsageFault("; ".join(f"{name}: {why}" for name, why in done.refused.items()))
    finish(dataset, outcome_of(done, dataset))


def outcome_of(done: Retried, dataset: Dataset) -> Outcome:
    """The summary of a retry."""
    remarks = [
        f"{name}: " + ", ".join(f"{number:,} {error}" for error, number in counted.most_common())
        for name, counted in (("videos", done.videos), ("clips", done.clips), ("previews", done.previews))
        if counted
    ]
    if done.resumed:
        remarks.append(f"no longer paused: {', '.join(map(site_name, done.resumed))}")
    if done.well:
        remarks.append(f"nothing failed: {choose(done.well)}")
    if done.previews:
        remarks.append("clips that were left undecided for lack of a preview come back with: curate annotate --skipped")
    every = sum((done.videos, done.clips, done.previews), Counter[str]())
    return Outcome(
        command="retry",
        counts={"videos": done.videos.total(), "clips": done.clips.total(), "previews": done.previews.total()},
        failures=[Failure(item=name, source="argument", error=why) for name, why in done.refused.items()],
        remarks=remarks,
        details={"by_class": dict(every), "resumed": done.resumed},
        next=_next(done, dataset),
    )


def _next(done: Retried, dataset: Dataset) -> str | None:
    if done.videos or done.resumed:
        return next_command(dataset, "download")
    return next_command(dataset, "run") if done.clips or done.previews else None
