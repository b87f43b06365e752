"""Scores: numbers measured on a clip's frames in one decode pass, apart from what is decided by them.

A scorer is fed frames and asked for its values at the end; `measure` feeds all scorers at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class Scorer(Protocol):
    """Measures one or more numbers. `settings` are all that its values depend on beside the frames."""

    settings: Mapping[str, Any]

    def push(self, frame: NDArray[np.uint8]) -> None:
        """Take the next frame, (H, W, 3) uint8 RGB, valid during the call only."""
        ...

    def values(self) -> dict[str, float]:
        """The scores of all frames pushed."""
        ...


def measure(frames: Iterable[NDArray[np.uint8]], scorers: Iterable[Scorer]) -> int:
    """Push every frame into every scorer. Returns the number of frames."""
    wanted = list(scorers)
    count = 0
    for frame in frames:
        for scorer in wanted:
            scorer.push(frame)
        count += 1
    return count
