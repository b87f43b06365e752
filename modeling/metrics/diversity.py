"""How much the futures of one image differ, and the best and the mean of them.

Letters: N images, F futures of each, K of them looked at, T frames, H, W.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from modeling.metrics.motion import as_clips


def diversity(futures_NFTHW3: Tensor) -> Tensor:
    """(N,) float64: mean over all pairs of an image's futures of their root-mean-square difference, in grey levels.

    0 where all are one. ValueError for fewer than two futures: a single one has no pair.
    """
    clips = as_clips(futures_NFTHW3, shortest=1)
    if clips.dim() < 5:
        raise ValueError(f"futures must be (..., F, T, H, W, 3), not {tuple(clips.shape)}")
    return mean_pairwise(clips.flatten(-4)) / math.sqrt(clips.shape[-4:].numel())


def mean_pairwise(features_NFD: Tensor) -> Tensor:
    """(N,) float64: mean Euclidean distance over the pairs of F rows (..., F, D). ValueError for fewer than two."""
    if features_NFD.dim() < 2 or features_NFD.shape[-2] < 2:
        raise ValueError(f"pairs need two futures or more, not {tuple(features_NFD.shape)}")
    rows = features_NFD.detach().double()
    F = rows.shape[-2]
    total = torch.zeros(rows.shape[:-2], dtype=torch.float64, device=rows.device)
    for first in range(F - 1):  # row by row: the pairs' differences together would be F times the clips
        total += (rows[..., first + 1 :, :] - rows[..., first : first + 1, :]).norm(dim=-1).sum(dim=-1)
    return total / (F * (F - 1) / 2)


def best_of_k(scores_NF: Tensor, k: int | None = None, *, higher_is_better: bool) -> Tensor:
    """(N,) float64: the best of k futures of each image; k below F: its mean over all choices of k of the F.

    Every score then counts, and numbers of differing F compare at one k. None: the best of all. NaN counts as worst,
    and is the result where all are. ValueError unless 1 <= k <= F.
    """
    F = scores_NF.shape[-1] if scores_NF.dim() else 0
    k = F if k is None else k
    if not 1 <= k <= F:
        raise ValueError(f"k must lie between 1 and the number of futures, {F}, not {k}")
    sign = 1.0 if higher_is_better else -1.0
    ranked = (sign * scores_NF.detach().double()).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    ranked = ranked.sort(dim=-1).values
    # The r-th lowest of F is the best of k in C(r - 1, k - 1) of C(F, k) choices.
    share = torch.tensor([math.comb(rank, k - 1) / math.comb(F, k) for rank in range(F)], dtype=torch.float64)
    best = torch.where(share > 0, ranked * share, 0.0).sum(dim=-1)
    lost = scores_NF.isnan() if k == 1 else scores_NF.isnan().all(dim=-1, keepdim=True)
    return (sign * best).masked_fill(lost.any(dim=-1), torch.nan)


def mean_of_futures(scores_NF: Tensor) -> Tensor:
    """(N,) float64: the mean of each image's futures, those that are not defined (NaN) left out."""
    return scores_NF.detach().double().nanmean(dim=-1)
