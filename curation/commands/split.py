"""`curate split`: which videos are for training, validation and test."""

from __future__ import annotations

from collections.abc import Iterator

import click

from curation.commands.common import Dataset, Outcome, UsageFault, dataset_options, finish, next_command
from curation.split import HELD_OUT, LEAST_COMPONENTS, SplitResult, SplitSettings, split_videos
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
@click.option("--reassign", is_flag=True, help="Draw all anew, also the videos that have a split already.")
@dataset_options
def split(
    shares: dict[str, float], val: int | None, test: int | None, seed: int, reassign: bool, dataset: Dataset
) -> None:
    """Give each video with accepted clips a split: train, val or test.

    All clips of a video go together. A video keeps its split when more videos come, so that no test clip is ever
    trained on. From three videos on, val and test get at least one each; with fewer, all are for training.
    """
    counts = {name: number for name, number in (("val", val), ("test", test)) if number is not None}
    settings = SplitSettings(shares=shares, counts=counts, seed=seed)
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
        counts={"videos_assigned": assigned, "videos_kept": sum(result.videos.values()) - assigned},
        details={"videos": result.videos, "clips": result.clips, "assigned": result.assigned},
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
    if result.components < LEAST_COMPONENTS and wanted:
        yield f"all for training: val and test need {LEAST_COMPONENTS} videos or more, as a video is never torn apart"
        return
    for name in wanted:
        if not result.videos[name]:
            yield f"{name} is empty: no video was left for it; add videos, or use --reassign"
        elif name in settings.counts and result.clips[name] != settings.counts[name]:
            yield (
                f"{name} has {result.clips[name]:,} clips where {settings.counts[name]:,} were asked for: "
                "whole videos only, and none changes its split"
            )
