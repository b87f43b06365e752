"""`modeling animate`: still images set in motion."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from modeling.animate import Animation, AnimationOptions
from modeling.animate import animate as animate_images
from modeling.commands.common import checkpoint_option, device_option, json_option, report, run_option, say
from modeling.images import Fit
from modeling.inference import choose_device, load_trained
from modeling.video import FORMATS


@click.command()
@run_option
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where the videos go.")
@click.option("--frames", type=click.IntRange(min=2), default=25, show_default=True, help="Length, the image counted.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="mp4", show_default=True)
@click.option("--fps", type=click.FloatRange(min=1, max=240), default=25.0, show_default=True)
@click.option(
    "--fit",
    type=click.Choice(get_args(Fit)),
    default="crop",
    show_default=True,
    help="How an image that is not square keeps its aspect: its largest centred square, or all of it.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the noise.")
@checkpoint_option
@device_option
@json_option
def animate(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    frames: int,
    form: str,
    fps: float,
    fit: Fit,
    seed: int,
    checkpoint: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Set images in motion with a trained run: a video each, named after its image."""
    trained = load_trained(run, choose_device(device), checkpoint)
    remarks = []
    if trained.deterministic:
        remarks.append("this model is deterministic: one image has one future, and --seed changes nothing")
    if frames > trained.config.frames:
        remarks.append(f"{frames} frames are more than the {trained.config.frames} that it was trained on")
    for remark in remarks:
        say(remark)
    options = AnimationOptions(frames=frames, fps=fps, form=next(f for f in FORMATS if f == form), fit=fit, seed=seed)

    def tell(animation: Animation) -> None:
        if animation.video is None:
            say(f"failed: {animation.error}")
        elif not as_json:
            click.echo(
                f"{animation.image} -> {animation.video} ({animation.width}x{animation.height}, {frames} frames)"
            )

    results = animate_images(trained, images, out, options, tell)
    failed = [result for result in results if result.error is not None]
    content = {
        "run": str(run),
        "weights": str(trained.source),
        "step": trained.step,
        "frames": frames,
        "fps": fps,
        "deterministic": trained.deterministic,
        "videos": [
            {"image": str(r.image), "video": str(r.video), "width": r.width, "height": r.height}
            for r in results
            if r.video is not None
        ],
        "failures": [{"image": str(r.image), "error": r.error} for r in failed],
        "remarks": remarks,
    }
    made = len(results) - len(failed)
    lines = [f"animated {made} of {len(results)} images with {trained.source}, step {trained.step}"]
    report(as_json, content, lines, next_command=f"modeling animate --run {run} --frames 50 --out {out} IMAGE...")
    if failed:
        raise SystemExit(1)
