"""The Wasserstein losses and their gradient penalties (section 3.1).

Shapes: B batch, K sampled frames, T time, H and W height and width. Each loss is a mean over samples, so the mean of a
batch is the weighted mean of its micro-batches (Eq. 3.16).
"""

from __future__ import annotations

import torch
from torch import Tensor

from modeling.networks.discriminators import SpatialDiscriminator, TemporalDiscriminator


def wasserstein_discriminator_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """E[D(fake)] - E[D(real)]: Eq. 3.3 as a loss to minimise; its negative is the Wasserstein estimate."""
    return fake_scores.mean() - real_scores.mean()


def wasserstein_generator_loss(fake_scores: Tensor) -> Tensor:
    """-E[D(fake)]: Eq. 3.8 as a loss to minimise."""
    return -fake_scores.mean()


def gradient_penalty_spatial(
    d_s: SpatialDiscriminator, real_BK3HW: Tensor, fake_BK3HW: Tensor, condition_B3HW: Tensor, alpha_BK: Tensor
) -> Tensor:
    """Eq. 3.5 for D_S: mean of (||grad D(x)||_2 - 1)^2 over frames x = alpha.real + (1 - alpha).fake.

    A sample is a frame, with an alpha of its own; the input frame beside it is not interpolated and takes no part in
    the norm.
    """
    with _full_precision(real_BK3HW):
        x_BK3HW = _interpolate(real_BK3HW, fake_BK3HW, alpha_BK[:, :, None, None, None])
        gradient_BK3HW = _gradient(d_s(x_BK3HW, condition_B3HW.float()), x_BK3HW)
        return _penalty(gradient_BK3HW.flatten(2))


def gradient_penalty_temporal(
    d_t: TemporalDiscriminator, real_BT3HW: Tensor, fake_BT3HW: Tensor, alpha_B: Tensor
) -> Tensor:
    """Eq. 3.5 for D_T: a sample is a clip, its score the mean over slices, the norm over all its values."""
    with _full_precision(real_BT3HW):
        x_BT3HW = _interpolate(real_BT3HW, fake_BT3HW, alpha_B[:, None, None, None, None])
        gradient_BT3HW = _gradient(d_t(x_BT3HW).mean(dim=1), x_BT3HW)
        return _penalty(gradient_BT3HW.flatten(1))


def _full_precision(like: Tensor) -> torch.autocast:
    # A norm's square overflows and its derivative underflows in half precision.
    return torch.autocast(like.device.type, enabled=False)


def _interpolate(real: Tensor, fake: Tensor, alpha: Tensor) -> Tensor:
    alpha = alpha.to(real.dtype)
    return (alpha * real + (1 - alpha) * fake).detach().requires_grad_()


def _gradient(scores: Tensor, x: Tensor) -> Tensor:
    # No sample's score depends on another sample, so the gradient of the sum holds each one's own.
    (gradient,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    return gradient


def _penalty(gradient: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(gradient, dim=-1)
    return (norms - 1).square().mean()
