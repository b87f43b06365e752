"""`curate prune`: give back the disk space of what nothing needs any more."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, Failure, Outcome, choose, dataset_options, finish, next_command
from curation.exporting.lock import ExportBusyError
from curation.upkeep.prune import PruneReport
from curation.upkeep.prune import prune as prune_dataset

MEGABYTE = 1_000_000


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--exported",
    is_flag=True,
    help="Also drop the sources of clips that stand in the newest export: they can then not be exported otherwise.",
)
@dataset_options
def prune(dry_run: bool, exported: bool, dataset: Dataset) -> None:
    """Delete downloaded videos that no clip needs any more, and leftovers that no row names.

    A clip needs its video until it has a file of its own (curate cut --materialise), is filtered out or rejected. Only
    files in the dataset folder are ever deleted, and what is pruned is not downloaded again.
    """
    with dataset.open() as catalogue:
        try:
            report = prune_dataset(catalogue, dry_run=dry_run, exported=exported)
        except ExportBusyError as error:
            raise click.ClickException(str(error)) from None
    finish(dataset, _outcome(dataset, report, dry_run))


def _outcome(dataset: Dataset, report: PruneReport, dry_run: bool) -> Outcome:
    freed = report.sources.bytes + report.leftovers.bytes
    verb = "would free" if dry_run else "freed"
    remarks = [f"{verb} {freed / MEGABYTE:,.1f} MB"]
    if report.lost_clips:
        remarks.append(
            f"{report.lost_clips:,} filtered or rejected clips {'would go' if dry_run else 'went'} with their videos: "
            "no changed rule or mind brings them back"
        )
    if report.only_exported:
        remarks.append(f"{report.only_exported:,} accepted clips live on in the shards alone")
    if report.needed:
        remarks.append(
            f"kept: {report.needed:,} videos that clips need; give these files with: curate cut --materialise"
        )
    if report.elsewhere:
        remarks.append(f"kept: {report.elsewhere:,} videos outside the dataset folder, which are yours to delete")
    if report.broken:
        remarks.append(f"kept, as clip files are not as they were written: {choose(report.broken)}")
    return Outcome(
        command="prune",
        counts={
            "videos_pruned": len(report.videos),
            "files": len(report.sources.files) + len(report.leftovers.files),
        },
        details={
            "dry_run": dry_run,
            "bytes": freed,
            "videos": report.videos,
            "removed": [*report.sources.files, *report.leftovers.files],
            "lost_clips": report.lost_clips,
        },
        failures=[
            Failure(item=clip, source="clips/", error="its file is missing or changed") for clip in report.broken
        ],
        remarks=remarks,
        next=next_command(dataset, "status"),
    )
