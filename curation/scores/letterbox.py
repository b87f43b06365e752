"""Letterbox: how much of the picture are dark bars that never change.

A bar is dark and even in all frames, and ends at the same line in most columns (rows, for bars at the sides), beyond
which the picture becomes clearly brighter at some time. So a night sky is none: it ends at no straight line, or only
gradually. Words in a bar do no harm as long as most of its columns are empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Frame, Scorer

DARK = 40  # luma of a bar, at most
NOISE = 12  # levels that a bar's pixels vary by in time and space; more ends it
STEP = 18  # levels by which the picture beyond a bar is brighter at some time
STRAIGHT = 0.6  # share of the columns whose bar ends at the common line
WRITTEN = 0.3  # share of the columns whose bar ends before it, at most
LEAST = 0.01  # of the height (width) that counts as a bar
LEFT = 0.15  # of the height (width) that a picture between bars has left; less is a lamp in the dark
THRESHOLDS = {"letterbox": 0.02}

Bars = tuple[int, int, int, int]


class Letterbox(Scorer):
    """`letterbox`: the bars' share of the picture's area, in [0, 1]."""

    names = ("letterbox",)
    settings: ClassVar[Mapping[str, Any]] = {
        "interval": 0.4,
        "dark": DARK,
        "noise": NOISE,
        "step": STEP,
        "straight": STRAIGHT,
        "written": WRITTEN,
        "least": LEAST,
        "left": LEFT,
    }
    interval = 0.4

    def __init__(self) -> None:
        self._brightest: NDArray[np.uint8] | None = None

    def push(self, frame: Frame) -> None:
        """Keep each pixel's brightest value. A frame of another size than the first is left out."""
        picture = frame.medium
        if self._brightest is None:
            self._brightest = picture.copy()
        elif picture.shape == self._brightest.shape:
            cv2.max(self._brightest, picture, dst=self._brightest)

    def values(self) -> dict[str, float]:
        """0 without bars, and where the clip is dark all over."""
        if self._brightest is None:
            return {"letterbox": 0.0}
        height, width = self._brightest.shape
        top, bottom, left, right = bars(self._brightest)
        inside = (height - top - bottom) * (width - left - right)
        return {"letterbox": 1 - inside / (height * width)}


def bars(brightest: NDArray[np.uint8]) -> Bars:
    """Rows at the top and bottom, columns at the left and right, that are bars.

    `brightest`: (H, W), each pixel's largest luma of all frames. Bars all around are found from the outside in.
    """
    found = [0, 0, 0, 0]
    for _ in range(2):  # those of one direction hide the ends of the other's until they are cut away
        top, bottom, left, right = found
        inner = brightest[top : brightest.shape[0] - bottom, left : brightest.shape[1] - right]
        more = (bar(inner), bar(inner[::-1]), bar(inner.T), bar(inner.T[::-1]))
        if not any(more):
            break
        rows = sum(more[:2]) > 0
        # One direction at a time: the widest bars first.
        chosen = (more[0], more[1], 0, 0) if rows and max(more[:2]) >= max(more[2:]) else (0, 0, more[2], more[3])
        found = [one + other for one, other in zip(found, chosen, strict=True)]
    height, width = brightest.shape
    if height - found[0] - found[1] < LEFT * height or width - found[2] - found[3] < LEFT * width:
        return 0, 0, 0, 0
    return found[0], found[1], found[2], found[3]


def bar(brightest: NDArray[np.uint8]) -> int:
    """Rows from the top of (H, W) on that are a bar; at most half of them."""
    height, width = brightest.shape
    edge = brightest[0]
    level = int(np.median(edge))
    if level > DARK:
        return 0
    differs = np.abs(brightest.astype(np.int16) - level) > NOISE
    ends = np.where(differs.any(0), differs.argmax(0), height)  # each column's first row that is no bar
    counts = np.bincount(ends, minlength=height + 1)
    reach = max(1, height // 100)
    # The end of a bar is soft by a row or two: scaling and coding blur it.
    near = np.convolve(counts[: height // 2 + 1], np.ones(2 * reach + 1, np.int64), "same")
    line = int(near.argmax())
    if line < max(2, LEAST * height) or near[line] < STRAIGHT * width:
        return 0
    if counts[: max(line - reach, 0)].sum() > WRITTEN * width:
        return 0
    beyond = brightest[min(line + 2 * reach, height - 1)]
    at_the_line = np.abs(ends - line) <= reach
    if np.median(beyond[at_the_line]) < level + STEP:
        return 0
    return int(np.median(ends[at_the_line]))
