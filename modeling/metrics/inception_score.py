"""Inception score (Salimans et al. 2016, Eq. 1): exp of the mean KL(p(y|x) || p(y)) of a classifier's labels.

Letters: N samples, C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor


def inception_score(logits_ND: Tensor, splits: int = 10) -> tuple[float, float]:
    """(mean, standard deviation) over `splits` consecutive parts, each with its own p(y).

    logits_ND: (N, C), any real type; computed in float64. Parts begin at i N // splits. The deviation is that of the
    parts (divided by their number), as published numbers have it; it is no confidence, and 0 for one part. A part of n
    samples scores at most min(n, C). ValueError for fewer samples than parts, or logits that are not finite.
    """
    if splits < 1:
        raise ValueError(f"splits must be 1 or more, not {splits}")
    if logits_ND.dim() != 2 or len(logits_ND) < splits or logits_ND.shape[1] < 1:
        raise ValueError(f"logits must be (N, C) with a sample a split ({splits}), not {tuple(logits_ND.shape)}")
    if not bool(logits_ND.isfinite().all()):
        raise ValueError("the logits hold values that are not finite")
    log_p = torch.log_softmax(logits_ND.detach().cpu().double(), dim=1)
    N = len(log_p)
    scores = []
    for part in range(splits):
        log_NC = log_p[part * N // splits : (part + 1) * N // splits]
        log_marginal = torch.logsumexp(log_NC, dim=0) - torch.log(torch.tensor(len(log_NC), dtype=torch.float64))
        scores.append((log_NC.exp() * (log_NC - log_marginal)).sum(dim=1).mean().exp())
    values = torch.stack(scores)
    return float(values.mean()), float(values.std(correction=0))
