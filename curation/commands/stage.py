"""What the commands of the work stages share: the number of workers, the bar, the failures with their sources."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import Select, func, select

from curation.commands.common import Dataset, Failure, Outcome, next_command, progress
from curation.stages import Result
from db.engine import Catalogue
from db.models import Clip, Video

workers_option = click.option(
    "--workers",
    type=click.IntRange(1),
    default=lambda: min(os.cpu_count() or 1, 8),
    show_default="the number of cores, at most 8",
    help="Worker processes, each with one thread.",
)


def count(catalogue: Catalogue, query: Select[Any]) -> int:
    """How many items a stage has to do."""
    with catalogue.reading() as session:
        return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def perform_on_clips(
    catalogue: Catalogue,
    dataset: Dataset,
    command: str,
    *,
    left: Select[Any],
    work: Callable[..., Result],
    workers: int,
    done: str,
    then: str,
) -> Outcome:
    """Run a stage whose items are clips: `left` finds those it has to do, `done` names them, `then` is what follows."""
    total = count(catalogue, left)
    fewer = min(workers, max(total, 1))
    result = with_bar(command, total, "clips", lambda each: work(catalogue, workers=fewer, done=each))
    told = outcome(catalogue, command, result, done=done)
    told.next = next_command(dataset, then)
    return told


def with_bar(title: str, total: int, unit: str, work: Callable[[Callable[[str], None]], Result]) -> Result:
    """Run a stage under a progress bar, counting its items."""
    with progress(title, total, unit) as bar:
        return work(lambda _item: bar.advance())


def outcome(catalogue: Catalogue, command: str, result: Result, *, done: str) -> Outcome:
    """The outcome of a stage: `done` names its finished items."""
    return Outcome(
        command=command,
        counts={done: len(result.done), "failed": len(result.failed)},
        failures=failures(catalogue, result),
        remarks=[f"{result.elsewhere:,} are in the hands of another command"] if result.elsewhere else [],
    )


def failures(catalogue: Catalogue, result: Result) -> list[Failure]:
    """The failed items with the source that each came from."""
    listed = []
    with catalogue.reading() as session:
        for item, error in result.failed:
            clip = session.get(Clip, item)
            video = session.get(Video, clip.video_id if clip else item)
            listed.append(Failure(item=item, source=video.source if video else "", error=error))
    return listed
