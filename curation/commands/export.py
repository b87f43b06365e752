"""`curate export`: accepted clips into training shards."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Literal

import click

from curation.commands.add_manifest import rebuilt_remarks
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
from curation.exporting.diff import NoSuchVersionError, diff_versions
from curation.exporting.export import SHARD_BYTES, ExportResult, NothingAcceptedError, accept_unreviewed, export_clips
from curation.exporting.lock import ExportBusyError
from curation.exporting.plan import SplitMissingError
from curation.exporting.recipe import ExportRecipe, FormatName
from curation.publishing.rebuilding import prescribed
from db.engine import Catalogue
from db.shards import Codec

LISTED = 20  # moved clips that are named one by one
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
@click.option(
    "--codec",
    type=click.Choice(["raw", "jpeg"]),
    show_default="raw; jpeg for webdataset",
    help="How frames stand in the shards: jpeg takes about a sixth of the space, and is decoded when read.",
)
@click.option("--quality", type=click.IntRange(1, 100), show_default="95", help="Of JPEG; chroma is kept whole.")
@click.option(
    "--masks",
    type=click.Choice(["none", "given", "motion"]),
    default="none",
    show_default=True,
    help="Label maps beside the frames: those that `curate masks --from` brought, or those of --motion.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["hdf5", "webdataset"]),
    default="hdf5",
    show_default=True,
    help="HDF5 under shards/, or tar files under webdataset/.",
)
@click.option(
    "--diff",
    nargs=2,
    type=click.IntRange(1),
    metavar="A B",
    help="Only tell what is different between two versions, from A to B.",
)
@click.option("--accept-unreviewed", is_flag=True, help="First accept all clips that still await review.")
@workers_option
@dataset_options
def export(
    size: int,
    fit: Literal["crop", "squash"],
    fps: Fraction | None,
    shard_size: int,
    codec: Literal["raw", "jpeg"] | None,
    quality: int | None,
    masks: Literal["none", "given", "motion"],
    format_: FormatName,
    diff: tuple[int, int] | None,
    accept_unreviewed: bool,
    workers: int,
    dataset: Dataset,
) -> None:
    """Write the accepted clips into shards.

    Only what is new is decoded: a clip stays in the shard that has it for as long as all of that shard's clips are
    accepted. Each export that changes anything is a new version, with its own manifest; older files stay. Extras of a
    clip, such as a robot's actions, stand beside its frames.
    """
    codec = codec or ("jpeg" if format_ == "webdataset" else "raw")
    if quality is not None and codec == "raw":
        raise click.BadParameter("raw frames have no quality; add --codec jpeg", param_hint="--quality")
    with dataset.open() as catalogue:
        if diff is not None:
            told = compare(catalogue, *diff)
            finish(dataset, told)
            return
        outcome = perform(
            catalogue,
            dataset,
            recipe=ExportRecipe(
                size=size,
                fit=fit,
                fps=fps,
                codec=Codec(name=codec, quality=quality or Codec.quality),
                masks=None if masks == "none" else masks,
                format=format_,
            ),
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
                prescribed=prescribed(catalogue, recipe),
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
    outcome = _outcome(dataset, recipe, result, accepted, note)
    outcome.remarks += rebuilt_remarks(catalogue, dataset, recipe)
    return outcome


def compare(catalogue: Catalogue, old: int, new: int) -> Outcome:
    """What is different between two versions."""
    with catalogue.reading() as session:
        try:
            diff = diff_versions(session, old, new)
        except NoSuchVersionError as error:
            raise UsageFault(f"--diff: {error}") from None
    remarks = [f"from version {old} to version {new}"]
    for name, clips in (("added", diff.added), ("removed", diff.removed)):
        remarks += [f"{name}, {split}: {choose(some)}" for split, some in clips.items() if some]
    remarks += [f"moved: {clip} from {before} to {now}" for clip, before, now in diff.moved[:LISTED]]
    if len(diff.moved) > LISTED:
        remarks.append(f"and {len(diff.moved) - LISTED:,} more moved")
    if diff.changed:
        remarks.append(f"with other extras or masks: {choose(diff.changed)}")
    remarks += [f"new: {file}" for file in diff.shards_new] + [f"dropped: {file}" for file in diff.shards_dropped]
    remarks += [f"recipe: {name} was {_value(pair[0])}, is {_value(pair[1])}" for name, pair in diff.recipe.items()]
    return Outcome(
        command="export",
        counts={
            "clips_added": sum(map(len, diff.added.values())),
            "clips_removed": sum(map(len, diff.removed.values())),
            "clips_moved": len(diff.moved),
            "clips_kept": diff.kept,
            "shards_new": len(diff.shards_new),
            "shards_dropped": len(diff.shards_dropped),
            "shards_kept": len(diff.shards_kept),
        },
        details={
            "diff": {
                "from": old,
                "to": new,
                "added": {split: list(clips) for split, clips in diff.added.items()},
                "removed": {split: list(clips) for split, clips in diff.removed.items()},
                "moved": [{"clip": clip, "from": before, "to": now} for clip, before, now in diff.moved],
                "changed": list(diff.changed),
                "shards": {
                    "new": list(diff.shards_new),
                    "dropped": list(diff.shards_dropped),
                    "kept": list(diff.shards_kept),
                },
                "recipe": {name: {"from": before, "to": now} for name, (before, now) in diff.recipe.items()},
            }
        },
        remarks=remarks,
    )


def _value(setting: object) -> str:
    return "not set" if setting is None else str(setting)


def _outcome(dataset: Dataset, recipe: ExportRecipe, result: ExportResult, accepted: int, note: str) -> Outcome:
    remarks = [note] if note else []
    folder = recipe.layout.folder
    if result.version is None:
        remarks.append("nothing could be exported; no version was made")
    elif result.new_version:
        remarks.append(f"version {result.version}: {folder}/manifest-{result.version}.json, and manifest.json")
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
