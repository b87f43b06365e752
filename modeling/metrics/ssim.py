"""Structural similarity (Wang, Bovik, Sheikh and Simoncelli 2004, IEEE Transactions on Image Processing 13(4))."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11  #    side of the Gaussian window, pixels
SIGMA = 1.5  #    its standard deviation, pixels
K1, K2 = 0.01, 0.03


def gaussian_window(size: int = WINDOW, sigma: float = SIGMA) -> Tensor:
    """(size,) float64 weights that sum to 1; the 2-D window is their outer product."""
    offsets = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Mean SSIM (Eq. 13, C3 = C2 / 2) of each image over the windows that lie wholly inside it and its channels.

    image, reference: (..., C, H, W) in [0, 1], H and W at least 11. Returns (...), 1 where the two are equal.
    Each channel of RGB is scored by itself and the scores are averaged (the paper scores luminance only).
    """
    if min(image.shape[-2:]) < WINDOW:
        raise ValueError(f"SSIM needs images of at least {WINDOW}x{WINDOW} pixels, not {tuple(image.shape[-2:])}")
    leading, (C, H, W) = image.shape[:-3], image.shape[-3:]
    x = image.reshape(-1, 1, H, W).double()
    y = reference.reshape(-1, 1, H, W).double()
    weights = gaussian_window().to(x.device)

    def local_mean(values: Tensor) -> Tensor:  # (N, 1, H, W) -> (N, 1, H - 10, W - 10); the window is separable
        rows = F.conv2d(values, weights.view(1, 1, 1, WINDOW))
        return F.conv2d(rows, weights.view(1, 1, WINDOW, 1))

    mean_x, mean_y = local_mean(x), local_mean(y)
    variance_x = local_mean(x * x) - mean_x**2
    variance_y = local_mean(y * y) - mean_y**2
    covariance = local_mean(x * y) - mean_x * mean_y
    c1, c2 = K1**2, K2**2  # (K L)^2 with L = 1
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return (luminance * structure).mean(dim=(-2, -1)).view(*leading, C).mean(dim=-1)
