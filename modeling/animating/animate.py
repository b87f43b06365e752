"""Still images set in motion: each image to a video of its own aspect, or to several futures.

Shapes: T frames, t frames of a piece, H and W height and width, R the generator's side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modeling.animating.tiles import picture_size, stream_tiles
from modeling.errors import ModelingError, UsageError
from modeling.files import disk_error
from modeling.inference import Precision, Trained, stream_clip
from modeling.media.contact_sheet import Cell, ContactSheet, chosen_frames, thumbnail
from modeling.media.images import Fit, fit_square, nearest, read_image, resized
from modeling.media.mask_files import Labels, check_mask_option, mask_of, read_labels
from modeling.media.spool import Spool
from modeling.media.video import VideoFormat, output_path, write_video

Pieces = Iterator[NDArray[np.uint8]]  # (t, H, W, 3)
Loop = Literal["none", "ping-pong"]

SAME_FUTURE = 0.5  # mean difference of two futures' last frames, of 255, below which nobody tells them apart


@dataclass(frozen=True, kw_only=True)
class AnimationOptions:
    """How images are animated. `frames` counts frame 0, the image itself."""

    frames: int = 25
    fps: float = 25.0
    form: VideoFormat = "mp4"
    fit: Fit = "crop"
    height: int | None = None  #    of the video, for tiles; None: the picture's short side is the generator's
    seed: int = 0  #                of the first future; the next ones have the next seeds
    futures: int = 1
    loop: Loop = "none"  #          ping-pong: forwards, then backwards, to be played over and over
    masks: Path | None = None  #    a mask for all images, or a folder with one for each
    contact_sheet: bool = False
    precision: Precision = "fp32"


@dataclass(frozen=True, kw_only=True)
class Animation:
    """What became of one future of an image: its video, or the error that stopped it."""

    image: Path
    video: Path | None
    seed: int | None = None
    frames: int = 0
    width: int = 0
    height: int = 0
    error: str | None = None
    remark: str | None = None


def name_outputs(
    images: Iterable[Path], folder: Path, form: VideoFormat, futures: int = 1
) -> list[tuple[Path, list[Path]]]:
    """Each image with the videos of its futures, named after it; where two share a name, later ones get -2, -3, ..."""
    taken: set[str] = set()
    named = []
    for image in images:
        stem, number = image.stem, 1
        while any(name.casefold() in taken for name in _stems(stem, futures)):
            number += 1
            stem = f"{image.stem}-{number}"
        taken.update(name.casefold() for name in _stems(stem, futures))
        named.append((image, [output_path(folder, name, form) for name in _stems(stem, futures)]))
    return named


def _stems(stem: str, futures: int) -> list[str]:
    return [stem] if futures == 1 else [f"{stem}-future-{number}" for number in range(1, futures + 1)]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An image at the size in which it is animated, and how to animate it: `clip(seed)` gives its frames."""

    clip: Callable[[int | None], Pieces]
    height: int
    width: int
    remark: str | None = None


def prepare(trained: Trained, image: Path, options: AnimationOptions) -> Prepared:
    """Read `image` and its mask, and fit them to the generator. ModelingError where one cannot be used."""
    pixels = read_image(image)
    height, width = pixels.shape[:2]
    labels: Labels | None = None
    if options.masks is not None:
        labels = read_labels(mask_of(image, options.masks), height, width, trained.mask_classes)
    side, generator = trained.config.resolution, trained.generator
    if options.fit == "tiles":
        height, width = picture_size(height, width, side, options.height)
        picture = resized(pixels, height, width)
        small = None if labels is None else nearest(labels, height, width)

        def whole(seed: int | None) -> Pieces:
            return stream_tiles(
                generator, picture, frames=options.frames, seed=seed, labels_HW=small, precision=options.precision
            )

        wanted = options.height
        low = wanted is not None and height < wanted - 1
        remark = f"{image} is smaller than --height {wanted}: animated at {height} px, not enlarged" if low else None
        return Prepared(clip=whole, height=height, width=width, remark=remark)
    fitted = fit_square(pixels, side, options.fit)
    mask = None if labels is None else fit_square(labels, side, options.fit, nearest).square
    top, left, height, width = fitted.box
    still = trained.context_frames - 1  # of several context frames, all the same still, one is shown
    context = np.repeat(fitted.square[None], trained.context_frames, axis=0)

    def square(seed: int | None) -> Pieces:
        frames = options.frames + still
        pieces = stream_clip(generator, context, frames=frames, seed=seed, labels_HW=mask, precision=options.precision)
        yield next(pieces)[still:, top : top + height, left : left + width]
        for piece in pieces:
            yield piece[:, top : top + height, left : left + width]

    return Prepared(clip=square, height=height, width=width)


def animate(
    trained: Trained,
    images: Iterable[Path],
    folder: Path,
    options: AnimationOptions,
    done: Callable[[Animation], None] = lambda animation: None,
) -> tuple[list[Animation], list[Path]]:
    """Animate each image into `folder`: what became of each future of each image, and the contact sheets.

    An image that cannot be used does not stop the others; `done` is told of each. A deterministic model makes one
    future. UsageError where the model animates no images, or needs a mask and has none.
    """
    if trained.context_frames == 0:
        raise UsageError(
            f"{trained.source} is of an unconditional model (generator.context_frames=0): it takes no image"
        )
    if options.height is not None:
        check_height(options, trained.config.resolution)
    check_mask_option(options.masks, trained.mask_classes)
    futures = 1 if trained.deterministic else options.futures
    named = name_outputs(images, folder, options.form, futures)
    inputs = {image.resolve() for image, _ in named}
    sheet = ContactSheet(folder, chosen_frames(options.frames)) if options.contact_sheet else None
    results: list[Animation] = []

    def tell(animation: Animation) -> None:
        results.append(animation)
        done(animation)

    for image, videos in named:
        try:
            for video in videos:
                if video.resolve() in inputs:
                    raise ModelingError(
                        f"{video} is an image to animate and would be overwritten: choose another --out"
                    )
            prepared = prepare(trained, image, options)
        except ModelingError as error:
            tell(Animation(image=image, video=None, error=str(error)))
            continue
        first: NDArray[np.uint8] | None = None
        for number, video in enumerate(videos):
            seed = None if trained.deterministic else options.seed + number
            shown = Shown(sheet.frames if sheet else [], last=options.frames - 1)
            try:
                written = _write(video, shown.watch(prepared.clip(seed)), options)
                if sheet:
                    sheet.add(image.name if futures == 1 else f"{image.name}, future {number + 1}", shown.cells)
            except ModelingError as error:
                tell(Animation(image=image, video=None, seed=seed, error=str(error)))
                continue
            remark = prepared.remark if number == 0 else None
            if first is None:
                first = shown.final
            elif (difference := np.abs(shown.final.astype(int) - first).mean()) < SAME_FUTURE:
                remark = (
                    f"{video.name} hardly differs from the first future ({difference:.2f} of 255 in the last frame): "
                    "this model's noise is weak"
                )
            tell(
                Animation(
                    image=image,
                    video=video,
                    seed=seed,
                    frames=written,
                    width=prepared.width,
                    height=prepared.height,
                    remark=remark,
                )
            )
    if sheet:
        sheet.close()
    return results, sheet.pages if sheet else []


def check_height(options: AnimationOptions, resolution: int) -> None:
    """UsageError where a height is given that means nothing or is less than a tile's."""
    if options.fit != "tiles":
        raise UsageError(
            f"--height is for --fit tiles: with --fit {options.fit} a video is at most {resolution} px high"
        )
    if options.height is not None and options.height < resolution:
        raise UsageError(f"--height {options.height}: this model's tiles are {resolution} px high; give that or more")


class Shown:
    """Keeps some frames of a clip that passes by, as cells of a contact sheet, and the last one whole."""

    def __init__(self, frames: list[int], last: int) -> None:
        self.frames, self.last = set(frames), last
        self.cells: list[Cell] = []
        self.final: NDArray[np.uint8] = np.zeros((0, 0, 3), np.uint8)

    def watch(self, pieces: Pieces) -> Pieces:
        """The same pieces."""
        index = 0
        for piece in pieces:
            for frame in piece:
                if index in self.frames:
                    self.cells.append(thumbnail(frame))
                if index == self.last:
                    self.final = frame.copy()
                index += 1
            yield piece


def _write(video: Path, pieces: Pieces, options: AnimationOptions) -> int:
    """Write the clip as the options ask; how many frames it has then."""
    if options.loop == "none":
        return write_video(video, pieces, fps=options.fps, form=options.form)
    try:
        video.parent.mkdir(parents=True, exist_ok=True)
        with Spool(video.parent) as spool:
            return write_video(video, ping_pong(pieces, spool), fps=options.fps, form=options.form)
    except OSError as error:
        raise disk_error(video, error) from error


def ping_pong(pieces: Pieces, spool: Spool) -> Pieces:
    """The clip, then the same backwards without its ends: 0 1 2 3 2 1, which repeats without a frame shown twice."""
    for piece in pieces:
        for frame in piece:
            spool.append(frame)
        yield piece
    for index in range(len(spool) - 2, 0, -1):
        yield spool[index][None]
