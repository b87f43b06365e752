"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, Eq. 6)."""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(x_ND: Tensor, y_MD: Tensor) -> float:
    """|mu_x - mu_y|^2 + tr(C_x) + tr(C_y) - 2 tr((C_x C_y)^(1/2)), with the unbiased covariances C.

    x_ND, y_MD: a row a sample, any real type; computed in float64. The last trace is the sum of the singular values of
    A B', A and B being centred features over sqrt(n - 1): no covariance and no matrix square root is formed, so sets
    smaller than D are no harder than others. Never below 0. ValueError for fewer than two samples, differing widths or
    values that are not finite.
    """
    for name, features in (("x", x_ND), ("y", y_MD)):
        if features.dim() != 2 or len(features) < 2:
            raise ValueError(f"{name} must be (N, D) with two samples or more, not {tuple(features.shape)}")
        if not bool(features.isfinite().all()):
            raise ValueError(f"{name} holds features that are not finite")
    if x_ND.shape[1] != y_MD.shape[1]:
        raise ValueError(f"x has features of width {x_ND.shape[1]}, y of width {y_MD.shape[1]}")
    mean_x, root_x = _moments(x_ND)
    mean_y, root_y = _moments(y_MD)
    shared = float(torch.linalg.svdvals(root_x @ root_y.T).sum())
    spread = float(root_x.square().sum() + root_y.square().sum())  # the two covariances' traces
    return max(0.0, float((mean_x - mean_y).square().sum()) + spread - 2 * shared)


def _moments(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and a root R of the covariance, C = R'R, with at most D rows."""
    x_ND = x_ND.detach().double().cpu()
    mean = x_ND.mean(dim=0)
    centred = (x_ND - mean) / (len(x_ND) - 1) ** 0.5
    if len(centred) > centred.shape[1]:
        centred = torch.linalg.qr(centred, mode="r").R
    return mean, centred
