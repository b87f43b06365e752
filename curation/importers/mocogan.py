"""MoCoGAN's image strips (Tulyakov, Liu, Yang, Kautz 2017: arXiv 1707.04993): `<set>/<class>/00000002.jpg`.

One image a video: square frames side by side (actions, shapes), or one below the other.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.errors import ErrorClass, StageError
from curation.importers.images import read_rgb
from curation.importers.layout import IMAGES, Collection, Content, Made, Refused, files, folders, refuse_layout
from curation.providers.found import Found

PROVIDER = "mocogan"
TERMS = "CC BY-NC-ND 4.0 (the repository's); actions: frames of the Weizmann action data set"


def read_mocogan(path: Path, *, fps: Fraction = Fraction(25)) -> Collection:
    """The strips of one set (`data/actions`, `data/shapes`): folders of classes. Raises `LayoutError`."""
    root = path.resolve()
    strips = [(folder.name, strip) for folder in folders(root) for strip in files(folder, IMAGES)]
    if not strips:
        raise refuse_layout(path, "folders of classes with image strips in them (data/actions/0/00000002.jpg)")
    return Collection(items=_items(root.name, strips, fps), total=len(strips))


def _items(set_name: str, strips: Sequence[tuple[str, Path]], fps: Fraction) -> Iterator[Made | Refused]:
    for label, strip in strips:
        found = Found(
            provider=PROVIDER,
            provider_id=f"{set_name}-{label}-{strip.stem}",
            source=str(strip),
            label=label,
            title=strip.stem,
            licence=TERMS,
        )
        yield Made(found=found, fps=fps, read=functools.partial(_read, strip))


def _read(strip: Path) -> Content:
    return Content(frames=split_strip(read_rgb(strip)))


def split_strip(strip: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The square frames of a strip, from the left or from the top.

    Raises `StageError` (unsupported) if it is not a whole number of at least two squares.
    """
    height, width = strip.shape[:2]
    side = min(height, width)
    count, rest = divmod(max(height, width), side)
    if rest or count < 2:
        raise StageError(
            ErrorClass.UNSUPPORTED, f"{width}x{height} is no strip: not a whole number of at least two square frames"
        )
    axis = 1 if width > height else 0
    return [np.ascontiguousarray(frame) for frame in np.split(strip, count, axis)]
