"""`curate masks`: label maps beside the frames, given or made of what moves."""

from __future__ import annotations

import re
from pathlib import Path
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
from curation.commands.stage import perform_on_clips, workers_option
from curation.masks.given import count_masks, import_masks, remove_masks
from curation.masks.motion import THRESHOLD, MotionRecipe, clips_without, make_motion_masks
from db.engine import Catalogue


@click.command()
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Take in the label maps (8-bit PNG, one channel or a palette) of this folder.",
)
@click.option(
    "--classes",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="With --from: the classes' names, a value and a name a line; maps with other values are refused.",
)
@click.option("--motion", is_flag=True, help="Make a mask of what moves, for each accepted clip.")
@click.option(
    "--threshold",
    type=float,
    show_default=str(THRESHOLD),
    help="With --motion: the least temporal variance of a moving pixel (Eq. 3.19, RGB in [0, 1]).",
)
@click.option("--list", "listed", is_flag=True, help="Count the masks there are.")
@click.option("--remove", type=click.Choice(["given", "motion"]), help="Forget the masks of this origin.")
@workers_option
@dataset_options
def masks(
    source: Path | None,
    classes: Path | None,
    motion: bool,
    threshold: float | None,
    listed: bool,
    remove: Literal["given", "motion"] | None,
    workers: int,
    dataset: Dataset,
) -> None:
    """Label maps of frames, to train with masks.

    --from matches files by their names: <clip id>.png is of the clip's first frame, <clip id>-<frame>.png of that
    frame of the clip (from 0, in the source's frames), <video id>@<seconds>.png of the video's frame nearest to that
    time. A map has the size of the video's frames. A mask of --motion looks into the clip's future: it is fit to
    train with and never to test with. `curate export --masks given|motion` puts them beside the frames.
    """
    if sum((source is not None, motion, listed, remove is not None)) != 1:
        raise UsageFault("one of --from DIR, --motion, --list and --remove is needed")
    if classes is not None and source is None:
        raise UsageFault("--classes belongs to --from")
    if threshold is not None and not motion:
        raise UsageFault("--threshold belongs to --motion")
    try:
        recipe = MotionRecipe() if threshold is None else MotionRecipe(threshold=threshold)
    except ValueError as error:
        raise UsageFault(f"--threshold: {error}") from None
    with dataset.open() as catalogue:
        if source is not None:
            outcome = take_in(catalogue, dataset, source, classes)
        elif motion:
            outcome = perform_on_clips(
                catalogue,
                dataset,
                "masks",
                left=clips_without(recipe),
                work=lambda catalogue, **options: make_motion_masks(catalogue, recipe, **options),
                workers=workers,
                done="made",
                then="export --masks motion",
            )
        elif remove is not None:
            outcome = Outcome(command="masks", counts={"removed": remove_masks(catalogue, remove)})
        else:
            outcome = _listed(catalogue)
    finish(dataset, outcome)


def take_in(catalogue: Catalogue, dataset: Dataset, folder: Path, classes: Path | None) -> Outcome:
    """Take in a folder's label maps."""
    names, faults = (None, []) if classes is None else read_classes(classes)
    if names is not None and not names:
        raise UsageFault(f"{classes} names no class; a line is a value and a name, such as: 3 water")
    with progress("masks", sum(1 for _ in folder.glob("*.png")), "files") as bar:
        result = import_masks(catalogue, folder, classes=names, done=lambda _file: bar.advance())
    remarks = []
    others = [name for name in result.left_alone if classes is None or (folder / name).resolve() != classes.resolve()]
    if others:
        remarks.append(f"no PNG, left alone: {choose(others)}")
    failures = [Failure(item=f"{classes}", source=f"row {row}", error=message) for row, message in faults]
    failures += [Failure(item=file, source=str(folder), error=message) for file, message in result.failed]
    return Outcome(
        command="masks",
        counts={"stored": result.stored, "unchanged": result.unchanged, "failed": len(failures)},
        failures=failures,
        remarks=remarks,
        next=next_command(dataset, "export --masks given"),
    )


def read_classes(path: Path) -> tuple[dict[int, str], list[tuple[int, str]]]:
    """A file of classes: value -> name, and (row, what is wrong) of its malformed rows. `#` begins a comment."""
    names: dict[int, str] = {}
    faults = []
    for row, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        parts = re.fullmatch(r"([0-9]{1,3})[\s,]+(.+)", text)
        if not parts or int(parts[1]) > 255:
            faults.append((row, "a row is a value from 0 to 255 and a name, such as: 3 water"))
        elif int(parts[1]) in names:
            faults.append((row, f"value {int(parts[1])} has a name already: {names[int(parts[1])]}"))
        else:
            names[int(parts[1])] = parts[2]
    return names, faults


def _listed(catalogue: Catalogue) -> Outcome:
    with catalogue.reading() as session:
        rows = count_masks(session)
    return Outcome(
        command="masks",
        counts={origin: masks for origin, masks, _ in rows},
        remarks=[f"{origin}: {masks:,} masks of {videos:,} videos" for origin, masks, videos in rows] or ["none yet"],
    )
