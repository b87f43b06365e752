"""95% intervals by the bootstrap over whole videos: frames of one video say nearly the same, so they stay together.

Letters: N clips, S scores of a clip, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modeling.training.seeding import derived

Array = NDArray[Any]
Interval = tuple[float | None, float | None]
LOWER, UPPER = 2.5, 97.5  # percentiles


def resampled(n: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Draws of n videos with replacement, each a function of (seed, draw): indices (n,)."""
    for draw in range(draws):
        yield np.random.Generator(np.random.Philox(derived(seed, "bootstrap", draw))).integers(n, size=n)


def of_mean(scores_NS: Array, *, draws: int, seed: int) -> Interval:
    """Of the mean of all finite scores. (None, None) for fewer than two clips, or where nothing is finite."""
    finite = np.isfinite(scores_NS)
    sums, counts = np.where(finite, scores_NS, 0.0).sum(axis=1), finite.sum(axis=1)
    if len(scores_NS) < 2 or not counts.any():
        return None, None
    picked = ((sums[chosen].sum(), counts[chosen].sum()) for chosen in resampled(len(scores_NS), draws, seed))
    return percentiles([total / count for total, count in picked if count])


def percentiles(values: list[float]) -> Interval:
    """The interval of resampled values; (None, None) where there are none."""
    if not values:
        return None, None
    low, high = np.percentile(values, (LOWER, UPPER))
    return float(low), float(high)
