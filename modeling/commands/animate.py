"""`modeling animate`: still images set in motion."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from modeling.animating.animate import Animation, AnimationOptions, Loop
from modeling.animating.animate import animate as animate_images
from modeling.commands.common import checkpoint_option, device_option, json_option, report, run_option, say
from modeling.inference import Precision, Trained, choose_device, load_trained
from modeling.media.contact_sheet import ContactSheet
from modeling.media.find_images import find_images
from modeling.media.images import Fit
from modeling.media.video import FORMATS, VideoFormat


@click.command()
@run_option
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE|FOLDER...")
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Where the videos go.")
@click.option("--frames", type=click.IntRange(min=2), default=25, show_default=True, help="Length, the image counted.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="mp4", show_default=True)
@click.option("--fps", type=click.FloatRange(min=1, max=240), default=25.0, show_default=True)
@click.option(
    "--fit",
    type=click.Choice(get_args(Fit)),
    default="crop",
    show_default=True,
    help="How an image that is not square keeps its aspect: its largest centred square; all of it, scaled down into "
    "the model's square; or all of it in overlapping squares, its short side at the model's size.",
)
@click.option(
    "--height",
    type=click.IntRange(min=1),
    metavar="PIXELS",
    help="Height of the video with --fit tiles. More than the model's size shows it details larger than it has learnt.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the noise.")
@click.option(
    "--futures",
    type=click.IntRange(min=1, max=1000),
    default=1,
    show_default=True,
    help="Videos an image: NAME-future-1 with --seed, the next ones with the next seeds.",
)
@click.option(
    "--loop",
    type=click.Choice(get_args(Loop)),
    default="none",
    show_default=True,
    help="ping-pong: forwards, then backwards, no frame twice in a row when it is played over and over.",
)
@click.option(
    "--mask",
    "masks",
    type=click.Path(path_type=Path),
    metavar="FILE|FOLDER",
    help="What moves in the images, for a model with masks: one for all, or a folder with NAME.png for each.",
)
@click.option("--contact-sheet", is_flag=True, help="Also write DIR/contact-sheet.png: a video a row, chosen frames.")
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    default="fp32",
    show_default=True,
    help="bf16: convolutions in bfloat16, faster where the processor has it; a frame changes by about a level of 255.",
)
@checkpoint_option
@device_option
@json_option
def animate(
    run: Path,
    images: tuple[Path, ...],
    out: Path,
    frames: int,
    form: VideoFormat,
    fps: float,
    fit: Fit,
    height: int | None,
    seed: int,
    futures: int,
    loop: Loop,
    masks: Path | None,
    contact_sheet: bool,
    precision: Precision,
    checkpoint: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Set images in motion with a trained run, or with a folder that `modeling export` wrote: a video each.

    Of a folder, the images in it are taken by name, not those of the folders in it; other files are counted. Videos
    are named after their images.
    """
    trained = load_trained(run, choose_device(device), checkpoint)
    found = find_images(images, leave_out=[ContactSheet.file(out, page) for page in range(1, 100)])
    remarks = [*found.remarks(), *_remarks(trained, frames, futures)]
    for remark in remarks:
        say(remark)
    options = AnimationOptions(
        frames=frames,
        fps=fps,
        form=form,
        fit=fit,
        height=height,
        seed=seed,
        futures=futures,
        loop=loop,
        masks=masks,
        contact_sheet=contact_sheet,
        precision=precision,
    )

    def tell(animation: Animation) -> None:
        if animation.video is None:
            say(f"failed: {animation.error}")
        elif not as_json:
            size = f"{animation.width}x{animation.height}, {animation.frames} frames"
            click.echo(f"{animation.image} -> {animation.video} ({size})")
        if animation.remark is not None:
            remarks.append(animation.remark)
            say(animation.remark)

    results, sheets = animate_images(trained, found.images, out, options, tell)
    failed = [result for result in results if result.error is not None]
    content = {
        "run": str(run),
        "weights": str(trained.source),
        "step": trained.step,
        "frames": frames,
        "fps": fps,
        "deterministic": trained.deterministic,
        "videos": [
            {
                "image": str(r.image),
                "video": str(r.video),
                "seed": r.seed,
                "frames": r.frames,
                "width": r.width,
                "height": r.height,
            }
            for r in results
            if r.video is not None
        ],
        "failures": [{"image": str(r.image), "error": r.error} for r in failed],
        "skipped": dict(found.skipped),
        "contact_sheets": [str(sheet) for sheet in sheets],
        "remarks": remarks,
    }
    images_done = len({result.image for result in results if result.error is None})
    made = len(results) - len(failed)
    what = f"{images_done} of {len(found.images)} images" + (f", {made} futures," if made > images_done else "")
    lines = [f"animated {what} with {trained.source}, step {trained.step}", *(f"contact sheet: {s}" for s in sheets)]
    report(as_json, content, lines, next_command=f"modeling animate --run {run} --frames 50 --out {out} IMAGE...")
    if failed:
        raise SystemExit(1)


def _remarks(trained: Trained, frames: int, futures: int) -> list[str]:
    """What this model makes of the options, that its user may not expect."""
    lines = []
    if trained.deterministic:
        one = "--futures makes one" if futures > 1 else "--seed changes nothing"
        lines.append(f"this model is deterministic: one image has one future, and {one}")
    if frames > trained.config.frames:
        lines.append(f"{frames} frames are more than the {trained.config.frames} that it was trained on")
    if trained.context_frames > 1:
        lines.append(
            f"this model goes on from {trained.context_frames} frames: a still stands for all, so it starts at rest"
        )
    return lines
