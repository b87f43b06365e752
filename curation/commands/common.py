"""What all commands share: the dataset options, progress, the closing summary, and errors without tracebacks."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click
import sqlalchemy as sa

from curation.errors import StageError
from db.engine import Catalogue, CatalogueError, open_catalogue
from db.manifest import ShardError

if TYPE_CHECKING:
    from rich.progress import Progress

P = ParamSpec("P")
R = TypeVar("R")


class UsageFault(click.ClickException):
    """The command cannot begin: bad usage or nothing to work on. Exit status 2."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The options that every command takes."""

    folder: Path
    database: str | None
    json: bool

    def open(self) -> Catalogue:
        """Open the dataset's catalogue; errors are shown by `friendly_errors`."""
        return open_catalogue(self.folder, self.database)


def dataset_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add --dataset, --database and --json to a command, which gets them as its argument `dataset`."""

    @click.option(
        "--dataset",
        "folder",
        type=click.Path(path_type=Path),
        envvar="STILLFLOW_DATASET",
        default=Path(),
        show_default="the current folder",
        show_envvar=True,
        help="The dataset folder.",
    )
    @click.option("--database", metavar="URL", help="Another catalogue than the folder's catalogue.sqlite.")
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
    @functools.wraps(function)
    def wrapper(*args: Any, folder: Path, database: str | None, as_json: bool, **kwargs: Any) -> R:
        return function(*args, dataset=Dataset(folder=folder, database=database, json=as_json), **kwargs)

    return wrapper


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An item that failed in this call."""

    item: str
    source: str
    error: str


@dataclass(kw_only=True)
class Outcome:
    """What a command did: `counts` in the order to show, `failures`, remarks, and the command to go on with."""

    command: str
    counts: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    next: str | None = None


_gathered: ContextVar[list[Outcome] | None] = ContextVar("_gathered", default=None)


@contextlib.contextmanager
def gathering() -> Iterator[list[Outcome]]:
    """Commands called inside hand their outcomes over instead of leaving with a status; text is printed as it comes."""
    outcomes: list[Outcome] = []
    token = _gathered.set(outcomes)
    try:
        yield outcomes
    finally:
        _gathered.reset(token)


def finish(dataset: Dataset, outcome: Outcome) -> None:
    """Print the outcome and leave with status 1 if items failed."""
    outcomes = _gathered.get()
    if outcomes is not None:
        outcomes.append(outcome)
        outcome.next = None
        if not dataset.json:
            report(dataset, outcome)
        return
    report(dataset, outcome)
    if outcome.failures:
        raise SystemExit(1)


def report(dataset: Dataset, outcome: Outcome) -> None:
    """Print the outcome as text, or as one JSON object."""
    if dataset.json:
        click.echo(json.dumps(as_json(outcome), ensure_ascii=False))
        return
    counts = ", ".join(f"{number:,} {_named(name, number)}" for name, number in outcome.counts.items())
    click.echo(f"{outcome.command}: {counts or 'done'}")
    for remark in outcome.remarks:
        click.echo(f"  {remark}")
    for failure in outcome.failures:
        click.echo(f"  failed: {failure.item} ({failure.source}): {failure.error}", err=True)
    if outcome.next:
        click.echo(f"next: {outcome.next}")


def _named(name: str, number: int) -> str:
    words = name.replace("_", " ")
    if number != 1:
        return words
    return words.removesuffix("es" if words.endswith("ches") else "s")


def as_json(outcome: Outcome) -> dict[str, Any]:
    """An outcome as machines get it."""
    return {
        "command": outcome.command,
        **outcome.counts,
        **outcome.details,
        "failures": [vars(failure) for failure in outcome.failures],
        "remarks": outcome.remarks,
        "next": outcome.next,
    }


class Bar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, progress: Progress | None, total: float | None, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total) if progress else None

    def advance(self, amount: float = 1) -> None:
        """Count `amount` more of the unit as done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, amount)

    def grow(self, amount: float) -> None:
        """Add to the total."""
        if self._progress is not None and self._task is not None:
            total = self._progress.tasks[self._task].total or 0
            self._progress.update(self._task, total=total + amount)

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._progress is not None:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            click.echo(text, err=True)


@contextlib.contextmanager
def progress(title: str, total: float | None, unit: str) -> Iterator[Bar]:
    """A bar with rate and time left, on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield Bar(None, total, title)
        return
    from curation.commands.bar import shown_progress  # late: it is not wanted where nobody looks

    with shown_progress(unit) as shown:
        yield Bar(shown, total, title)


def next_command(dataset: Dataset, command: str) -> str:
    """`curate <command>` with the options that this dataset was opened with."""
    folder = "" if dataset.folder == Path() else f" --dataset {dataset.folder}"
    database = f" --database {dataset.database}" if dataset.database else ""
    return f"curate {command}{folder}{database}"


def choose(items: Sequence[str], limit: int = 5) -> str:
    """The first items of a long list, for a message."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


@contextlib.contextmanager
def friendly_errors() -> Iterator[None]:
    """Turn the errors that users can cause, or mend, into one line and an exit status."""
    try:
        yield
    except (CatalogueError, ShardError) as error:
        raise UsageFault(str(error)) from None
    except StageError as error:
        raise click.ClickException(str(error)) from None
    except sa.exc.OperationalError as error:
        text = str(error.orig).splitlines()[0]
        advice = "free some space and run the command again" if "full" in text else "try again"
        raise click.ClickException(f"the catalogue could not be used: {text}; {advice}") from None
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise SystemExit(1) from None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}the disk is full; free some space and run the command again") from None
        if isinstance(error, PermissionError | FileNotFoundError | NotADirectoryError | IsADirectoryError):
            raise click.ClickException(f"{error.filename}: {error.strerror}") from None
        raise
