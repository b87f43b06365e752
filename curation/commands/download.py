"""`curate download`: fetch and check what was added."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    report,
)
from curation.commands.cut import recipe_of, recipe_options
from curation.commands.live import shown
from curation.downloading.board import Board
from curation.downloading.download import DownloadSettings, Stopped
from curation.downloading.download import download as download_videos
from curation.downloading.pauses import site_name
from curation.downloading.report import DownloadReport, PausedSite
from curation.errors import ErrorClass
from curation.providers.cookies import BROWSERS, browser_cookies, read_cookies
from curation.publishing.rebuilding import changed_sources

INTERRUPTED = 130  # the shell's status for Ctrl-C
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


class Seconds(click.ParamType[tuple[float, float]]):
    """MIN or MIN-MAX."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        low, _, high = str(value).partition("-")
        try:
            found = float(low), float(high or low)
        except ValueError:
            found = -1.0, -1.0
        if not 0 <= found[0] <= found[1] < float("inf"):
            self.fail(f"{value!r} is not MIN or MIN-MAX seconds, such as 2 or 5-15", param, ctx)
        return found


class ByteRate(click.ParamType[float]):
    """A number with K, M or G behind it, or nothing."""

    name = "rate"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value).strip().upper()
        unit = text[-1:] if text[-1:] in ("K", "M", "G") else ""
        try:
            rate = float(text.removesuffix(unit)) * UNITS[unit]
        except ValueError:
            rate = -1.0
        if not 0 < rate < float("inf"):
            self.fail(f"{value!r} is not a number of bytes a second, such as 500K or 2M", param, ctx)
        return rate


def web_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of how the web is asked."""
    for option in (
        click.option(
            "--rate-limit", type=ByteRate(), metavar="N[K|M|G]", help="Bytes a second, of all workers together."
        ),
        click.option("--proxy", metavar="URL", help="Such as socks5://user:password@host:port."),
        click.option(
            "--cookies-from-browser", "browser", type=click.Choice(BROWSERS), help="Take the cookies of a browser."
        ),
        click.option(
            "--cookies",
            "cookie_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Netscape cookie file (cookies.txt); it is only read.",
        ),
        click.option(
            "--sleep-requests",
            type=click.FloatRange(0),
            default=0.0,
            metavar="S",
            help="Seconds between the requests for a video's page.",
        ),
        click.option(
            "--sleep",
            type=Seconds(),
            default="0",
            metavar="MIN[-MAX]",
            help="Seconds between two videos of one site, drawn at random.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            default=20.0,
            show_default=True,
            help="Seconds without a byte after which a connection counts as broken.",
        ),
        click.option(
            "--fragment-retries",
            type=click.IntRange(0),
            help="The same of one fragment.  [default: as --network-retries]",
        ),
        click.option(
            "--network-retries",
            type=click.IntRange(0),
            default=5,
            show_default=True,
            help="Tries after a broken connection, before the video is left to a later call.",
        ),
        click.option(
            "--max-height",
            type=click.IntRange(16),
            default=360,
            show_default=True,
            help="The most lines a web video may have, where the site tells.",
        ),
        click.option(
            "--format", "selection", metavar="SELECTION", help="yt-dlp's format selection, for --max-height's."
        ),
    ):
        function = option(function)
    return function


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Videos fetched at once.")
@click.option("--retry", is_flag=True, help="Also try all videos that failed before, whatever their error.")
@click.option("--limit", type=click.IntRange(1), help="Stop after this many videos.")
@click.option(
    "--keep-free",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    metavar="MB",
    help="Stop when less than this is free on the disk.",
)
@web_options
@click.option(
    "--sections",
    is_flag=True,
    help="Fetch only the ranges of long videos that `curate cut` would cut, by the four options that follow.",
)
@recipe_options
@dataset_options
def download(
    workers: int,
    retry: bool,
    limit: int | None,
    keep_free: int,
    sections: bool,
    dataset: Dataset,
    **options: Any,
) -> None:
    """Fetch the videos that were added, check that they decode, and hash them.

    A broken download goes on where it stopped. What failed for a passing reason is tried again by a later call,
    after a growing pause; what failed for good only with --retry. Several calls at once share the work.

    A site that doubts that a person asks, or refuses three videos in a row for asking too often, is left alone for a
    growing time, by all calls; the other sites go on.
    """
    recipe = {name: options.pop(name) for name in ("length", "max_clips", "margin", "spacing")}
    with _usage_faults():
        settings = DownloadSettings(
            workers=workers,
            retry=retry,
            limit=limit,
            keep_free=keep_free * 1_000_000,
            sections=recipe_of(**recipe) if sections else None,
            cookies=_cookies(options.pop("cookie_file"), options.pop("browser")),
            format=options.pop("selection"),
            **options,
        )
    board = Board()
    try:
        with dataset.open() as catalogue, shown(board, quiet=dataset.json) as view:
            result = download_videos(catalogue, settings, view, board)
            changed = changed_sources(catalogue)
    except Stopped as stopped:
        outcome = outcome_of(stopped.report, dataset)
        outcome.remarks.append("stopped; the same command goes on")
        report(dataset, outcome)
        raise SystemExit(INTERRUPTED) from None
    outcome = outcome_of(result, dataset)
    if changed:
        outcome.remarks.append(
            f"{len(changed):,} are not the files that were published (encoded anew, say, by their site): "
            f"{choose(changed)}"
        )
    finish(dataset, outcome)


@contextlib.contextmanager
def _usage_faults() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise UsageFault(str(error)) from None


def _cookies(file: Path | None, browser: str | None) -> str | None:
    if file is not None and browser is not None:
        raise UsageFault("--cookies and --cookies-from-browser: give one of them")
    if file is not None:
        return read_cookies(file)
    return None if browser is None else browser_cookies(browser)


def outcome_of(result: DownloadReport, dataset: Dataset) -> Outcome:
    """The summary of a call."""
    remarks = []
    if result.stopped_by is not None:
        remarks.append("stopped early, as the disk is full; free some space and run the command again")
    remarks += [_paused(paused, dataset) for paused in result.pauses]
    if result.sections:
        remarks.append(f"{result.sections:,} sections were fetched alone, and are the clips: curate cut makes them")
    for reason, number in result.whole_because.most_common():
        remarks.append(f"{number:,} fetched whole, not in sections: {reason}")
    if result.elsewhere:
        remarks.append(f"{result.elsewhere:,} are being fetched by another call")
    if result.queued:
        remarks.append(f"{result.queued:,} are left to fetch")
    if result.waiting:
        remarks.append(f"{result.waiting:,} failed before and wait for their next try (--retry does not wait)")
    if result.given_up:
        remarks.append(
            f"{result.given_up:,} failed before, for good; tried again only with --retry (see: curate status)"
        )
    failures = []
    for failed in result.failed:
        again = f"; next try from {failed.retry_at:%Y-%m-%d %H:%M:%S} UTC on" if failed.retry_at else ""
        failures.append(Failure(item=failed.id, source=failed.source, error=f"{failed.error}{again}"))
    return Outcome(
        command="download",
        counts={
            "downloaded": len(result.done),
            "failed": len(result.failed),
            "megabytes": round(result.bytes / 1_000_000),
        },
        failures=failures,
        remarks=remarks,
        details={
            "videos": result.done,
            "sections": result.sections,
            "queued": result.queued,
            "waiting": result.waiting,
            "given_up": result.given_up,
            "paused": {paused.site: paused.until.isoformat() for paused in result.pauses},
        },
        next=_next(result, dataset),
    )


def _paused(paused: PausedSite, dataset: Dataset) -> str:
    until = f"{site_name(paused.site)} is paused until {paused.until:%Y-%m-%d %H:%M:%S} UTC"
    lift = f"{next_command(dataset, 'retry')} --error {paused.error_class}"
    if paused.error_class == ErrorClass.BOT_CHECK:
        cookies = "pass newer --cookies" if paused.cookies else "pass --cookies or --cookies-from-browser"
        said = f"{until} (bot check): {cookies}, or lift it with: {lift}"
    else:
        said = f"{until} (asked too often): --sleep spreads the requests; lift it with: {lift}"
    return f"{said}; {paused.queued:,} of its videos are left queued"


def _next(result: DownloadReport, dataset: Dataset) -> str:
    """What can be gone on with now: paused videos cannot."""
    ready = result.queued - sum(paused.queued for paused in result.pauses)
    return next_command(dataset, "download" if ready > 0 else "cut")
