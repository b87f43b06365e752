"""Frozen pictures: the longest stretch in which nothing moves but the noise of coding.

Each frame is compared with the first of its stretch, so that a slow drift ends it too. Both are smoothed: an encoder
goes on refining the detail of a picture that stands still. Motion is large somewhere: so the largest difference of a
block counts, leaving out the few blocks that a clock or a running line may occupy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Frame, Scorer

INTERVAL = 0.2
SMOOTH = (9, 9)  # pixels of the luma that are averaged
BLOCKS = (9, 16)  # rows, columns
LEFT_OUT = 3  # blocks that may change
CHANGE = 1.5  # levels of mean absolute difference, in a block, that are motion
THRESHOLDS = {"frozen": 0.1}


class Frozen(Scorer):
    """`frozen`: the longest stretch without change, as a share of the clip's time; 1 for a single frame."""

    names = ("frozen",)
    settings: ClassVar[Mapping[str, Any]] = {
        "interval": INTERVAL,
        "smooth": SMOOTH,
        "blocks": BLOCKS,
        "left_out": LEFT_OUT,
        "change": CHANGE,
    }
    interval = INTERVAL

    def __init__(self) -> None:
        self._anchor: NDArray[np.uint8] | None = None
        self._since = 0.0
        self._last = 0.0
        self._longest = 0.0

    def push(self, frame: Frame) -> None:
        """Go on with the stretch, or begin another."""
        picture = np.asarray(cv2.blur(frame.luma, SMOOTH), np.uint8)
        if self._anchor is None or change(self._anchor, picture) > CHANGE:
            self._anchor = picture
            self._since = frame.time
        self._last = frame.time
        self._longest = max(self._longest, frame.time - self._since)

    def values(self) -> dict[str, float]:
        """Times of frames looked at, from first to last."""
        return {"frozen": self._longest / self._last if self._last else 1.0}


def change(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference, in levels, of the block that differs most but for `LEFT_OUT` others."""
    blocks = cv2.resize(cv2.absdiff(one, other).astype(np.float32), BLOCKS[::-1], interpolation=cv2.INTER_AREA)
    return float(np.sort(blocks, axis=None)[-1 - LEFT_OUT])
