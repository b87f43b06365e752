"""Masks of still images, from files: what moves (section 4.5), as labels that a generator takes.

A pixel's label is its class: 0 stands still, 1 to M are the generator's classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modeling.errors import UsageError
from modeling.media.images import ImageError, nearest, read_stored

Labels = NDArray[np.uint8]  # (H, W)


def mask_of(image: Path, masks: Path) -> Path:
    """The mask of `image`: `masks` itself where it is a file, or the PNG in it that has the image's name.

    ImageError where the folder has none.
    """
    if not masks.is_dir():
        return masks
    file = masks / f"{image.stem}.png"
    if not file.is_file():
        raise ImageError(f"{image} has no mask: there is no {file}")
    return file


def read_labels(path: Path, height: int, width: int, classes: int) -> Labels:
    """The mask in `path`, of an image of (height, width), as (height, width) labels of 0 to `classes`.

    For one class (what moves) a pixel of half the mask's largest value or more moves, so that 0 and 1 as well as 0 and
    255 will do. For more, a pixel's value is its label. Masks of another size are scaled to the image's by nearest
    neighbour, where they have its aspect. ImageError for what is no mask of this image.
    """
    labels = read_stored(path)
    if labels.ndim == 3 and (labels == labels[..., :1]).all():
        labels = labels[..., 0]
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise ImageError(f"{path} is no mask: it must be grey with 8 bits, a pixel's value being its label")
    if abs(labels.shape[1] * height - labels.shape[0] * width) > max(height, width, *labels.shape):
        raise ImageError(
            f"{path} is {labels.shape[1]}x{labels.shape[0]}, which is not the aspect of its image ({width}x{height})"
        )
    if classes == 1:
        half = max(1, (int(labels.max()) + 1) // 2)
        labels = (labels >= half).astype(np.uint8)
    elif labels.max() > classes:
        raise ImageError(f"{path} has label {labels.max()}: this model takes 0 (still) to {classes}")
    return nearest(labels, height, width)


def check_mask_option(masks: Path | None, classes: int) -> None:
    """UsageError where a mask is given that the model does not take, or none where it needs one."""
    if masks is not None and classes == 0:
        raise UsageError("--mask: this model was trained without masks (generator.mask_classes=0): leave --mask out")
    if masks is None and classes > 0:
        what = "what moves" if classes == 1 else f"labels 0 (still) to {classes}"
        raise UsageError(
            f"this model needs a mask of each image ({what}): give --mask FILE, or a folder of PNGs named as the images"
        )
    if masks is not None and not masks.exists():
        raise UsageError(f"--mask: there is no {masks}")
