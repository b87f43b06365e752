"""Suspicion: how near a clip's scores come to the bounds beyond which they tell of a fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.ranking.features import COPIES, UNLIKE

# What a hint says of a score; others are called by their own names.
WORDS = {
    "variance": "still", "hard_cuts": "cut", "dissolve": "dissolve", "fade": "fade", "letterbox": "bars",
    "camera_motion": "camera", "overlay": "text or logo", "black": "dark", "white": "bright", "frozen": "frozen",
    COPIES: "duplicate",
}  # fmt: skip
HINTED = 1 / 3  # from this suspicion on it is worth a word: half of a bound
PROPOSED = 0.5  # at a bound
DUPLICATE = 0.55  # of a clip like one of a video that was added earlier


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The least and the most that scores may be."""

    minimum: Mapping[str, float]
    maximum: Mapping[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """The scores with a bound, in a stable order."""
        return tuple(sorted({*self.minimum, *self.maximum}))


def suspicion(values: NDArray[np.float32], bounds: Bounds) -> NDArray[np.float64]:
    """(N, S) scores, columns as `bounds.names` -> (N, S) in [0, 1): 0.5 stands at the bound; missing ones are 0.

    With r = value / bound (or bound / value where it is a least one), r / (1 + r).
    """
    told = np.zeros(values.shape)
    for column, name in enumerate(bounds.names):
        value = values[:, column].astype(np.float64)
        ratio = np.zeros(len(value))
        if name in bounds.maximum:
            bound = bounds.maximum[name]
            # Where none at all is allowed, one is already twice too many.
            ratio = value / bound if bound > 0 else 2 * np.maximum(value, 0)
        if name in bounds.minimum:
            with np.errstate(divide="ignore"):
                ratio = np.maximum(ratio, bounds.minimum[name] / np.maximum(value, 0))
        ratio = np.clip(np.nan_to_num(ratio, nan=0.0, posinf=1e9), 0, 1e9)
        told[:, column] = ratio / (1 + ratio)
    return told


def word(name: str) -> str:
    """A feature's name as a hint says it."""
    return WORDS.get(name, name.replace(UNLIKE, "odd ").replace("_", " "))
