"""Confidence by the bootstrap (Efron 1979) over whole videos: a video's frames are much alike and stay together.

Letters: V videos, N and M samples, D features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from modeling.metrics.frechet import Moments
from modeling.metrics.influence import influences
from modeling.training.seeding import derived

DRAWS = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """Between which the level's share of the draws lies."""

    low: float
    high: float


def resampled(videos: int, draw: int, seed: int, what: str = "videos") -> Tensor:
    """(V,) which videos, with replacement, a draw takes: a function of (seed, what, draw) alone."""
    random = np.random.Generator(np.random.Philox(derived(seed, "bootstrap", what, draw)))
    return torch.from_numpy(random.integers(videos, size=videos))


@lru_cache(maxsize=8)
def all_resampled(videos: int, draws: int, seed: int, what: str = "videos") -> Tensor:
    """(draws, V): `resampled` of each draw. Kept, as the same draws serve many statistics; not to be changed."""
    made = [resampled(videos, draw, seed, what) for draw in range(draws)]
    return torch.stack(made) if made else torch.zeros((0, videos), dtype=torch.int64)


def bootstrap(
    statistic: Callable[[Tensor], float], videos: int, *, draws: int = DRAWS, seed: int = 0, level: float = LEVEL
) -> Interval | None:
    """The percentile interval of `statistic`, which is given the numbers (V,) of the videos that a draw takes.

    A draw whose statistic is not finite is left out; None where none is left, or where there are fewer than two videos.
    """
    if videos < 2:
        return None
    return percentile_interval([statistic(resampled(videos, draw, seed)) for draw in range(draws)], level)


def mean_interval(
    values_N: Tensor,
    videos_N: Tensor | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval | None:
    """Of the mean of the values; those that are not finite (undefined) are left out of every mean. videos_N: which
    video a value is of; None: each its own."""
    return ratio_interval(values_N, torch.ones_like(values_N), videos_N, draws=draws, seed=seed, level=level)


def ratio_interval(
    above_N: Tensor,
    below_N: Tensor,
    videos_N: Tensor | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval | None:
    """Of sum(above) / sum(below), of the values of which both are finite; see `ratio`. videos_N as of `mean_interval`.

    None where they are of fewer than two videos.
    """
    defined = above_N.isfinite() & below_N.isfinite()
    above, below = above_N[defined].double(), below_N[defined].double()
    if videos_N is not None:
        groups = torch.unique(videos_N[defined], return_inverse=True)[1]
        above, below = (torch.bincount(groups, weights=values) for values in (above, below))
    if len(above) < 2:
        return None
    chosen = all_resampled(len(above), draws, seed)
    sums, bases = above[chosen].sum(dim=1), below[chosen].sum(dim=1)
    return percentile_interval(torch.where(bases > 0, sums / bases, torch.nan).tolist(), level)


def ratio(above_V: Tensor, below_V: Tensor) -> float:
    """sum(above) / sum(below) of the videos in which both are finite, so no still one blows it up; NaN for x / 0."""
    defined = above_V.isfinite() & below_V.isfinite()
    below = float(below_V[defined].double().sum())
    return float(above_V[defined].double().sum()) / below if below > 0 else math.nan


def frechet_interval(
    x_ND: Tensor,
    y_MD: Tensor,
    x_videos_N: Tensor | None = None,
    y_videos_M: Tensor | None = None,
    *,
    x_moments: Moments | None = None,
    y_moments: Moments | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval | None:
    """Of `frechet_distance`, both sets resampled by videos. x_videos_N: which video a row is of; None: each its own.
    x_moments, y_moments: of the same rows, where they are known already.

    The distance is taken as linear in the videos' weights (the infinitesimal jackknife, Efron 1982): each video's
    influence is worked out once, with one singular value decomposition, and a draw is a sum of V numbers. A
    distance a draw would be a decomposition a draw, and lie too high: a resample holds some videos twice, so it is
    smaller than the set it is of, and the distance grows as sets shrink. What the interval does not hold is the
    estimate's own bias at this n. None for fewer than two videos in a set.
    """
    value, *each = influences(x_ND, y_MD, x_moments, y_moments)
    sides = []
    for number, (of_rows, videos) in enumerate(zip(each, (x_videos_N, y_videos_M), strict=True)):
        groups = torch.arange(len(of_rows)) if videos is None else torch.unique(videos.cpu(), return_inverse=True)[1]
        if len(groups) != len(of_rows):
            raise ValueError(f"{len(of_rows)} rows of features, but videos are named for {len(groups)}")
        of_videos = torch.zeros(int(groups.max()) + 1, dtype=torch.float64).index_add_(0, groups, of_rows)
        if len(of_videos) < 2:
            return None
        sides.append((of_videos, "xy"[number]))
    values_W = torch.full((draws,), value, dtype=torch.float64)
    for of_videos, what in sides:
        values_W += of_videos[all_resampled(len(of_videos), draws, seed, what)].sum(dim=1)
    interval = percentile_interval(values_W.tolist(), level)
    return None if interval is None else Interval(max(0.0, interval.low), max(0.0, interval.high))


def percentile_interval(values: list[float], level: float = LEVEL) -> Interval | None:
    """The middle `level` of the values; those that are not finite are left out, and None where none is left."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return None
    low, high = np.percentile(finite, (50 * (1 - level), 50 * (1 + level)))
    return Interval(float(low), float(high))
