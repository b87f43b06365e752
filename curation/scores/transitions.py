"""Dissolves and fades, from a few small frames a second: what frames look like together, kept as inner products.

Each sample of the clip's luma is reduced to 80x45 in two ways: as it is, less its mean; and its texture, what a local
mean leaves. The last 31 of both are kept, and of each new one the inner products with them; windows are judged from
those alone (`blend`), a block at a time, so memory does not grow with the clip.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Scorer
from curation.scores.blend import (
    GOOD_PART,
    INTERCEPT,
    MAX_LAG,
    SUSTAINED,
    WEIGHTS,
    WINDOWS,
    dissolve_logits,
    fade_strengths,
)
from curation.scores.frame import Frame

# A clip with more of it than this has the fault. Chosen on training clips, with the weights.
THRESHOLDS = {"dissolve": 0.5, "fade": 0.75}

INTERVAL = 0.08  # s between samples: six in the shortest dissolve
SIZE = (45, 80)
AREA = 7  # pixels across of the mean that texture is relative to
UNIFORM = 2.5  # levels of deviation of a picture that shows nothing
CONTRAST = 8.0  # levels of deviation of a picture that has something to fade
BLOCK = 256  # samples judged at once


class Transitions(Scorer):
    """`dissolve`, `fade`: how surely there is one, from 0 to 1; `..._at`: where, s from the clip's start, or -1.

    `dissolve` is the probability that `blend` gives the likeliest window. `fade` is the part of its contrast that the
    picture loses, or gains, within 2.4 s while it stays the same picture: 1 for a fade to or from an even colour.
    """

    names = ("dissolve", "dissolve_at", "fade", "fade_at")
    settings: ClassVar[Mapping[str, Any]] = {
        "interval": INTERVAL, "size": list(SIZE), "area": AREA, "windows": list(WINDOWS), "intercept": INTERCEPT,
        "weights": WEIGHTS, "uniform": UNIFORM, "contrast": CONTRAST, "sustained": SUSTAINED, "good_part": GOOD_PART,
    }  # fmt: skip
    interval = INTERVAL

    def __init__(self) -> None:
        pixels = SIZE[0] * SIZE[1]
        self._rings = np.zeros((2, MAX_LAG + 1, pixels), np.float32)  # luma and texture of the last samples
        self._samples = 0
        self._times: list[float] = []
        self._bands: list[NDArray[np.float32]] = []  # (2, MAX_LAG + 1) a sample, from the last block's tail on
        self._logit = -math.inf
        self._fade = 0.0
        self._at = {"dissolve": -1.0, "fade": -1.0}

    def push(self, frame: Frame) -> None:
        """Take a sample."""
        slot = self._samples % (MAX_LAG + 1)
        for ring, view in zip(self._rings, views(frame.luma), strict=True):
            ring[slot] = view
        # Slots that are still empty give zeros, which no window asks for.
        products = np.asarray(self._rings @ self._rings[:, slot, :, None], np.float32)[..., 0]
        products *= np.float32(1 / self._rings.shape[2])
        self._bands.append(products[:, (slot - np.arange(MAX_LAG + 1)) % (MAX_LAG + 1)])
        self._times.append(frame.time)
        self._samples += 1
        if len(self._bands) == BLOCK + MAX_LAG:
            self._judge()
            del self._bands[:-MAX_LAG], self._times[:-MAX_LAG]

    def values(self) -> dict[str, float]:
        """Both strengths and where they are."""
        if self._bands:
            self._judge()
        return {
            "dissolve": 1 / (1 + math.exp(-max(self._logit, -50.0))), "dissolve_at": self._at["dissolve"],
            "fade": self._fade, "fade_at": self._at["fade"],
        }  # fmt: skip

    def _judge(self) -> None:
        luma, texture = np.stack(self._bands, axis=1).astype(np.float64)
        for length, logits in dissolve_logits(luma, texture):
            best = int(logits.argmax())
            if logits[best] > self._logit:
                self._logit = float(logits[best])
                self._at["dissolve"] = (self._times[best] + self._times[best + length]) / 2
        strengths, where = fade_strengths(luma, UNIFORM, CONTRAST)
        lag = int(strengths.argmax())
        if strengths[lag] > self._fade:
            self._fade = float(strengths[lag])
            self._at["fade"] = self._times[where[lag]]


def views(luma: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A frame's luma, (90, 160), as windows see it: 80x45 without its mean, and its texture; (3600,) each."""
    small = cv2.resize(luma, SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)
    texture = small - cv2.blur(small, (AREA, AREA), borderType=cv2.BORDER_REPLICATE)
    return (small - small.mean()).ravel(), texture.ravel()
