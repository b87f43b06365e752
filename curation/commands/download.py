"""`curate download`: fetch and check what was added."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, Failure, Outcome, dataset_options, finish, next_command, progress, report
from curation.download import DownloadReport, DownloadSettings, Stopped
from curation.download import download as download_videos

INTERRUPTED = 130  # the shell's status for Ctrl-C


@click.command()
@click.option("--workers", type=click.IntRange(1, 64), default=4, show_default=True, help="Videos fetched at once.")
@click.option(
    "--max-height",
    type=click.IntRange(16),
    default=360,
    show_default=True,
    help="The most lines a web video may have, where the site tells.",
)
@click.option("--retry", is_flag=True, help="Also try all videos that failed before, whatever their error.")
@click.option("--limit", type=click.IntRange(1), help="Stop after this many videos.")
@click.option(
    "--network-retries",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Tries after a broken connection, before the video is left to a later call.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    default=20.0,
    show_default=True,
    help="Seconds without a byte after which a connection counts as broken.",
)
@click.option(
    "--keep-free",
    type=click.IntRange(0),
    default=256,
    show_default=True,
    metavar="MB",
    help="Stop when less than this is free on the disk.",
)
@dataset_options
def download(
    workers: int,
    max_height: int,
    retry: bool,
    limit: int | None,
    network_retries: int,
    timeout: float,
    keep_free: int,
    dataset: Dataset,
) -> None:
    """Fetch the videos that were added, check that they decode, and hash them.

    A broken download goes on where it stopped. What failed for a passing reason is tried again by a later call,
    after a growing pause; what failed for good only with --retry. Several calls at once share the work.
    """
    settings = DownloadSettings(
        workers=workers,
        max_height=max_height,
        retry=retry,
        limit=limit,
        network_retries=network_retries,
        timeout=timeout,
        keep_free=keep_free * 1_000_000,
    )
    try:
        with dataset.open() as catalogue, progress("downloading", 0, "videos") as bar:
            result = download_videos(catalogue, settings, bar)
    except Stopped as stopped:
        outcome = outcome_of(stopped.report, dataset)
        outcome.remarks.append("stopped; the same command goes on")
        report(dataset, outcome)
        raise SystemExit(INTERRUPTED) from None
    finish(dataset, outcome_of(result, dataset))


def outcome_of(result: DownloadReport, dataset: Dataset) -> Outcome:
    """The summary of a call."""
    remarks = []
    if result.paused is not None:
        remarks.append("stopped early, as the disk is full; free some space and run the command again")
    for provider in sorted(result.paused_providers):
        remarks.append(f"{provider} doubts that a person asks: its other videos were left for a later call")
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
            "queued": result.queued,
            "waiting": result.waiting,
            "given_up": result.given_up,
        },
        next=next_command(dataset, "cut" if not result.queued else "download"),
    )
