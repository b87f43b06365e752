"""`curate import kinetics`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import click

from curation.commands.add import kept_remarks
from curation.commands.common import (
    Dataset,
    Outcome,
    UsageFault,
    choose,
    dataset_options,
    finish,
    next_command,
    progress,
)
from curation.commands.import_.shared import dry_run_option, failures, known_remarks
from curation.importers.kinetics import PROVIDER, Brought, Source, bring_in, gather, leaks
from curation.importers.layout import LayoutError
from curation.importers.ranges_csv import Ranged, RangedRows, read_ranges

LISTED = 5


@click.command()
@click.argument(
    "lists", nargs=-1, required=True, metavar="CSV...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Only the rows of this split; rows that name none are taken to be of it.",
)
@click.option("--labels", "labels", multiple=True, metavar="LABEL", help="Only this class; can be given again.")
@dry_run_option
@dataset_options
def kinetics(
    lists: tuple[Path, ...], split: str | None, labels: tuple[str, ...], dry_run: bool, dataset: Dataset
) -> None:
    """Kinetics-400, -600 and -700: lists of 10 s ranges of YouTube videos, each with a class of human action.

    CSV is a published list (label,youtube_id,time_start,time_end,split, with or without is_cc; the test lists of some
    years have no label), or a plain one of any site's videos: url,start,end[,label][,split], with or without a row of
    names. `curate download` then fetches the named ranges alone, and each becomes a clip. A row that cannot be read is
    named by its line, and the rest goes on. A video whose rows are in two splits is told as a leak and gets the first
    one's. Many of the videos are gone from YouTube by now: those end as failed, with the class `gone`.

    Had from deepmind.com (research, open source, Kinetics) or github.com/cvdfoundation/kinetics-dataset, whose
    mirrors at s3.amazonaws.com/kinetics/ also have the clips themselves (bring those in with `import folder
    --label-from-folder`). Terms: the lists are CC BY 4.0; the videos are their uploaders', under YouTube's terms.
    """
    rows = RangedRows()
    for path in lists:
        try:
            read = read_ranges(path)
        except LayoutError as error:
            raise UsageFault(str(error)) from None
        rows.rows += read.rows
        rows.refused += read.refused
    chosen = _choose(rows.rows, split, labels)
    if rows.rows and not chosen:
        there = sorted({row.found.label for row in rows.rows if row.found.label})
        raise UsageFault(f"no row is of that split and class; classes there: {choose(there) or 'none'}")
    sources = gather(chosen)
    with dataset.open() as catalogue:
        settings = {"split": split, "labels": sorted(labels), "refused": len(rows.refused)}
        phrase = " ".join(str(path.absolute()) for path in lists)
        brought = Brought()
        if not dry_run:
            with progress("import kinetics", len(sources), "videos") as bar:
                brought = bring_in(catalogue, sources, phrase=phrase, settings=settings, each=bar.advance)
    outcome = Outcome(command=f"import {PROVIDER}", failures=failures(rows.refused))
    outcome.remarks = list(_remarks(sources, brought))
    outcome.details = _details(sources, brought)
    if dry_run:
        outcome.counts = {"found": len(sources), "ranges": sum(len(source.ranges) for source in sources.values())}
    else:
        outcome.counts = {
            "added": len(brought.new), "already_known": len(brought.known), "sections": brought.sections,
        }  # fmt: skip
        outcome.next = next_command(dataset, "download")
    outcome.counts["leaks"] = len(leaks(sources)) + len(brought.other_split)
    finish(dataset, outcome)


def _choose(rows: list[Ranged], split: str | None, labels: tuple[str, ...]) -> list[Ranged]:
    """The rows that are wanted; those without a split get the wanted one."""
    chosen = [row for row in rows if not labels or row.found.label in labels]
    if split is None:
        return chosen
    return [
        row if row.found.official_split else replace(row, found=replace(row.found, official_split=split))
        for row in chosen
        if row.found.official_split in (None, split)
    ]


def _remarks(sources: dict[str, Source], brought: Brought) -> list[str]:
    splits, labels = _counted(sources)
    remarks = []
    if set(splits) - {"none"}:
        remarks.append("official split: " + ", ".join(f"{name} {number:,}" for name, number in sorted(splits.items())))
    if labels:
        remarks.append(f"labels: {len(labels):,}")
    found = leaks(sources)
    if found:
        named = [f"{id_} ({', '.join(sides)})" for id_, sides in found.items()]
        remarks.append(f"leaks: {len(found):,} videos are in two splits and get the first one: {choose(named, LISTED)}")
    mixed = [id_ for id_, source in sources.items() if len(source.labels) > 1]
    if mixed:
        remarks.append(f"of several classes, the first stands: {len(mixed):,} videos ({choose(mixed, LISTED)})")
    remarks += known_remarks(brought.filled, brought.other_split)
    remarks += kept_remarks(brought)
    return remarks


def _counted(sources: dict[str, Source]) -> tuple[Counter[str], Counter[str]]:
    """Videos by the split and by the label that they get."""
    splits = Counter(source.found.official_split or "none" for source in sources.values())
    labels = Counter(source.found.label for source in sources.values() if source.found.label is not None)
    return splits, labels


def _details(sources: dict[str, Source], brought: Brought) -> dict[str, object]:
    splits, labels = _counted(sources)
    return {
        "videos": brought.new,
        "splits": dict(sorted(splits.items())),
        "labels": dict(sorted(labels.items())),
        "leaked": leaks(sources),
        "kept": brought.kept,
    }
