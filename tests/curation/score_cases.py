"""Pictures for the tests of scorers: textured land, things that move before it, and a clip's way through a scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import ArrayFrame, Scorer, measure

U8 = NDArray[np.uint8]
S = TypeVar("S", bound=Scorer)
HEIGHT, WIDTH = 180, 320


def land(height: int = HEIGHT, width: int = WIDTH, *, seed: int = 0, low: int = 60, high: int = 200) -> U8:
    """A still picture with detail of all sizes, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width))
    for cells in (4, 8, 16, 32, 64, 128, 256):
        coarse = rng.standard_normal((cells * height // width + 2, cells + 2)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.5
    scaled = (picture - picture.min()) / np.ptp(picture) * (high - low) + low
    return np.repeat(scaled[..., None], 3, 2).astype(np.uint8)


def foam(height: int, width: int, rng: np.random.Generator) -> U8:
    """A picture of water that shares nothing with the next one."""
    coarse = rng.integers(60, 200, (height // 4 + 1, width // 4 + 1), np.uint8)
    return np.repeat(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[..., None], 3, 2)


def through(scorer: S, pictures: Sequence[U8], fps: float = 5) -> S:
    """Push pictures at an even rate."""
    measure([ArrayFrame(picture, index / fps) for index, picture in enumerate(pictures)], [scorer])
    return scorer


def score_of(make: Callable[[], Scorer], pictures: Sequence[U8], fps: float = 5) -> float:
    """The only score of a scorer."""
    (value,) = through(make(), pictures, fps).values().values()
    return value
