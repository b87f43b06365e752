"""Frechet distances of features that stand on the disk, with what they rest on.

Letters: N clips, T frames, D features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.metrics.frechet import frechet_distance

Array = NDArray[Any]


def rows_of(features: Array) -> Tensor:
    """(N, D) of features a clip (N, D), or (N T, D) of those a frame (N, T, D)."""
    return torch.from_numpy(np.array(features).reshape(-1, features.shape[-1]))


def distance(real: Array, fake: Array) -> float:
    """Between all feature vectors of two sets."""
    return frechet_distance(rows_of(real), rows_of(fake))


def is_few(real: Array, fake: Array) -> bool:
    """Whether a set has no more feature vectors than features: its covariance has not full rank."""
    width = int(real.shape[-1])
    return min(real.size, fake.size) // width <= width


def each_step(real: Array, fake: Array, *, pooled: bool, first: int) -> list[float | None]:
    """Of the generated features of each frame (N, T, D) from `first` on, against the real ones of all frames, or of
    the same frame; None where the real clips do not reach."""
    values: list[float | None] = []
    for step in range(first, fake.shape[1]):
        if pooled:
            values.append(distance(real, fake[:, step]))
        else:
            values.append(distance(real[:, step], fake[:, step]) if step < real.shape[1] else None)
    return values
