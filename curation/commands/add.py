"""`curate add`: name videos, by address or file; they are fetched by `curate download`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

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
from curation.errors import StageError
from curation.finding.adding import Added, add_found
from curation.importers.kinetics import Brought, Source, bring_in, gather
from curation.importers.layout import LayoutError
from curation.importers.ranges_csv import Ranged, read_ranges
from curation.providers.folder import identify_file
from curation.providers.found import Found
from curation.providers.urls import identify_url, is_url, read_list, read_list_file
from db.states import VideoState


@click.command()
@click.argument("items", nargs=-1, metavar="[URL_OR_FILE]...")
@click.option(
    "--from",
    "lists",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Also add what this file lists, one URL or file a line, # for comments; - reads standard input. A .csv has"
    " rows url,start,end[,label][,split], in seconds; of such a video only the named ranges are fetched.",
)
@click.option(
    "--manifest",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rebuild a published data set (curate manifest): add its videos; cut and export then follow it.",
)
@click.option(
    "--media",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="With --manifest: a folder of files that you have already, found by their SHA-256.",
)
@dataset_options
def add(
    items: tuple[str, ...], lists: tuple[str, ...], manifest: Path | None, media: Path | None, dataset: Dataset
) -> None:
    """Add web videos by their addresses and local ones by their files.

    Files are used where they are. A video that is known already, under whatever address, is not added twice. What
    cannot be a video is named, and the rest is added: exit status 1; 2 if there was nothing to add at all.
    """
    if media is not None and manifest is None:
        raise UsageFault("--media is for a --manifest; files by themselves are added by their names")
    if manifest is not None:
        if items or lists:
            raise UsageFault("--manifest is added by itself; add other videos with another call")
        from curation.commands.add_manifest import add_manifest  # it loads what exports need

        with dataset.open() as catalogue:
            finish(dataset, add_manifest(catalogue, dataset, manifest, media))
        return
    if not items and not lists:
        raise UsageFault("nothing to add: give URLs or files, --from a list of them, or a --manifest")
    found: list[Found] = []
    failures: list[Failure] = []
    with dataset.open() as catalogue:
        sources = _ranged([name for name in lists if is_ranged(name)], failures)
        for item, where in _named(items, [name for name in lists if not is_ranged(name)], failures):
            try:
                found.append(identify_url(item) if is_url(item) else identify_file(Path(item)))
            except StageError as error:
                failures.append(Failure(item=item, source=where, error=str(error)))
        if not found and not sources:
            raise UsageFault(_nothing(failures))
        phrase = " ".join([*items, *(f"--from {name}" for name in lists)])
        settings = {"named": len(found) + len(sources) + len(failures), "refused": len(failures)}
        added = add_found(catalogue, found, provider="add", phrase=phrase, settings=settings)
        brought = bring_in(catalogue, sources, provider="add", phrase=phrase, settings=settings)
    outcome = outcome_of("add", added, failures, dataset)
    if sources:
        outcome.counts["added"] += len(brought.new)
        outcome.counts["already_known"] += len(brought.known)
        outcome.counts["sections"] = brought.sections
        outcome.details["videos"] += brought.new
        outcome.details["known"] += brought.known
        outcome.remarks += kept_remarks(brought)
    finish(dataset, outcome)


def is_ranged(name: str) -> bool:
    """Whether a list is one of ranges."""
    return name.lower().endswith(".csv")


def _ranged(lists: Sequence[str], failures: list[Failure]) -> dict[str, Source]:
    """The videos of lists of ranges."""
    rows: list[Ranged] = []
    for name in lists:
        try:
            read = read_ranges(Path(name))
        except LayoutError as error:
            raise UsageFault(str(error)) from None
        rows += read.rows
        failures += [Failure(item=each.item, source=each.source, error=str(each.error)) for each in read.refused]
    return gather(rows)


def _named(items: Sequence[str], lists: Sequence[str], failures: list[Failure]) -> Iterator[tuple[str, str]]:
    """All that was given, each with where: (URL or file, "argument 2" or "list.txt, line 3")."""
    for number, item in enumerate(items, 1):
        yield item, f"argument {number}"
    for name in lists:
        try:
            yield from read_list(sys.stdin, "standard input") if name == "-" else read_list_file(Path(name))
        except StageError as error:
            failures.append(Failure(item=name, source="--from", error=str(error)))


def _nothing(failures: list[Failure]) -> str:
    if not failures:
        return "nothing to add: the list is empty"
    return "nothing to add: " + "; ".join(f"{failure.item} ({failure.source}): {failure.error}" for failure in failures)


def kept_remarks(brought: Brought) -> list[str]:
    """What became of ranges of videos that were known in full, or fetched already."""
    if not brought.kept:
        return []
    return [
        f"known videos that stay as they are, whole or fetched already: {len(brought.kept):,}"
        f" ({sum(brought.kept.values()):,} ranges left out: {choose(list(brought.kept))})"
    ]


def outcome_of(command: str, added: Added, failures: list[Failure], dataset: Dataset) -> Outcome:
    """The summary of an add or an import."""
    remarks = []
    down = [known.id for known in added.known if known.state == VideoState.TAKEN_DOWN]
    if names := [f"{known.id} ({known.error or known.state})" for known in added.known if known.id not in down]:
        remarks.append(f"already known: {choose(names)}")
    if down:
        remarks.append(f"taken down, and never fetched again: {choose(down)}")
    return Outcome(
        command=command,
        counts={"added": len(added.new), "already_known": len(added.known)},
        failures=failures,
        remarks=remarks,
        details={"videos": added.new, "known": [known.id for known in added.known]},
        next=next_command(dataset, "download"),
    )
