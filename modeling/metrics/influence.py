"""How much each sample adds to a Frechet distance: its derivative by the sample's weight.

Letters: N and M samples, D features, R the rank of a covariance.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modeling.metrics.frechet import Moments, crossed, distance_of

ROWS = 1024  # that are looked at at a time


def influences(
    x_ND: Tensor, y_MD: Tensor, x_moments: Moments | None = None, y_moments: Moments | None = None
) -> tuple[float, Tensor, Tensor]:
    """The distance, and the derivatives (N,) and (M,) by the samples' weights at weight 1; each set's sum to 0.

    x_moments, y_moments: of the same rows in the same order, where they are known already.

    With weights w that sum to n, mu = sum w x / n and C = sum w (x - mu)(x - mu)' / (n - 1). With roots C_x = A'A,
    C_y = B'B, A B' = U S V' and (x - mu) = z A, the trace of (C_x C_y)^(1/2), which is the sum of S, changes by
    z U S U' z' / 2 (n - 1) with a sample's weight, and tr(C_x) by |x - mu|^2 / (n - 1). float64; in blocks of rows.
    ValueError as of `frechet_distance`, and for moments of other rows.
    """
    if x_ND.dim() != 2 or y_MD.dim() != 2:
        raise ValueError(f"features must be (N, D), not {tuple(x_ND.shape)} and {tuple(y_MD.shape)}")
    a = _moments_of(x_ND) if x_moments is None else x_moments
    b = _moments_of(y_MD) if y_moments is None else y_moments
    for moments, features in ((a, x_ND), (b, y_MD)):
        if (moments.n, moments.width) != tuple(features.shape):
            raise ValueError(f"moments of {moments.n} x {moments.width} features, but rows {tuple(features.shape)}")
    U, S, Vh = torch.linalg.svd(crossed(a, b), full_matrices=False)
    apart = a.mean - b.mean
    return distance_of(a, b, float(S.sum())), _of_set(x_ND, a, apart, U, S), _of_set(y_MD, b, -apart, Vh.T, S)


def _moments_of(x_ND: Tensor) -> Moments:
    made = Moments(x_ND.shape[1])
    for start in range(0, len(x_ND), ROWS):  # float64 takes twice the features that stand on the disk
        made.add(x_ND[start : start + ROWS])
    return made


def _of_set(x_ND: Tensor, of: Moments, apart_D: Tensor, U: Tensor, S: Tensor) -> Tensor:
    half = U * S.sqrt()  # (R, .), whose half half' is U S U'
    n = of.n
    parts = []
    for start in range(0, n, ROWS):
        centred = x_ND[start : start + ROWS].detach().cpu().double() - of.mean
        if n <= of.width:  # the root is the centred rows themselves, over sqrt(n - 1)
            projected = half[start : start + ROWS].square().sum(dim=1)
        else:
            projected = (of.coordinates(x_ND[start : start + ROWS]) @ half).square().sum(dim=1) / (n - 1)
        of_mean = 2 * (centred @ apart_D) / n
        parts.append(of_mean + centred.square().sum(dim=1) / (n - 1) - projected)
    values = torch.cat(parts)
    return values - values.mean()  # weights sum to n, so a common part is none
