"""`curate export`: accepted clips into training shards."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

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
from curation.commands.stage import workers_option
from curation.export import SHARD_BYTES, ExportResult, NothingAcceptedError, accept_unreviewed, export_clips
from curation.export_lock import ExportBusyError
from curation.export_plan import SplitMissingError
from curation.export_recipe import ExportRecipe
from db.engine import Catalogue

UNITS = {"": 1, "B": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("KMGT", 1)
    for end, base in (("", 1024), ("iB", 1024), ("B", 1000))
}


def parse_fps(ctx: click.Context, param: click.Parameter, value: str) -> Fraction | None:
    """A rate such as 25, 29.97 or 30000/1001, exactly; None for `native`."""
    if value == "native":
        return None
    try:
        fps = Fraction(value)
        ExportRecipe(fps=fps)
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"{value!r} is neither 'native' nor a rate from above 0 to 1000") from None
    return fps


def parse_bytes(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A size such as 1GiB, 500MB or 1000000, in bytes."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", value)
    units = {name.lower(): size for name, size in UNITS.items()}
    if not found or found[2].lower() not in units:
        raise click.BadParameter(f"{value!r} is not a size such as 1GiB, 500MB or 1000000")
    size = int(float(found[1]) * units[found[2].lower()])
    if size < 1:
        raise click.BadParameter("a shard has at least one byte")
    return size


@click.command()
@click.option("--size", type=click.IntRange(8, 4096), default=128, show_default=True, help="Frames are SIZE x SIZE.")
@click.option(
    "--fit",
    type=click.Choice(["crop", "squash"]),
    default="crop",
    show_default=True,
    help="Scale the shorter side and cut out the middle, or distort the whole frame (as the thesis did).",
)
@click.option(
    "--fps",
    callback=parse_fps,
    default="25",
    show_default=True,
    metavar="RATE|native",
    help="Frames a second; native keeps each source's own frames.",
)
@click.option(
    "--shard-size",
    callback=parse_bytes,
    default="1GiB",
    show_default=True,
    metavar="BYTES",
    help="Size that new shards aim at.",
)
@click.option("--accept-unreviewed", is_flag=True, help="First accept all clips that still await review.")
@workers_option
@dataset_options
def export(
    size: int,
    fit: Literal["crop", "squash"],
    fps: Fraction | None,
    shard_size: int,
    accept_unreviewed: bool,
    workers: int,
    dataset: Dataset,
) -> None:
    """Write the accepted clips into HDF5 shards, under shards/.

    Only what is new is decoded: a clip stays in the shard that has it for as long as all of that shard's clips are
    accepted. Each export that changes anything is a new version, with its own manifest; older files stay.
    """
    with dataset.open() as catalogue:
        outcome = perform(
            catalogue,
            dataset,
            recipe=ExportRecipe(size=size, fit=fit, fps=fps),
            shard_bytes=shard_size,
            unreviewed=accept_unreviewed,
            workers=workers,
        )
    finish(dataset, outcome)


def perform(
    catalogue: Catalogue,
    dataset: Dataset,
    *,
    recipe: ExportRecipe,
    shard_bytes: int = SHARD_BYTES,
    unreviewed: bool = False,
    workers: int = 1,
) -> Outcome:
    """Export what is left to export."""
    accepted = accept_unreviewed(catalogue) if unreviewed else 0
    note = f"{accepted:,} clips were accepted without review (annotator 'unreviewed')" if accepted else ""
    try:
        with progress("exporting", 0, "clips") as bar:
            result = export_clips(
                catalogue,
                recipe,
                shard_bytes=shard_bytes,
                workers=workers,
                planned=bar.grow,
                clip_done=lambda _clip: bar.advance(),
            )
    except SplitMissingError as error:
        told = f"{note}; " if note else ""
        raise UsageFault(f"{told}{error}; run: {next_command(dataset, 'split')}") from None
    except NothingAcceptedError:
        raise UsageFault(
            f"no clip is accepted yet; run: {next_command(dataset, 'annotate')} (or export with --accept-unreviewed)"
        ) from None
    except ExportBusyError as error:
        raise click.ClickException(str(error)) from None
    return _outcome(dataset, result, accepted, note)


def _outcome(dataset: Dataset, result: ExportResult, accepted: int, note: str) -> Outcome:
    remarks = [note] if note else []
    if result.version is None:
        remarks.append("nothing could be exported; no version was made")
    elif result.new_version:
        remarks.append(f"version {result.version}: shards/manifest-{result.version}.json, and manifest.json")
    else:
        remarks.append(f"nothing to do: version {result.version} holds all that can be exported")
    if result.shards_dropped:
        remarks.append(
            f"{choose(result.shards_dropped)} held clips that are not wanted any more: not in this version; "
            "the files stay for older versions"
        )
    remarks += result.remarks
    return Outcome(
        command="export",
        counts={
            "clips": result.clips,
            "frames": result.frames,
            "shards_written": result.shards_written,
            "shards_kept": result.shards_kept,
        },
        details={
            "version": result.version,
            "new_version": result.new_version,
            "accepted_unreviewed": accepted,
            "shards_dropped": list(result.shards_dropped),
        },
        failures=[
            Failure(item=failure.clip_id, source=failure.source, error=failure.error) for failure in result.failures
        ],
        remarks=remarks,
        next=next_command(dataset, "verify"),
    )
