"""`curate split`: which videos are for training, validation and test."""

from __future__ import annotations

from collections.abc import Iterator

import click

from curation.commands.common import Dataset, Outcome, UsageFault, choose, dataset_options, finish, next_command
from curation.splitting.split import HELD_OUT, LEAST_COMPONENTS, SplitResult, SplitSettings, split_videos
from db.engine import Catalogue
from db.shards import SPLITS


def parse_shares(ctx: click.Context, param: click.Parameter, value: str) -> dict[str, float]:
    """`90/5/5` as shares of train, val and test."""
    try:
        shares = dict(zip(SPLITS, [float(part) for part in value.split("/")], strict=True))
        SplitSettings(shares=shares)
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is not three shares such as 90/5/5 (train above 0, none negative)"
        ) from None
    return shares


@click.command()
@click.option(
    "--shares",
    callback=parse_shares,
    metavar="TRAIN/VAL/TEST",
    default="90/5/5",
    show_default=True,
    help="Shares of the clips.",
)
@click.option("--val", type=click.IntRange(0), metavar="N", help="About N clips for val, instead of a share.")
@click.option("--test", type=click.IntRange(0), metavar="N", help="About N clips for test, instead of a share.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, another draw.")
@click.option(
    "--by-channel/--no-by-channel",
    default=None,
    help="Hold the videos of a channel together too. Stays so for later calls.",
)
@click.option(
    "--ignore-official/--keep-official",
    default=None,
    help="Split imported data sets anew, free of leaks, or as their makers did (default). Stays so for later calls.",
)
@click.option("--reassign", is_flag=True, help="Draw all anew, also the videos that have a split already.")
@dataset_options
def split(
    shares: dict[str, float],
    val: int | None,
    test: int | None,
    seed: int,
    by_channel: bool | None,
    ignore_official: bool | None,
    reassign: bool,
    dataset: Dataset,
) -> None:
    """Give each video with accepted clips a split: train, val or test.

    Videos that belong together go together: cut from one recording, or with near-duplicate clips. A video keeps its
    split when more videos come, so that no test clip is ever trained on; where a newcomer ties train to test, all go to
    test, and are named. From three videos on, val and test get at least one each; with fewer, all are for training.
    """
    counts = {name: number for name, number in (("val", val), ("test", test)) if number is not None}
    settings = SplitSettings(
        shares=shares, counts=counts, seed=seed, by_channel=by_channel, ignore_official=ignore_official
    )
    with dataset.open() as catalogue:
        outcome = perform(catalogue, dataset, settings=settings, reassign=reassign)
    finish(dataset, outcome)


def perform(
    catalogue: Catalogue, dataset: Dataset, *, settings: SplitSettings | None = None, reassign: bool = False
) -> Outcome:
    """Split what has no split yet."""
    settings = settings or SplitSettings()
    result = split_videos(catalogue, settings, reassign=reassign)
    if not result.components:
        raise UsageFault(f"no clip is accepted yet; run: {next_command(dataset, 'annotate')}")
    assigned = len(result.assigned)
    return Outcome(
        command="split",
        counts={
            "videos_assigned": assigned,
            "videos_kept": sum(result.videos.values()) - assigned - len(result.moved),
            "videos_moved": len(result.moved),
        },
        details={
            "videos": result.videos,
            "clips": result.clips,
            "components": result.components,
            "assigned": result.assigned,
            "moved": {video: {"from": old, "to": new} for video, (old, new) in result.moved.items()},
            "official": result.official,
            "official_leaks": [leak.videos for leak in result.official_leaks],
            "by_channel": result.by_channel,
        },
        remarks=[
            *(f"{name}: {result.clips[name]:,} clips, videos: {result.videos[name]:,}" for name in SPLITS),
            *_remarks(settings, result, reassign),
        ],
        next=next_command(dataset, "export"),
    )


def _remarks(settings: SplitSettings, result: SplitResult, reassign: bool) -> Iterator[str]:
    if reassign:
        yield "drawn anew: what is test now may have been trained on before; train anew before evaluating"
    wanted = [name for name in HELD_OUT if result.targets[name] > 0]
    if result.moved:
        named = choose([f"{video} ({old} to {new})" for video, (old, new) in result.moved.items()])
        yield f"moved, as they belong with videos that are held out: {named}"
        if any(old == "train" for old, _ in result.moved.values()):
            yield "what was in train may have been trained on: evaluate with models that are trained from now on"
    if result.official:
        sides = ", ".join(f"{name} {number:,}" for name, number in result.official.items())
        yield f"kept as their data set has them, videos: {sides}"
    if result.official_leaks:
        yield _leaks(result)
    if result.components < LEAST_COMPONENTS and wanted and not result.official:
        yield (
            f"all for training: val and test need {LEAST_COMPONENTS} videos or more that do not belong together, as "
            "what does is never torn apart"
        )
        return
    for name in wanted:
        if not result.videos[name]:
            how = "--ignore-official" if result.official else "--reassign"
            yield f"{name} is empty: no video was left for it; add videos, or use {how}"
        elif name in settings.counts and result.clips[name] != settings.counts[name]:
            yield (
                f"{name} has {result.clips[name]:,} clips where {settings.counts[name]:,} were asked for: "
                "whole videos only, and none changes its split"
            )


def _leaks(result: SplitResult) -> str:
    leaks = result.official_leaks
    example = ", ".join(f"{videos[0]} ({side})" for side, videos in leaks[0].videos.items())
    return (
        f"{len(leaks):,} leaks within the official split: videos that belong together on several sides, such as "
        f"{example}; kept as published, --ignore-official splits anew"
    )
