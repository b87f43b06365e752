"""Clips that return to where they were: self-similarity over time, a looping score, dips of a curve (thesis §4.3).

Frames are compared as deviations from their clip's mean frame, so that what never moves says nothing. The similarity
of deviations a and b is 2 a.b / (|a|^2 + |b|^2): 1 for the same frame, 0 for unrelated ones, -1 for opposites.
Letters: N clips, T frames, H, W, L lags. Clips are (..., T, H, W, 3), 8-bit or any real type in [0, 255].
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from modeling.metrics.motion import as_clips

SHORTEST = 8  #       frames of a clip whose looping can be judged
FARTHEST = 0.75  #    of the frames: lags beyond it have too few pairs
STILL = 1e-6  #       grey levels^2: a clip that varies less does not move
PROMINENCE = 0.15  #  of a curve's range, by which a dip must lie below its surroundings


def similarity_matrix(clips_NTHW3: Tensor) -> Tensor:
    """(N, T, T) float64 in [-1, 1]: of each frame to each other; NaN for a clip that does not move."""
    gram, energy, still = _products(clips_NTHW3)
    both = energy[..., :, None] + energy[..., None, :]
    similar = torch.where(both > 0, 2 * gram / both, 1.0)
    return similar.masked_fill(still[..., None, None], torch.nan)


def similarity_to_start(clips_NTHW3: Tensor) -> Tensor:
    """(N, T): of each frame to the first one: its peaks are where the scene returns to its start."""
    return similarity_matrix(clips_NTHW3)[..., 0, :]


def self_similarity(clips_NTHW3: Tensor) -> Tensor:
    """(N, T) over the lags 0..T-1: sum of 2 a_t.a_t+lag over sum of |a_t|^2 + |a_t+lag|^2; NaN where nothing moves."""
    gram, energy, still = _products(clips_NTHW3)
    T = energy.shape[-1]
    curve = []
    for lag in range(T):
        shared = gram.diagonal(lag, dim1=-2, dim2=-1).sum(dim=-1)
        both = energy[..., : T - lag].sum(dim=-1) + energy[..., lag:].sum(dim=-1)
        curve.append(torch.where(both > 0, 2 * shared / both, 0.0))
    return torch.stack(curve, dim=-1).masked_fill(still[..., None], torch.nan)


def looping(clips_NTHW3: Tensor) -> Tensor:
    """(N,) in [0, 1]: how fully a clip comes back after it has gone away; 1 repeats itself, 0 never returns.

    The highest self-similarity at a lag after the first one at which it is 0 or less, of the whole clip and of its
    second half (the thesis saw loops after 80 of 150 frames), whichever is higher; lags up to 3/4 of the frames.
    NaN for a clip that does not move. ValueError for fewer than 8 frames.
    """
    clips = as_clips(clips_NTHW3, shortest=SHORTEST)
    T = clips.shape[-4]
    score = _return(self_similarity(clips))
    if T // 2 >= SHORTEST:
        score = torch.fmax(score, _return(self_similarity(clips.narrow(-4, T - T // 2, T // 2))))
    return score


def dips(curve: Sequence[float | None], prominence: float = PROMINENCE, least: float = 0.0) -> list[int]:
    """Indices of a curve's dips: the thesis's Fig. 4.3 has them where the scene returns to its start.

    A dip is a point below both neighbours (of a flat floor the first point) from which the curve rises on both sides
    by at least `prominence` of its range, and by `least`, before it falls below the dip again. Points without a value
    are left out.
    Peaks, as of `similarity_to_start`, are the dips of the negated curve.
    """
    known = [(index, float(value)) for index, value in enumerate(curve) if value is not None and math.isfinite(value)]
    values = [value for _, value in known]
    if len(values) < 3:
        return []
    needed = max(prominence * (max(values) - min(values)), least)
    found = []
    for at in range(1, len(values) - 1):
        if not values[at - 1] > values[at] or needed == 0:
            continue
        left, right = _rise(values[:at][::-1], values[at], ties=False), _rise(values[at + 1 :], values[at], ties=True)
        if min(left, right) >= needed:
            found.append(known[at][0])
    return found


def _rise(away: Sequence[float], floor: float, *, ties: bool) -> float:
    """How far values rise above the floor before one falls below it, or, without ties, to it."""
    highest = 0.0
    for value in away:
        if value < floor or (not ties and value == floor):
            break
        highest = max(highest, value - floor)
    return highest


def _return(curve_NT: Tensor) -> Tensor:
    T = curve_NT.shape[-1]
    lags = curve_NT[..., : math.floor(FARTHEST * T) + 1]
    away = (lags <= 0).long().cumsum(dim=-1) > 0
    score = lags.masked_fill(~away, 0.0).amax(dim=-1).clamp(0, 1)
    return score.masked_fill(curve_NT[..., 0].isnan(), torch.nan)


def _products(clips_NTHW3: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(N, T, T) the deviations' products, (N, T) their squared lengths, (N,) whether a clip does not move."""
    a = as_clips(clips_NTHW3, shortest=2).flatten(-3)
    a = a - a.mean(dim=-2, keepdim=True)
    gram = a @ a.mT
    energy = gram.diagonal(dim1=-2, dim2=-1)
    return gram, energy, energy.mean(dim=-1) / a.shape[-1] < STILL
