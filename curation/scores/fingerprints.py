"""Fingerprints: what a clip looks like second by second, in bits that survive coding, scaling, bars and light.

A perceptual hash (the signs of a picture's low spatial frequencies, as in pHash) of the mean picture of two seconds,
one each second. The mean, and not single frames: waves and leaves leave little in it, so that another upload that was
cut a fraction of a second later gives nearly the same bits. Bars are cut away first.

128 bits, and not the usual 64: distances of unrelated pictures scatter like a coin's, so that among the 5 * 10^9 pairs
of 100,000 clips many come as near in 64 bits as a cropped copy does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Frame, Scorer
from curation.scores.letterbox import bars

INTERVAL = 0.2
SECONDS = 30  # of the clip, from its start on, that are looked at
SIDE = 32  # of the square that is transformed
BITS = 128
WORDS = BITS // 64  # 64-bit words a hash
# Levels: where half of the coefficients are smaller (fog, a plain sky, black), their signs are noise.
LEAST_DETAIL = 1.5
# The lowest frequencies but the mean, diagonal by diagonal.
ZIGZAG = sorted(((y, x) for y in range(SIDE) for x in range(SIDE) if y + x), key=lambda at: (at[0] + at[1], at))[:BITS]
ROWS, COLUMNS = (np.array(indices) for indices in zip(*ZIGZAG, strict=True))


class Fingerprints(Scorer):
    """No score: `fingerprint()` is 16 bytes for each second but the last, all zero where the picture says nothing."""

    names = ()
    settings: ClassVar[Mapping[str, Any]] = {
        "hash": "signs of the DCT of the mean luma of two seconds, each second",
        "interval": INTERVAL,
        "seconds": SECONDS,
        "side": SIDE,
        "bits": BITS,
        "least_detail": LEAST_DETAIL,
    }
    interval = INTERVAL
    fingerprints = True

    def __init__(self) -> None:
        self._sums: list[NDArray[np.float32]] = []  # of the luma, a second each
        self._counts: list[int] = []
        self._brightest: NDArray[np.uint8] | None = None
        self._last = 0.0

    def push(self, frame: Frame) -> None:
        """Add the frame to its second."""
        second = int(frame.time)
        if second >= SECONDS:
            return
        luma = frame.luma
        if self._brightest is None:
            self._brightest = luma.copy()
        else:
            cv2.max(self._brightest, luma, dst=self._brightest)
        while len(self._sums) <= second:
            self._sums.append(np.zeros(luma.shape, np.float32))
            self._counts.append(0)
        cv2.accumulate(luma, self._sums[second])
        self._counts[second] += 1
        self._last = frame.time

    def values(self) -> dict[str, float]:
        return {}

    def fingerprint(self) -> bytes | None:
        """None without frames; a clip of less than two seconds has one hash."""
        if self._brightest is None:
            return None
        top, bottom, left, right = bars(self._brightest)
        height, width = self._brightest.shape
        inner = np.s_[top : height - bottom, left : width - right]
        # A window that the clip leaves more than a quarter empty would say less than the others.
        windows = max(1, int(self._last + 0.5) - 1)
        hashes = []
        for first in range(windows):
            frames = sum(self._counts[first : first + 2])
            total = np.sum(self._sums[first : first + 2], axis=0)
            hashes.append(picture_hash(total[inner] / frames) if frames else bytes(BITS // 8))
        return b"".join(hashes)


def picture_hash(luma: NDArray[np.float32]) -> bytes:
    """The hash of (H, W) luma: `BITS` bits, lowest frequency first; zero where there is nothing to tell."""
    square = cv2.resize(luma, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    values = np.asarray(cv2.dct(square))[ROWS, COLUMNS]
    if np.median(np.abs(values)) < LEAST_DETAIL:
        return bytes(BITS // 8)
    return np.packbits(values > 0).tobytes()
