"""Static overlays: logos and captions laid over a moving picture.

Their mark is fine, hard contrast that stays in one place: in the mean picture of two seconds whatever moves is blurred,
and drawn letters stand out of what is left. What also stays is land, so an overlay must be harder than the rest of the
picture by far, or harder than nature is; and it must be near the top or the bottom, where overlays are put.

A faint watermark, and words that show for less than four seconds, are not found; bare twigs before a bright sky, or
signs in a street, may be taken for one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Frame, Scorer
from curation.scores.letterbox import bars

INTERVAL = 0.4
SEGMENT = 5  # frames a mean picture
LEAST_FRAMES = 3  # of a last segment, to count
STEADY = 20.0  # levels of standard deviation in time, at most, of an overlay's pixels: it may be translucent
NEIGHBOURHOOD = (7, 7)  # pixels whose mean is the level that contrast is measured from
EDGE = 4  # rows or columns beside a bar that are left out with it
STROKES = (9, 5)  # width, height, over which contrast is averaged: wider, as words are
PROMINENCE = 2.5  # times the contrast of the picture's rest
REST = 95.0  # percentile of the contrast that stands for the rest
GRAIN = 4.0  # levels added to it: an empty picture's rest is none
SOFTEST, HARDEST = 36.0, 68.0  # levels of contrast: never an overlay below, always one above, but for
ABOVE_REST = 1.5  # times that of the rest, which it must have in any case
ZONE = 0.28  # of the height, from the top and from the bottom
THRESHOLDS = {"overlay": 0.0006}


class Overlay(Scorer):
    """`overlay`: share of the picture's area with the hard, steady contrast of letters, in [0, 1]."""

    names = ("overlay",)
    settings: ClassVar[Mapping[str, Any]] = {
        "interval": INTERVAL,
        "segment": SEGMENT,
        "least_frames": LEAST_FRAMES,
        "steady": STEADY,
        "neighbourhood": NEIGHBOURHOOD,
        "edge": EDGE,
        "strokes": STROKES,
        "prominence": PROMINENCE,
        "rest": REST,
        "grain": GRAIN,
        "contrast": [SOFTEST, HARDEST, ABOVE_REST],
        "zone": ZONE,
    }
    interval = INTERVAL

    def __init__(self) -> None:
        self._brightest: NDArray[np.uint8] | None = None
        self._sum = self._squares = np.zeros((0, 0), np.float32)
        self._frames = 0
        self._largest: list[float] = []  # the two largest areas of a segment
        self._segments = 0

    def push(self, frame: Frame) -> None:
        """Add to the segment's mean. A frame of another size than the first is left out."""
        picture = frame.medium
        if self._brightest is None:
            self._brightest = picture.copy()
        elif picture.shape != self._brightest.shape:
            return
        cv2.max(self._brightest, picture, dst=self._brightest)
        if self._frames == 0:
            self._sum, self._squares = np.zeros((2, *picture.shape), np.float32)
        cv2.accumulate(picture, self._sum)
        cv2.accumulateSquare(picture, self._squares)
        self._frames += 1
        if self._frames == SEGMENT:
            self._end_segment()

    def values(self) -> dict[str, float]:
        """The second largest area of a segment; of a clip with one, its area."""
        if self._frames >= LEAST_FRAMES or (self._frames and not self._segments):
            self._end_segment()
        return {"overlay": self._largest[-1] if self._largest else 0.0}

    def _end_segment(self) -> None:
        assert self._brightest is not None
        mean = self._sum / np.float32(self._frames)
        deviation = np.sqrt(np.maximum(self._squares / np.float32(self._frames) - mean * mean, 0))
        top, bottom, left, right = bars(self._brightest)
        height, width = mean.shape
        # The bar's own edge is hard and steady too.
        top, bottom, left, right = (bar and bar + EDGE for bar in (top, bottom, left, right))
        inner = np.s_[top : height - bottom, left : width - right]
        found = letters(mean[inner], deviation[inner]) if mean[inner].size else np.zeros(0, bool)
        area = float(found.sum()) / mean.size
        self._largest = sorted([*self._largest, area], reverse=True)[:2]
        self._segments += 1
        self._frames = 0


def letters(mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where an overlay is: (H, W), from the luma's mean and standard deviation in time."""
    fine = mean - cv2.blur(mean, NEIGHBOURHOOD)
    # OpenCV's running sums can end a hair below zero.
    contrast = np.sqrt(np.maximum(cv2.blur(fine * fine, STROKES), 0))
    contrast[deviation > STEADY] = 0
    rest = float(np.percentile(contrast, REST))
    least = max(min(max(PROMINENCE * (rest + GRAIN), SOFTEST), HARDEST), ABOVE_REST * rest)
    found = contrast >= least
    zone = round(ZONE * len(found))
    found[zone : len(found) - zone] = False
    return found
