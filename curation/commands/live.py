"""How a download is shown while it runs: a table of the workers on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from curation.downloading.board import Board, Snapshot

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

LINE_SECONDS = 10.0  # between two lines where nobody looks at a terminal
MEGABYTE = 1_000_000


class Shown:
    """The progress that `curation.downloading.download` reports to; the board has the numbers."""

    def __init__(self, console: Console | None) -> None:
        self._console = console

    def advance(self, amount: float) -> None:
        """The board knows."""

    def grow(self, amount: float) -> None:
        """The board knows."""

    def line(self, text: str) -> None:
        """Print a line above the table."""
        if self._console is not None:
            self._console.print(text, markup=False, highlight=False)
        else:
            click.echo(text, err=True)


@contextlib.contextmanager
def shown(board: Board, *, quiet: bool) -> Iterator[Shown]:
    """Show a board on stderr for as long as the block runs. `quiet`: nothing but the table, where there is a terminal.

    stdout is left to the outcome.
    """
    if sys.stderr.isatty():
        with _table(board) as view:
            yield view
    else:
        with _lines(board, quiet=quiet):
            yield Shown(None)


@contextlib.contextmanager
def _table(board: Board) -> Iterator[Shown]:
    from rich.console import Console
    from rich.live import Live

    console = Console(file=sys.stderr)
    live = Live(get_renderable=lambda: render(board.snapshot()), console=console, refresh_per_second=4, transient=True)
    with live:
        yield Shown(live.console)


@contextlib.contextmanager
def _lines(board: Board, *, quiet: bool) -> Iterator[None]:
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(LINE_SECONDS):
            click.echo(summary(board.snapshot()), err=True)

    thread = threading.Thread(target=tell, name="progress", daemon=True)
    if not quiet:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if not quiet:
            thread.join()


def render(now: Snapshot) -> RenderableType:
    """The table of the workers, and a line below it."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("", justify="right", style="dim")
    table.add_column("video", overflow="ellipsis", no_wrap=True, ratio=3)
    table.add_column("host", overflow="ellipsis", no_wrap=True, ratio=2)
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("MB/s", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in now.doing:
        size = f"{row.done / MEGABYTE:,.1f}" + (f" of {row.total / MEGABYTE:,.1f}" if row.total else "")
        speed = f"{row.speed / MEGABYTE:,.2f}" if row.speed is not None and row.state == "fetching" else ""
        table.add_row(str(row.worker + 1), Text(row.video), Text(row.host), size, speed, row.state)
    return Group(table, Text(summary(now), style="bold"))


def summary(now: Snapshot) -> str:
    """The call in one line."""
    failed = now.failed.total()
    parts = [f"{now.downloaded + failed:,} of {now.videos:,} videos", f"{now.downloaded:,} downloaded"]
    if failed:
        parts.append(f"{failed:,} failed ({classes(now.failed)})")
    parts.append(f"{now.bytes / MEGABYTE:,.0f} MB")
    if now.speed:
        parts.append(f"{now.speed / MEGABYTE:,.2f} MB/s")
    if now.left:
        parts.append(f"{_duration(now.left)} left")
    return ", ".join(parts)


def classes(failed: Counter[str]) -> str:
    """Failures by class of error, most frequent first."""
    return ", ".join(
        f"{name} {number:,}" for name, number in sorted(failed.items(), key=lambda item: (-item[1], item[0]))
    )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
