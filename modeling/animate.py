"""Still images set in motion: each image to a video file of its own aspect."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from modeling.errors import ModelingError
from modeling.images import Fit, fit_square, read_image
from modeling.inference import Trained, roll_out
from modeling.video import VideoFormat, output_path, write_video


@dataclass(frozen=True, kw_only=True)
class AnimationOptions:
    """How images are animated. `frames` counts frame 0, the image itself."""

    frames: int = 25
    fps: float = 25.0
    form: VideoFormat = "mp4"
    fit: Fit = "crop"
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Animation:
    """What became of one image: its video, or the error that stopped it."""

    image: Path
    video: Path | None
    width: int = 0
    height: int = 0
    error: str | None = None


def name_outputs(images: Iterable[Path], folder: Path, form: VideoFormat) -> list[tuple[Path, Path]]:
    """(image, video) pairs: a video is named after its image; where two share a name, the later ones get -2, -3, ..."""
    taken: set[str] = set()
    pairs = []
    for image in images:
        stem, number = image.stem, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{image.stem}-{number}"
        taken.add(stem.casefold())
        pairs.append((image, output_path(folder, stem, form)))
    return pairs


def animate(
    trained: Trained,
    images: Iterable[Path],
    folder: Path,
    options: AnimationOptions,
    done: Callable[[Animation], None] = lambda animation: None,
) -> list[Animation]:
    """Animate each image into `folder`. One that cannot be used does not stop the others; `done` is told of each."""
    results = []
    for image, video in name_outputs(images, folder, options.form):
        try:
            if video.resolve() == image.resolve():
                raise ModelingError(f"{image} would be overwritten by its own video: choose another --out or --format")
            fitted = fit_square(read_image(image), trained.config.resolution, options.fit)
            frames = roll_out(trained.generator, fitted.square[None], frames=options.frames, seed=options.seed)
            top, left, height, width = fitted.box
            write_video(video, frames[:, top : top + height, left : left + width], fps=options.fps, form=options.form)
            result = Animation(image=image, video=video, width=width, height=height)
        except ModelingError as error:
            result = Animation(image=image, video=None, error=str(error))
        results.append(result)
        done(result)
    return results
