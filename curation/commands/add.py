"""`curate add`: name videos, by address or file; they are fetched by `curate download`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from curation.adding import Added, add_found
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
from curation.providers.folder import identify_file
from curation.providers.found import Found
from curation.providers.urls import identify_url, is_url, read_list, read_list_file


@click.command()
@click.argument("items", nargs=-1, metavar="[URL_OR_FILE]...")
@click.option(
    "--from",
    "lists",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Also add what this file lists, one URL or file a line, # for comments; - reads standard input.",
)
@dataset_options
def add(items: tuple[str, ...], lists: tuple[str, ...], dataset: Dataset) -> None:
    """Add web videos by their addresses and local ones by their files.

    Files are used where they are. A video that is known already, under whatever address, is not added twice. What
    cannot be a video is named, and the rest is added: exit status 1; 2 if there was nothing to add at all.
    """
    if not items and not lists:
        raise UsageFault("nothing to add: give URLs or files, or --from a list of them")
    found: list[Found] = []
    failures: list[Failure] = []
    with dataset.open() as catalogue:
        for item, where in _named(items, lists, failures):
            try:
                found.append(identify_url(item) if is_url(item) else identify_file(Path(item)))
            except StageError as error:
                failures.append(Failure(item=item, source=where, error=str(error)))
        if not found:
            raise UsageFault(_nothing(failures))
        added = add_found(
            catalogue,
            found,
            provider="add",
            phrase=" ".join([*items, *(f"--from {name}" for name in lists)]),
            settings={"named": len(found) + len(failures), "refused": len(failures)},
        )
    finish(dataset, outcome_of("add", added, failures, dataset))


def _named(items: tuple[str, ...], lists: tuple[str, ...], failures: list[Failure]) -> Iterator[tuple[str, str]]:
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


def outcome_of(command: str, added: Added, failures: list[Failure], dataset: Dataset) -> Outcome:
    """The summary of an add or an import."""
    remarks = []
    if added.known:
        names = [f"{known.id} ({known.error or known.state})" for known in added.known]
        remarks.append(f"already known: {choose(names)}")
    return Outcome(
        command=command,
        counts={"added": len(added.new), "already_known": len(added.known)},
        failures=failures,
        remarks=remarks,
        details={"videos": added.new, "known": [known.id for known in added.known]},
        next=next_command(dataset, "download"),
    )
