"""`modeling evaluate`: held-out clips against what a run makes of their first frame."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from modeling.commands.common import checkpoint_option, device_option, json_option, report, run_option, say
from modeling.data.conditions import open_for, remarks_on
from modeling.evaluate import as_markdown, shown
from modeling.evaluate import evaluate as evaluate_clips
from modeling.files import write_json, write_text
from modeling.inference import choose_device, load_trained


@click.command()
@run_option
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The folder of shards.")
@click.option("--split", type=click.Choice(["test", "val", "train"]), default="test", show_default=True)
@click.option("--frames", type=click.IntRange(min=2), help="Frames of a clip, the input counted.  [default: the run's]")
@click.option("--limit", type=click.IntRange(min=1), metavar="CLIPS", help="Only the first so many clips.")
@click.option("--motion", is_flag=True, help="Also say whether samples move where the real clips move.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the noise.")
@checkpoint_option
@device_option
@json_option
def evaluate(
    run: Path,
    data: Path,
    split: str,
    frames: int | None,
    limit: int | None,
    motion: bool,
    seed: int,
    checkpoint: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Score a run's clips against their true future (PSNR, SSIM), beside the copied input frame."""
    trained = load_trained(run, choose_device(device), checkpoint)
    frames = frames or trained.config.frames
    clips = open_for(trained.config, data, split, frames=frames)
    for remark in remarks_on(clips, frames):
        say(remark)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("evaluating", total=None)
        scores = evaluate_clips(
            trained,
            clips,
            frames=frames,
            seed=seed,
            motion=motion,
            limit=limit,
            done=lambda done, total: progress.update(task, completed=done, total=total),
        )
    target = run / "evaluation" / f"{split}-step-{trained.step:08d}.json"
    write_json(target, scores)
    write_text(target.with_suffix(".md"), as_markdown(scores, run))
    protocol = scores["protocol"]
    lines = [f"{protocol['n']} clips of split {split}, {protocol['scored_frames']} frames each, step {trained.step}:"]
    for title, key in (("model", "model"), ("input frame copied", "copied_frame")):
        lines.append(f"  {title:20} PSNR {shown(scores[key]['psnr'], 2)} dB, SSIM {shown(scores[key]['ssim'], 4)}")
    if motion:
        named = {"trained": "model", "untrained": "before training", "copied_frame": "input frame copied"}
        lines.append("motion, correlation with the real clips':")
        for key, title in named.items():
            moving = scores["motion"][key]
            lines.append(f"  {title:20} r {shown(moving['r'], 3)}, mean of clips {shown(moving['r_mean_of_clips'], 3)}")
    lines.append(f"written: {target} and {target.with_suffix('.md').name}")
    content = {**scores, "report": str(target)}
    report(as_json, content, lines, next_command=f"modeling animate --run {run} --out animated IMAGE...")
