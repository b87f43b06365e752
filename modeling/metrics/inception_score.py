"""Inception score (Salimans et al. 2016, Eq. 1): exp of the mean KL(p(y|x) || p(y)) of a classifier's labels.

Letters: N samples, C classes, S splits, V videos, W resamples, B samples of a block.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

ROWS = 1024  # of which the probabilities are held at a time


def inception_score(logits_NC: Tensor, splits: int = 10, order_N: Tensor | None = None) -> tuple[float, float]:
    """(mean, standard deviation) over `splits` consecutive parts, each with its own p(y).

    logits_NC: (N, C), any real type; computed in float64, a block of samples at a time, so that a set on the disk is
    never held as a whole. order_N: the places of the samples, one after the other; None: as they are. Parts begin at
    i N // splits. The deviation is that of the parts (divided by their number), as published numbers have it; it is no
    confidence, and 0 for one part. A part of n samples scores at most min(n, C). ValueError for fewer samples than
    parts, or logits that are not finite.
    """
    N = _checked(logits_NC, splits)
    values_S = _scores(logits_NC, splits, order_N, lambda places: torch.ones((1, len(places))), torch.tensor([N]))[0]
    return float(values_S.mean()), float(values_S.std(correction=0))


def resampled_scores(
    logits_NC: Tensor, videos_N: Tensor, times_WV: Tensor, splits: int = 10, order_N: Tensor | None = None
) -> Tensor:
    """(W,) the mean of `inception_score` of each resample, in which the samples of video v stand times[w, v] times.

    All resamples in one pass over the logits. A sample's copies stand beside each other in the order. NaN for a
    resample with fewer samples than parts. ValueError as of `inception_score`.
    """
    N = _checked(logits_NC, splits)
    if len(videos_N) != N:
        raise ValueError(f"{N} samples, but videos are named for {len(videos_N)}")
    counts_V = torch.bincount(videos_N, minlength=times_WV.shape[1])
    totals_W = (times_WV * counts_V).sum(dim=1)
    return _scores(logits_NC, splits, order_N, lambda places: times_WV[:, videos_N[places]], totals_W).mean(dim=1)


def _checked(logits_NC: Tensor, splits: int) -> int:
    if splits < 1:
        raise ValueError(f"splits must be 1 or more, not {splits}")
    if logits_NC.dim() != 2 or len(logits_NC) < splits or logits_NC.shape[1] < 1:
        raise ValueError(f"logits must be (N, C) with a sample a split ({splits}), not {tuple(logits_NC.shape)}")
    return len(logits_NC)


def _scores(
    logits_NC: Tensor, splits: int, order_N: Tensor | None, times: Callable[[Tensor], Tensor], totals_W: Tensor
) -> Tensor:
    """(W, S) of each part of each resample; `times` says how often samples (B,) stand in them, (W, B).

    The mean KL of a part is the entropy of its mean p less the mean of its samples' entropies: sums over samples, which
    are weighted by how many of a sample's copies lie in the part.
    """
    N, C = logits_NC.shape
    W = len(totals_W)
    begins_WS1 = torch.arange(splits + 1) * totals_W[:, None] // splits
    sums_WSC = torch.zeros((W, splits, C), dtype=torch.float64)
    negentropies_WS = torch.zeros((W, splits), dtype=torch.float64)
    passed_W1 = torch.zeros((W, 1), dtype=torch.float64)
    for start in range(0, N, ROWS):
        places_B = torch.arange(start, min(start + ROWS, N)) if order_N is None else order_N[start : start + ROWS]
        block = logits_NC[start : start + ROWS] if order_N is None else logits_NC[places_B]
        log_p_BC = torch.log_softmax(block.detach().cpu().double(), dim=1)
        if not bool(block.isfinite().all()):
            raise ValueError("the logits hold values that are not finite")
        p_BC = log_p_BC.exp()
        ends_WB = passed_W1 + times(places_B).double().cumsum(dim=1)
        starts_WB = torch.cat([passed_W1, ends_WB[:, :-1]], dim=1)
        passed_W1 = ends_WB[:, -1:]
        inside_WSB = torch.minimum(ends_WB[:, None], begins_WS1[:, 1:, None]) - torch.maximum(
            starts_WB[:, None], begins_WS1[:, :-1, None]
        )
        inside_WSB.clamp_(min=0)
        sums_WSC += inside_WSB @ p_BC
        negentropies_WS += inside_WSB @ (p_BC * log_p_BC).sum(dim=1)
    counts_WS = (begins_WS1[:, 1:] - begins_WS1[:, :-1]).double()
    mean_WSC = sums_WSC / counts_WS[..., None]
    return (negentropies_WS / counts_WS - torch.xlogy(mean_WSC, mean_WSC).sum(dim=2)).exp()
