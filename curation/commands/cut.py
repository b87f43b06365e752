"""`curate cut`: plan the clips of each downloaded video."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import func, select

from curation.commands.common import Dataset, Outcome, UsageFault, choose, dataset_options, finish, next_command
from curation.commands.stage import count, failures, outcome, with_bar, workers_option
from curation.cutting.cut import cut_otherwise, cut_videos, videos_to_cut
from curation.cutting.materialise import FileRecipe, sizes, unfit
from curation.cutting.materialise import left as files_left
from curation.cutting.materialise import materialise as materialise_clips
from curation.cutting.plan import CutRecipe
from curation.cutting.published import cut_published
from curation.cutting.published import left as published_left
from curation.publishing.rebuilding import changed_sources
from curation.stages import Result
from db.engine import Catalogue
from db.models import Clip

DEFAULTS = CutRecipe()
MEGABYTE = 1_000_000


def recipe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a `CutRecipe`; all numbers are seconds but --max-clips."""
    for option in (
        click.option(
            "--spacing", type=float, default=DEFAULTS.spacing, show_default=True, help="At least this between."
        ),
        click.option("--margin", type=float, default=DEFAULTS.margin, show_default=True, help="Left out at both ends."),
        click.option("--max-clips", type=int, default=DEFAULTS.max_clips, show_default=True, help="At most, a video."),
        click.option("--length", type=float, default=DEFAULTS.length, show_default=True, help="Of a clip, s."),
    ):
        function = option(function)
    return function


def recipe_of(length: float, max_clips: int, margin: float, spacing: float) -> CutRecipe:
    """The recipe of these options; a clear error if there is none such."""
    try:
        return CutRecipe(length=length, max_clips=max_clips, margin=margin, spacing=spacing)
    except ValueError as error:
        raise UsageFault(str(error)) from None


@click.command()
@recipe_options
@click.option(
    "--recut", is_flag=True, help="Also cut anew the videos that were cut otherwise and have no judged clips."
)
@click.option("--materialise", is_flag=True, help="Also write a file of each clip that may still be wanted, to clips/.")
@click.option("--lossless", is_flag=True, help="Clip files without any loss: many times larger.")
@click.option("--crf", type=click.IntRange(0, 51), show_default="14", help="Quality of clip files; smaller is better.")
@workers_option
@dataset_options
def cut(
    dataset: Dataset,
    length: float,
    max_clips: int,
    margin: float,
    spacing: float,
    recut: bool,
    materialise: bool,
    lossless: bool,
    crf: int | None,
    workers: int,
) -> None:
    """Cut each downloaded video into clips: rows with exact times, no files.

    A video shorter than a clip is one clip, flagged short. Videos of a published manifest get its clips. Clip files
    have the source's timestamps, frame by frame; scores, previews and exports read them from then on, and
    curate prune can drop their sources.
    """
    if (lossless or crf is not None) and not materialise:
        raise UsageFault("--lossless and --crf are for clip files; add --materialise")
    if lossless and crf is not None:
        raise UsageFault("--lossless files have no --crf")
    recipe = recipe_of(length, max_clips, margin, spacing)
    with dataset.open() as catalogue:
        told = perform(catalogue, dataset, recipe, recut=recut, workers=workers)
        if materialise:
            files = (
                FileRecipe(lossless=True) if lossless else FileRecipe(crf=crf if crf is not None else FileRecipe.crf)
            )
            add_files(catalogue, told, files, workers)
    finish(dataset, told)


def perform(
    catalogue: Catalogue, dataset: Dataset, recipe: CutRecipe, *, recut: bool = False, workers: int = 1
) -> Outcome:
    """Cut what is left to cut, videos of published manifests as these say."""
    before = _clips(catalogue)
    published = with_bar(
        "cut as published",
        count(catalogue, published_left()),
        "videos",
        lambda done: cut_published(catalogue, done=done),
    )
    total = len(videos_to_cut(catalogue, recipe, recut=recut))
    result = with_bar(
        "cut",
        total,
        "videos",
        lambda done: cut_videos(catalogue, recipe, recut=recut, workers=min(workers, max(total, 1)), done=done),
    )
    both = Result(
        done=[*published.done, *result.done],
        failed=[*published.failed, *result.failed],
        elsewhere=published.elsewhere + result.elsewhere,
    )
    told = outcome(catalogue, "cut", both, done="videos")
    told.counts = {"videos": len(both.done), "new_clips": _clips(catalogue) - before, "failed": len(both.failed)}
    told.remarks += published_remarks(catalogue, len(published.done))
    with catalogue.reading() as session:
        others = cut_otherwise(session, recipe)
    if others:
        told.remarks.append(
            f"{len(others)} videos keep the clips of another recipe; --recut cuts those anew that have no judged clips"
        )
    told.next = next_command(dataset, "export" if published.done and not result.done else "score")
    return told


def published_remarks(catalogue: Catalogue, cut_now: int = 0) -> list[str]:
    """What to know of the videos of published manifests."""
    remarks = [f"{cut_now:,} of them as published: accepted by annotator 'manifest', split as there"] if cut_now else []
    if changed := changed_sources(catalogue):
        remarks.append(
            f"{len(changed):,} videos are not the published files (encoded anew by their site, say): their clips are "
            f"at the published times, but shards with them have other hashes: {choose(changed)}"
        )
    return remarks


def add_files(catalogue: Catalogue, told: Outcome, recipe: FileRecipe, workers: int) -> None:
    """Write the clip files that are missing, and say so in the outcome of the cut."""
    total = count(catalogue, files_left())
    result = with_bar(
        "clip files",
        total,
        "clips",
        lambda done: materialise_clips(catalogue, recipe, workers=min(workers, max(total, 1)), done=done),
    )
    told.counts |= {"files": len(result.done)}
    told.counts["failed"] += len(result.failed)
    told.failures += failures(catalogue, result)
    with catalogue.reading() as session:
        found = sizes(session)
    told.details |= {"file_bytes": found.bytes, "source_bytes": found.source_bytes}
    told.remarks.append(
        f"{found.files:,} clips have files of their own: {found.bytes / MEGABYTE:,.1f} MB beside "
        f"{found.source_bytes / MEGABYTE:,.1f} MB of sources"
    )
    if stuck := count(catalogue, unfit()):
        told.remarks.append(
            f"{stuck:,} clips can have none, as MP4 cannot hold their times (AVI at 29.97 frames a second)"
        )
    if found.lossy:
        told.remarks.append(
            f"{found.lossy:,} of them are encoded anew with loss: what is scored or exported from now on comes from "
            "these; shards that hold the clips already stay as they are"
        )


def _clips(catalogue: Catalogue) -> int:
    with catalogue.reading() as session:
        return session.scalar(select(func.count()).select_from(Clip)) or 0
