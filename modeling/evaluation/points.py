"""Sets of clips whose features are all one: a distance to a single point is a number, but compares no distributions.

Letters: N clips, T frames, D features.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ROUNDING = 1e-5  # of the largest feature: what a network in float32 makes of equal frames in differing batches
BLOCK = 64  #       clips that are read at a time
EQUAL = (
    "all features of {} are equal: a covariance of zero is no distribution, and what is computed of it says little; "
    "look at these clips"
)


def is_point(features: Array) -> bool:
    """Whether all feature vectors (N, D) or (N, T, D) of two clips or more are equal, to rounding.

    One clip alone that stands still has equal features by right. Reads on only while no vector differs.
    """
    if len(features) < 2:
        return False
    first = features[(0,) * (features.ndim - 1)].astype(np.float64)
    room = ROUNDING * float(np.abs(first).max())
    blocks = (features[start : start + BLOCK] for start in range(0, len(features), BLOCK))
    return not any(bool((np.abs(block - first) > room).any()) for block in blocks)


class Points:
    """Tells of each set that is a point, once, whatever numbers are taken of it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: set[str] = set()
        self._known: dict[tuple[str, str], bool] = {}

    def warn(self, text: str) -> None:
        """Say this, once."""
        if text not in self._said:
            self._said.add(text)
            self._say(f"warning: {text}")

    def note(self, *sets: tuple[str, str, Array]) -> str:
        """What a number must say of the sets that it compares: (whose, the features' name, the features) of each."""
        equal = [whose for whose, name, features in sets if self._is_point(whose, name, features)]
        return f"all features of {' and of '.join(equal)} are equal: no distribution" if equal else ""

    def _is_point(self, whose: str, name: str, features: Array) -> bool:
        key = whose, name
        if key not in self._known:
            self._known[key] = is_point(features)
            if self._known[key]:
                n, what = int(np.prod(features.shape[:-1], dtype=np.int64)), " ".join(name.split(".")[:2])
                self.warn(EQUAL.format(f"{whose} ({n} of {what})"))
        return self._known[key]
