"""Adversarial losses and the penalties of the discriminators' gradients (section 3.1).

Shapes: B batch, K sampled frames, T time, n scores of a clip. Each loss is a mean over samples, so the mean of a batch
is the weighted mean of its micro-batches (Eq. 3.16). A sample is a frame with a score of its own, or a clip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor

from modeling.options.training import Loss

Scored = Callable[[Tensor], Tensor]  # samples (B, ...) or (B, K, ...) -> a score each, (B,) or (B, K)
Gradients = Callable[[Scored, Tensor], Tensor]  # the scores' gradient for the samples, in their shape


class AdversarialLoss(ABC):
    """What both sides minimise, given the scores (B, n) of real and of generated samples."""

    relative = False  # whether the generator's loss needs the real samples' scores

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, without a penalty."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss; `real` where `relative`."""


class Wasserstein(AdversarialLoss):
    """E[D(fake)] - E[D(real)]: Eq. 3.3 and 3.8 as losses to minimise; wgan-gp and wgan-clip differ in their bound."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake.mean() - real.mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class Vanilla(AdversarialLoss):
    """Cross entropy of real and fake (Eq. 3.1), its generator's side non-saturating (Goodfellow 2014, section 3)."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(-real).mean() + F.softplus(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return F.softplus(-fake).mean()


class Hinge(AdversarialLoss):
    """Scores beyond the margin 1 cost nothing (Lim and Ye 2017); DVD-GAN's loss."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake.mean()


class RelativisticPairing(AdversarialLoss):
    """Cross entropy of D(real) - D(fake) in pairs (R3GAN, Huang 2024); a pair continues the same input frame."""

    relative = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        if real is None:
            raise ValueError("the relativistic loss compares with real scores")
        return F.softplus(real - fake).mean()


LOSSES: dict[Loss, AdversarialLoss] = {
    "wgan-gp": Wasserstein(),
    "wgan-clip": Wasserstein(),
    "vanilla": Vanilla(),
    "hinge": Hinge(),
    "rpgan-r1r2": RelativisticPairing(),
}


def by_autograd(scored: Scored, x: Tensor) -> Tensor:
    """The gradient of each sample's score for the sample, as a graph of its own.

    No sample's score depends on another sample, so the gradient of the sum holds each one's own.
    """
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(scored(x).sum(), x, create_graph=True)
    return gradient


def gradient_penalty(
    scored: Scored, real: Tensor, fake: Tensor, alpha: Tensor, gradients: Gradients = by_autograd
) -> Tensor:
    """Eq. 3.5: mean of (||grad D(x)||_2 - 1)^2 over samples x = alpha.real + (1 - alpha).fake.

    `real` and `fake` are (*samples, ...) and `alpha` (*samples), one a sample; the norm is over all of a sample's
    values. What D is conditioned on is inside `scored`: it is not interpolated and takes no part in the norm.
    """
    with _full_precision(real):
        weight = alpha.to(real.dtype).reshape(*alpha.shape, *[1] * (real.dim() - alpha.dim()))
        x = weight * real + (1 - weight) * fake
        norms: Tensor = torch.linalg.vector_norm(gradients(scored, x).flatten(alpha.dim()), dim=-1)
        return (norms - 1).square().mean()


def zero_centred_penalty(
    scored: Scored, samples: Tensor, sample_dims: int, gradients: Gradients = by_autograd
) -> Tensor:
    """E[||grad D(x)||^2] / 2: R1 on real samples, R2 on generated ones (Mescheder 2018, Eq. 9 and 10).

    The first `sample_dims` dimensions of `samples` count samples.
    """
    with _full_precision(samples):
        return gradients(scored, samples).flatten(sample_dims).square().sum(dim=-1).mean() / 2


def _full_precision(like: Tensor) -> AbstractContextManager[object]:
    # A norm's square overflows and its derivative underflows in half precision. Without values there is no autocast.
    return nullcontext() if like.is_meta else torch.autocast(like.device.type, enabled=False)
