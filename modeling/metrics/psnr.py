"""Peak signal-to-noise ratio."""

from __future__ import annotations

import torch
from torch import Tensor


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """PSNR in dB of each image, 10 log10(1 / MSE), over all of its channels and pixels.

    image, reference: (..., 3, H, W) in [0, 1]. Returns (...); infinite where the two are equal.
    """
    error = (image.double() - reference.double()).square().mean(dim=(-3, -2, -1))
    return -10 * torch.log10(error)
