"""Still images of any size and kind to the square RGB input of a generator, and the way back to their aspect."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from modeling.errors import ModelingError

Image = NDArray[np.uint8]  # (H, W, 3), sRGB
Fit = Literal["crop", "pad", "tiles"]
Scale = Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]  # to (height, width)

ORIENTATION_TAG = 0x0112  # EXIF 2.32, 4.6.4 A


class ImageError(ModelingError):
    """A file that is no image, or one that cannot be used."""


def read_image(path: Path) -> Image:
    """The image in `path` as the viewer sees it: turned by its EXIF orientation, (H, W, 3) uint8 RGB.

    Grey becomes RGB, 16 bits become 8, transparent pixels are laid over white. ImageError where `path` is missing,
    no image, or cut short.
    """
    data = _content(path)
    try:
        with _quiet():
            # Turns by EXIF and drops alpha. Not IMREAD_COLOR_RGB: OpenCV 5.0 reads 16-bit TIFFs as noise with it.
            colour = cv2.imdecode(data, cv2.IMREAD_COLOR_BGR | cv2.IMREAD_ANYDEPTH)
            whole, kinds, metadata = cv2.imdecodeWithMetadata(data, flags=cv2.IMREAD_UNCHANGED)  # does neither
    except cv2.error:
        colour = None
    if colour is None:
        raise _no_image(path)
    rgb = _eight_bits(np.asarray(colour)[..., ::-1], path)
    if whole is not None and whole.ndim == 3 and whole.shape[2] == 4:
        alpha = _turned(_eight_bits(np.asarray(whole[..., 3]), path), _orientation(kinds, metadata))
        if alpha.shape == rgb.shape[:2] and alpha.min() < 255:
            opacity = alpha[..., None].astype(np.float32) / 255
            rgb = np.rint(rgb * opacity + 255 * (1 - opacity)).astype(np.uint8)
    return rgb


def read_stored(path: Path) -> NDArray[Any]:
    """The pixels in `path` as they are stored: (H, W) or (H, W, C) of their own type, BGR. ImageError as above."""
    try:
        with _quiet():
            pixels = cv2.imdecode(_content(path), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise _no_image(path)
    return np.asarray(pixels)


def _content(path: Path) -> NDArray[np.uint8]:
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror or error}") from None
    if data.size == 0:
        raise ImageError(f"{path} is empty")
    return data


def _no_image(path: Path) -> ImageError:
    return ImageError(f"{path} is not an image, or is damaged: give a JPEG, PNG, WebP, TIFF, BMP or GIF file")


def _eight_bits(image: NDArray[Any], path: Path) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return image
    if image.dtype == np.uint16:
        return np.rint(image / 257.0).astype(np.uint8)  # 65535 / 255
    raise ImageError(f"{path} has pixels of type {image.dtype}: save it with 8 or 16 bits a channel")


def _orientation(kinds: Any, metadata: Any) -> int:
    """The EXIF orientation (1 to 8) in what `imdecodeWithMetadata` gave beside the pixels; 1 where there is none."""
    for kind, block in zip(kinds, metadata, strict=False):
        if kind == cv2.IMAGE_METADATA_EXIF:
            exif = bytes(block).removeprefix(b"Exif\0\0")
            order = {b"II": "<", b"MM": ">"}.get(exif[:2])
            if order is None:
                return 1
            with contextlib.suppress(struct.error):  # a damaged block counts as none
                (first,) = struct.unpack_from(order + "I", exif, 4)
                (entries,) = struct.unpack_from(order + "H", exif, first)
                for entry in range(entries):
                    tag, _, _, value = struct.unpack_from(order + "HHIH", exif, first + 2 + 12 * entry)
                    if tag == ORIENTATION_TAG:
                        return int(value)
    return 1


def _turned(plane: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """`plane` (H, W) as its EXIF orientation shows it."""
    if orientation in (5, 6, 7, 8):
        plane = plane.T
    if orientation in (3, 4, 7, 8):
        plane = plane[::-1]
    if orientation in (2, 3, 6, 7):
        plane = plane[:, ::-1]
    return plane


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """OpenCV without its own words on stderr about damaged files: ours say it in one line."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(0)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """An image made square for the network, and the part of the square that holds the picture."""

    square: NDArray[np.uint8]  #         (R, R, 3), or (R, R) of a map
    box: tuple[int, int, int, int]  #    top, left, height, width in the square


def resized(image: Image, height: int, width: int) -> Image:
    """`image` at (height, width): averaged where it becomes smaller, cubic where it becomes larger."""
    smaller = height * width < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=method), np.uint8)


def nearest(labels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Labels (H, W) at (height, width): no label between two others comes up."""
    pixels = cv2.resize(np.ascontiguousarray(labels), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(pixels, np.uint8)


def fit_square(
    image: NDArray[np.uint8], resolution: int, fit: Literal["crop", "pad"], scale: Scale = resized
) -> Fitted:
    """`image` (H, W, 3), or a map (H, W) with its own `scale`, at `resolution` without a change of its aspect.

    `crop` takes the largest centred square. `pad` keeps the whole image and mirrors its edges into the rest of the
    square; the box, of even sides as video codecs need them, says where the image is, so that a result can be cut back.
    """
    height, width = image.shape[:2]
    if fit == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = scale(image[top : top + side, left : left + side], resolution, resolution)
        return Fitted(square=square, box=(0, 0, resolution, resolution))
    factor = resolution / max(height, width)
    inner_height, inner_width = (even(side * factor) for side in (height, width))
    top, left = (resolution - inner_height) // 2, (resolution - inner_width) // 2
    inner = scale(image, inner_height, inner_width)
    bottom, right = resolution - inner_height - top, resolution - inner_width - left
    mirrored = cv2.copyMakeBorder(inner, top, bottom, left, right, cv2.BORDER_REFLECT)
    return Fitted(square=np.asarray(mirrored, np.uint8), box=(top, left, inner_height, inner_width))


def even(side: float) -> int:
    """The even number of pixels, 2 or more, nearest to `side`: video codecs need even sides."""
    return max(2, 2 * round(side / 2))
