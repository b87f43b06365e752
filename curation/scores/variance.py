"""Temporal variance (thesis, Eq. 3.18 and 3.19), exact and streaming: memory does not grow with the clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Scorer
from curation.scores.frame import Frame

# A float32 sum of uint8 values stays exact up to 2**24.
EXACT_FRAMES = 2**24 // 255


class Variance(Scorer):
    """Mean over pixels and RGB channels of the per-pixel temporal variance, of values in [0, 1].

    Eq. 3.19 is sum(x^2)/T - mean^2 a pixel. Averaged over the P pixel values, the sum of squares needs one number for
    the whole clip; only the per-pixel sum S, (H, W, 3), is an array:

        variance = (sum x^2 / T - sum_p S_p^2 / T^2) / P / 255^2

    Both sums are of integers and exact, so the result agrees with a two-pass float64 computation to 1e-9.
    """

    names = ("variance",)
    settings: ClassVar[Mapping[str, Any]] = {"equation": "3.19", "colour": "RGB", "range": [0, 1], "size": "source"}

    def __init__(self) -> None:
        self._sum: NDArray[np.float32] | None = None
        self._done: NDArray[np.float64] | None = None
        self._squares = 0.0
        self._frames = 0

    def push(self, frame: Frame) -> None:
        """Add a frame. Raises ValueError if its size differs from the first one's."""
        picture = frame.rgb
        if self._sum is None:
            self._sum = np.zeros(picture.shape, np.float32)
        elif self._sum.shape != picture.shape:
            raise ValueError(
                f"the frame size changes from {self._sum.shape[:2]} to {picture.shape[:2]} within the clip"
            )
        cv2.accumulate(picture, self._sum)
        self._squares += cv2.norm(picture, cv2.NORM_L2SQR)
        self._frames += 1
        if self._frames % EXACT_FRAMES == 0:
            self._done = self._total()
            self._sum[:] = 0

    def values(self) -> dict[str, float]:
        """{"variance": value}. Raises ValueError without frames."""
        if self._sum is None:
            raise ValueError("no frames")
        total = self._total()
        mean_square = float(np.vdot(total, total)) / self._frames**2
        variance = (self._squares / self._frames - mean_square) / total.size / 255**2
        # A still clip's true zero can come out as a rounding error below it.
        return {"variance": max(variance, 0.0)}

    def _total(self) -> NDArray[np.float64]:
        assert self._sum is not None
        total = self._sum.astype(np.float64)
        return total if self._done is None else total + self._done
