"""`curate takedown`: remove videos and all that was made of them, for good."""

from __future__ import annotations

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
    progress,
)
from curation.errors import StageError
from curation.exporting.lock import ExportBusyError
from curation.providers.urls import identify_url, is_url
from curation.upkeep.takedown import TakenDown, resolve, take_down, unfinished
from db.engine import Catalogue

MEGABYTE = 1_000_000


@click.command()
@click.argument("videos", nargs=-1, metavar="[VIDEO]...")
@click.option("--reason", help="Why, for the catalogue: who asked, say.")
@click.option(
    "--runs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Name the trained runs below this folder that read a shard which held them.",
)
@dataset_options
def takedown(videos: tuple[str, ...], reason: str | None, runs: Path | None, dataset: Dataset) -> None:
    """Take videos down: by id, address or file.

    They are never downloaded again. Their media in the dataset folder are deleted, and so is every shard that held
    them, of all versions; those of the newest export are made anew from their other clips, which are copied, not
    decoded. Other shards are not touched. The same command again finishes one that was stopped; without VIDEO, all.
    """
    with dataset.open() as catalogue:
        ids, unknown = _named(catalogue, videos)
        if not ids:
            names = choose(unknown)
            raise UsageFault(
                f"no video is called {names}; see: curate status --json" if names else "nothing to take down"
            )
        try:
            with progress("taking down", None, "shards") as bar:
                told = take_down(catalogue, ids, reason=reason, runs=runs, done=lambda _shard: bar.advance())
        except ExportBusyError as error:
            raise click.ClickException(
                f"the videos are taken down, but shards still hold them: {error} (curate takedown, with no VIDEO)"
            ) from None
    finish(dataset, _outcome(dataset, told, unknown, runs))


def _named(catalogue: Catalogue, names: tuple[str, ...]) -> tuple[list[str], list[str]]:
    with catalogue.reading() as session:
        if not names:
            return unfinished(session), []
        ids, unknown = resolve(session, names)
        # The same video under another address.
        for name in [name for name in unknown if is_url(name)]:
            try:
                found, _ = resolve(session, [identify_url(name).id])
            except StageError:
                continue
            if found:
                ids += [video for video in found if video not in ids]
                unknown.remove(name)
    return ids, unknown


def _outcome(dataset: Dataset, told: TakenDown, unknown: list[str], runs: Path | None) -> Outcome:
    replaced = {old: new for each in told.rewritten for old, new in each.replaced.items()}
    lost = {old: why for each in told.rewritten for old, why in each.lost.items()}
    remarks = []
    if told.before:
        remarks.append(f"taken down before: {choose(told.before)}")
    if told.media.files:
        remarks.append(f"deleted {len(told.media.files):,} media files, {told.media.bytes / MEGABYTE:,.1f} MB")
    if told.media.elsewhere:
        remarks.append(f"not in the dataset folder, so yours to delete: {choose(told.media.elsewhere)}")
    remarks += [f"{old} was made anew as {new}" for old, new in replaced.items() if new is not None]
    emptied = [old for old, new in replaced.items() if new is None and old not in lost]
    if emptied:
        remarks.append(f"held nothing else: {choose(emptied)}")
    remarks += [f"version {each.version} ({each.format}) is without them" for each in told.rewritten if each.version]
    if told.shards:
        remarks.append(f"deleted shards, also of older versions, whose manifests say so: {choose(told.shards)}")
    remarks += [f"trained on them: {run} (read {choose(files)})" for run, files in told.runs.items()]
    if runs is None:
        remarks.append("add --runs DIR to have the trained runs named that read them")
    elif not told.runs:
        remarks.append(f"no run below {runs} read a shard that held them")
    remarks.append("manifests and reports that were published before still name them: make and publish these anew")
    return Outcome(
        command="takedown",
        counts={
            "videos": len(told.videos),
            "clips": told.clips,
            "shards_rewritten": sum(new is not None for new in replaced.values()),
            "shards_deleted": len(told.shards),
            "runs": len(told.runs),
        },
        details={
            "taken_down": told.videos,
            "before": told.before,
            "replaced": replaced,
            "deleted": [*told.media.files, *told.shards],
            "runs_named": told.runs,
        },
        failures=[
            *(Failure(item=name, source="argument", error="no video is called so") for name in unknown),
            *(
                Failure(
                    item=old,
                    source="shard",
                    error=f"its other clips could not be copied ({why}); bring them back with: curate export",
                )
                for old, why in lost.items()
            ),
        ],
        remarks=remarks,
        next=next_command(dataset, "verify"),
    )
