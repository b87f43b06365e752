"""What the import commands share: options, running an import under a bar, and its summary."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import click

from curation.commands.common import (
    Dataset,
    Failure,
    Outcome,
    UsageFault,
    choose,
    finish,
    next_command,
    progress,
)
from curation.importers.census import Census
from curation.importers.layout import Collection, Files, LayoutError, Refused
from curation.importers.lossless import read_fps
from curation.importers.making import ImportBusyError, Imported, make_videos
from curation.importers.queueing import queue_files

INTERRUPTED = 130  # the shell's status for Ctrl-C


def _fps(ctx: click.Context, param: click.Parameter, value: str) -> Fraction:
    try:
        return read_fps(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


path_argument = click.argument("path", type=click.Path(exists=True, path_type=Path))
fps_option = click.option(
    "--fps",
    callback=_fps,
    metavar="RATE",
    default="25",
    show_default=True,
    help="Frames a second that the files get; the data records none. 25 is export's default: a frame is a frame.",
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only count what is there; bring nothing in.")


def run_made(
    dataset: Dataset,
    provider: str,
    path: Path,
    read: Callable[[], Collection],
    *,
    settings: dict[str, Any],
    dry_run: bool,
) -> None:
    """Import a data set whose videos are made of frames, and leave with the command's status."""
    command = f"import {provider}"
    with dataset.open() as catalogue:
        try:
            collection = read()
            with progress(command, collection.total, "videos") as bar:
                result = make_videos(
                    catalogue,
                    collection.items,
                    provider=provider,
                    phrase=str(path.absolute()),
                    settings=settings,
                    dry_run=dry_run,
                    workers=min(os.cpu_count() or 1, 4),
                    done=bar.advance,
                )
        except (LayoutError, ImportBusyError) as error:
            raise UsageFault(str(error)) from None
        except KeyboardInterrupt:
            click.echo("stopped; what was brought in is kept, and the same command goes on from there", err=True)
            raise SystemExit(INTERRUPTED) from None
    finish(dataset, _outcome_of_made(dataset, command, result, collection.remarks, dry_run))


def _outcome_of_made(
    dataset: Dataset, command: str, result: Imported, remarks: Sequence[str], dry_run: bool
) -> Outcome:
    counts = {"found" if dry_run else "added": len(result.new), "already_known": result.known}
    if result.mended:
        counts["made_again"] = len(result.mended)
    return Outcome(
        command=command,
        counts=counts,
        failures=failures(result.refused),
        remarks=[*remarks, *result.census.remarks(), *known_remarks(result.filled, result.other_split)],
        details={"videos": result.new, **result.census.details()},
        next=None if dry_run else next_command(dataset, "cut"),
    )


def run_files(
    dataset: Dataset,
    provider: str,
    path: Path,
    read: Callable[[], Files],
    *,
    settings: dict[str, Any],
    dry_run: bool,
) -> None:
    """Queue a data set whose videos are files, and leave with the command's status."""
    command = f"import {provider}"
    with dataset.open() as catalogue:
        try:
            files = read()
        except LayoutError as error:
            raise UsageFault(str(error)) from None
        census = Census()
        for found in files.found:
            census.count(found)
        if dry_run:
            outcome = Outcome(command=command, counts={"found": len(files.found)})
        else:
            queued = queue_files(
                catalogue, files.found, provider=provider, phrase=str(path.absolute()), settings=settings
            )
            outcome = Outcome(
                command=command,
                counts={"added": len(queued.new), "already_known": queued.known},
                remarks=known_remarks(queued.filled, queued.other_split),
                details={"videos": queued.new},
                next=next_command(dataset, "download"),
            )
            if queued.moved:
                outcome.remarks.append(f"queued again from where they lie now: {len(queued.moved):,} videos")
    outcome.failures = failures(files.refused)
    outcome.remarks = [*files.remarks, *census.remarks(), *outcome.remarks]
    outcome.details |= census.details()
    finish(dataset, outcome)


def failures(refused: Sequence[Refused]) -> list[Failure]:
    """Refused items as the summary lists them."""
    return [Failure(item=each.item, source=each.source, error=str(each.error)) for each in refused]


def known_remarks(filled: int, other_split: Sequence[str]) -> list[str]:
    """What became of known videos."""
    remarks = []
    if filled:
        remarks.append(f"known videos that got what they lacked (split, group, label or terms): {filled:,}")
    if other_split:
        remarks.append(
            f"known videos that keep the official split they were imported with: {len(other_split):,}"
            f" ({choose(other_split)})"
        )
    return remarks
