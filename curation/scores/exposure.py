"""Near-black and near-white frames: night, a lens cap, fog, a glare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from curation.scores import Frame, Scorer

BLACK, WHITE = 26, 229  # luma: a tenth of the range from either end
SHARE = 0.98  # of the pixels beyond it
THRESHOLDS = {"black": 0.1, "white": 0.1}


class Exposure(Scorer):
    """`black` and `white`: shares of the frames that are so nearly all over, in [0, 1]."""

    names = ("black", "white")
    settings: ClassVar[Mapping[str, Any]] = {"interval": 0.2, "black": BLACK, "white": WHITE, "share": SHARE}
    interval = 0.2

    def __init__(self) -> None:
        self._frames = 0
        self._black = 0
        self._white = 0

    def push(self, frame: Frame) -> None:
        """Count the frame."""
        histogram = np.bincount(frame.luma.ravel(), minlength=256)
        least = SHARE * histogram.sum()
        self._frames += 1
        self._black += bool(histogram[: BLACK + 1].sum() >= least)
        self._white += bool(histogram[WHITE:].sum() >= least)

    def values(self) -> dict[str, float]:
        """Shares of the frames looked at; 0 without frames."""
        frames = max(self._frames, 1)
        return {"black": self._black / frames, "white": self._white / frames}
