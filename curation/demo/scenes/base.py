"""What every demo scene is: a fixed camera, a seed, and a picture for any time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.demo.fields import F32, U8, f32, u8


class Scene(ABC):
    """A landscape; `render(t)` depends on nothing but the class, the size, the seed and t.

    `moving` is (H, W) bool: outside it nothing but film grain changes.
    """

    kind: ClassVar[str]
    moving: NDArray[np.bool_]

    def __init__(self, size: tuple[int, int], seed: int) -> None:
        """`size`: width and height in pixels, both even."""
        self.width, self.height = size
        if min(size) < 48 or self.width % 2 or self.height % 2:
            raise ValueError(
                f"a demo scene needs an even size of at least 48x48 pixels, not {self.width}x{self.height}"
            )
        self.rng = np.random.default_rng([seed, *self.kind.encode()])
        self.unit = self.height / 360  # pixels are given for a height of 360
        self.moving = np.zeros((self.height, self.width), bool)
        grain = np.random.default_rng([seed, 7]).standard_normal((self.height + 64, self.width + 64, 1))
        levels = np.repeat(np.clip(np.round(grain * 1.1), -4, 4), 3, axis=2)
        self._brighter, self._darker = np.maximum(levels, 0).astype(np.uint8), np.maximum(-levels, 0).astype(np.uint8)
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Paint what stands still and prepare what moves."""

    @abstractmethod
    def paint(self, t: float) -> U8:
        """The picture at t seconds without grain: (H, W, 3) RGB."""

    def render(self, t: float) -> U8:
        """The picture at t seconds: (H, W, 3) uint8 RGB."""
        picture = self.paint(t)
        shift = (round(t * 1000) * 2654435761) & 0xFFFFFFFF
        dy, dx = shift % 64, (shift >> 8) % 64
        window = (slice(dy, dy + self.height), slice(dx, dx + self.width))
        return u8(cv2.subtract(cv2.add(picture, self._brighter[window]), self._darker[window]))


def flood(shape: tuple[int, ...], tint: NDArray[np.floating[Any]]) -> F32:
    """A (rows, columns, 3) picture of one colour."""
    return np.ascontiguousarray(np.broadcast_to(tint.astype(np.float32), (*shape[:2], 3)))


def over(bottom: F32, top: F32, alpha: F32) -> F32:
    """`top` (H, W, 3) laid over `bottom` (H, W, 3) with the opacity `alpha` (H, W)."""
    return f32(cv2.blendLinear(bottom, top, 1.0 - alpha, alpha))


def uncover(moved: U8, clear: F32, still: U8) -> U8:
    """`moved` (rows, W, 3) where `clear` (rows, W, 3) is 1, under the still picture `still`, premultiplied."""
    return u8(cv2.add(cv2.multiply(moved, clear, dtype=cv2.CV_8U), still))


def layer(colours: U8, mask: U8) -> U8:
    """Premultiplied colours (H, W, 3) and coverage (H, W) as one picture whose fourth channel is transparency."""
    return u8(cv2.merge([*cv2.split(colours), 255 - mask]))


def lay(strip: U8, packed: U8, x: F32, y: F32, sheen: F32 | None = None) -> None:
    """A `layer` sampled at pixels (x, y) laid over `strip` (h, w, 3), in place; `sheen` (h, w, 3) lights it."""
    red, green, blue, clear = cv2.split(cv2.remap(packed, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    colours = cv2.merge([red, green, blue])
    if sheen is not None:
        colours = cv2.multiply(colours, sheen, dtype=cv2.CV_8U)
    strip[...] = cv2.add(cv2.multiply(strip, cv2.merge([clear] * 3), scale=1 / 255), colours)
