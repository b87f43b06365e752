"""`modeling evaluate`: held-out clips against what a run, or any model's videos, make of their first frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click
from rich.console import Console
from rich.progress import Progress

from db.shards import ShardReader, read_manifest
from modeling.commands.common import checkpoint_option, device_option, json_option, report, say
from modeling.data.conditions import open_for, remarks_on
from modeling.data.windows import ClipSet, DataError, open_clips
from modeling.errors import UsageError
from modeling.evaluation.names import METRICS, parse
from modeling.evaluation.picture import draw
from modeling.evaluation.pipeline import LONGEST_CURVE, EvaluationRequest
from modeling.evaluation.pipeline import evaluate as evaluate_clips
from modeling.evaluation.protocol import Name, Reference
from modeling.evaluation.report import as_lines, as_markdown, motion_lines
from modeling.evaluation.sources import data_hash_of
from modeling.files import write_json, write_text
from modeling.inference import Trained, choose_device, load_trained

SAMPLE_FRAMES = 25  # of a clip where no run says it


@click.command()
@click.option("--run", type=click.Path(path_type=Path), metavar="DIR", help="The run folder, such as runs/name.")
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The folder of shards.")
@click.option("--split", type=click.Choice(["test", "val", "train"]), default="test", show_default=True)
@click.option(
    "--metrics",
    metavar="LIST",
    help=f"With commas, of {', '.join(METRICS)}.  [default: all whose weights are there]",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder of published weights.  [default: STILLFLOW_WEIGHTS]",
)
@click.option("--frames", type=click.IntRange(min=2), help="Frames of a clip, the input counted.  [default: the run's]")
@click.option(
    "--curve-frames",
    type=click.IntRange(min=2, max=LONGEST_CURVE),
    metavar="N",
    help="Generate so many for the curves over frames, beyond where the real clips end.  [default: --frames]",
)
@click.option("--futures", type=click.IntRange(min=1), default=1, show_default=True, metavar="K", help="Of each image.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Score any model's videos: MP4s named as the clips' ids, input frames counted.",
)
@click.option(
    "--given",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Input frames at the head of --samples, where no --run says it.",
)
@click.option(
    "--reference",
    type=click.Choice(["pooled", "same-step"]),
    default="pooled",
    show_default=True,
    help="What the distance of each frame is to: real frames of all steps, or of the same one.",
)
@click.option(
    "--protocol",
    type=click.Choice(["standard", "as-published"]),
    default="standard",
    show_default=True,
    help="as-published counts frame 0 and stretches each frame to its own minimum and maximum, as the thesis did.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="CLIPS", help="Only the first so many clips.")
@click.option("--motion", is_flag=True, help="Also say whether samples move where the real clips move.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of noise, blends, intervals.")
@click.option(
    "--draws", type=click.IntRange(min=0), default=200, show_default=True, help="Of the bootstrap; 0: no intervals."
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="For the report.  [default: RUN/evaluation]"
)
@checkpoint_option
@device_option
@json_option
def evaluate(
    run: Path | None,
    data: Path,
    split: str,
    metrics: str | None,
    weights: Path | None,
    frames: int | None,
    curve_frames: int | None,
    futures: int,
    samples: Path | None,
    given: int,
    reference: str,
    protocol: str,
    limit: int | None,
    motion: bool,
    seed: int,
    draws: int,
    out: Path | None,
    checkpoint: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Score a run's clips, or --samples, against the real ones: against their true future and as a set.

    Beside the model stand the copied input frame, blends of training clips, and the real clips against themselves.
    What is taken of the clips is kept, so that a second call is quick and says the same.
    """
    if run is None and samples is None:
        raise UsageError("give --run (a run folder), --samples (a folder of videos), or both")
    asked = None if metrics is None else parse(metrics)
    where = choose_device(device)
    trained = None if run is None else load_trained(run, where, checkpoint)
    frames = frames or (SAMPLE_FRAMES if trained is None else trained.config.frames)
    clips = _clips(trained, data, split, frames)
    for remark in remarks_on(clips, frames):
        say(remark)
    home = run if run is not None else samples
    assert home is not None
    target = _target(out or home / "evaluation", clips, trained, protocol, samples)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("evaluating", total=None)
        scores = evaluate_clips(
            EvaluationRequest(
                clips=clips,
                frames=frames,
                trained=trained,
                samples=samples,
                given=given,
                metrics=asked,
                weights=weights,
                futures=futures,
                curve_frames=curve_frames,
                seed=seed,
                motion=motion,
                limit=limit,
                reference=cast(Reference, reference),
                protocol=cast(Name, protocol),
                draws=draws,
                device=where,
                keep=target.parent / "features",
            ),
            say=say,
            done=lambda done, total: progress.update(task, completed=done, total=total),
        )
    write_json(target, scores)
    picture = target.with_suffix(".png")
    drawn = draw(scores, picture)
    write_text(target.with_suffix(".md"), as_markdown(scores, home.name, picture.name if drawn else None))
    facts = scores["protocol"]
    step = "" if facts["step"] is None else f", step {facts['step']}"
    lines = [f"{facts['n']} clips of split {split}, {facts['scored_frames']} frames each{step}:"]
    lines += [*as_lines(scores), *motion_lines(scores)]
    beside = f"{target.with_suffix('.md').name}" + (f" and {picture.name}" if drawn else "")
    lines.append(f"written: {target}, {beside}")
    follows = f"modeling animate --run {run} --out animated IMAGE..." if run is not None else None
    report(as_json, {**scores, "report": str(target)}, lines, next_command=follows)


def _clips(trained: Trained | None, data: Path, split: str, frames: int) -> ClipSet:
    """The split's clips that are long enough, with what the model is given."""
    if trained is not None:
        return open_for(trained.config, data, split, frames=frames)
    if not data.is_dir():
        raise DataError(f"{data} is no folder; --data takes the folder of shards that curate export made")
    files = {entry.file for entry in read_manifest(data).shards if entry.split == split}
    if not files:
        raise DataError(f"split {split} of {data} is empty: export clips (`curate split`, `curate export`)")
    sizes: dict[tuple[int, int], str] = {}
    for file in sorted(files):
        with ShardReader(data / file) as reader:
            sizes.setdefault((reader.width, reader.height), file)
    if len(sizes) > 1:
        named = " and ".join(f"{width}x{height} ({file})" for (width, height), file in sizes.items())
        raise DataError(f"split {split} of {data} mixes frames of {named}: export one size (`curate export --size`)")
    return open_clips(data, split, resolution=next(iter(sizes))[1], frames=frames)


def _target(folder: Path, clips: ClipSet, trained: Trained | None, protocol: str, samples: Path | None) -> Path:
    """The report's JSON; one under another protocol, or of other data, does not take its place.

    UsageError where that of other samples would.
    """
    name = clips.split if trained is None else f"{clips.split}-step-{trained.step:08d}"
    target = folder / f"{name}{'' if protocol == 'standard' else '-' + protocol}.json"
    facts = _facts_of(target)
    data_hash = data_hash_of(clips.readers[0].path.parent, clips.split) if clips.readers else None
    others = (facts.get("data_hash", data_hash), facts.get("data_recipe_hash", clips.recipe_hash))
    if data_hash is not None and others != (data_hash, clips.recipe_hash):
        target = target.with_stem(f"{target.stem}-data-{data_hash}")
        say(f"{folder} has a report of other data; this one is {target.name}")
        facts = _facts_of(target)
    scored = facts.get("samples")
    known = samples is not None and (not isinstance(scored, str) or Path(scored).resolve() == samples.resolve())
    if trained is None and not known:
        raise UsageError(f"{target} is of other samples, {scored}: name another --out, or remove it")
    return target


def _facts_of(file: Path) -> dict[str, Any]:
    """The protocol of the report that is there; empty where there is none that can be read."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))["protocol"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return facts if isinstance(facts, dict) else {}
