"""A discriminator's work on a micro-batch: scores, loss, penalty and their gradients, as it is written.

Shapes: B batch, K sampled frames, T time, H and W height and width, h and w those of what a discriminator sees.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from modeling.config import Config
from modeling.networks import Discriminator
from modeling.options.training import TrainingConfig
from modeling.training.losses import LOSSES, Gradients, Scored, by_autograd, gradient_penalty, zero_centred_penalty
from modeling.training.precision import autocast


class Look(NamedTuple):
    """What a discriminator sees of a micro-batch in its own pass."""

    real: Tensor  #             frames (B, K, 3, h, w) or clips (B, t, 3, h, w): `Discriminator.view`
    fake: Tensor  #             the same of generated clips
    condition: Tensor | None  # (B, 3, H, W)
    alpha: Tensor  #            (B, K) or (B,) the penalty's interpolation, one a sample


class Execution:
    """How the discriminators' work on a micro-batch is done. Here: as it is written; compiled.py has another."""

    def discriminate(
        self, name: str, network: Discriminator, look: Look, config: Config, weight: float | None, share: float
    ) -> dict[str, Tensor]:
        """Add `share` of the loss's gradient, and of `weight` times the penalty's where due, to the network's own.

        Returns `loss` (with the penalty), `wasserstein` and, where due, `penalty`, of the micro-batch alone. Loss and
        penalty share nothing but weights, so each graph goes before the next one comes: half the memory.
        """
        with autocast(config, look.real):
            real_scores, fake_scores = _both(network, look)
        real_scores, fake_scores = real_scores.to(look.real.dtype), fake_scores.to(look.real.dtype)
        loss = LOSSES[config.training.loss].discriminator(real_scores, fake_scores)
        (loss * share).backward()  # type: ignore[no-untyped-call]
        stats = {"loss": loss.detach(), "wasserstein": (real_scores.mean() - fake_scores.mean()).detach()}
        if weight is not None:

            def scored(view: Tensor) -> Tensor:
                scores: Tensor = network(view, look.condition)
                return scores if network.per_frame else scores.mean(dim=1)

            penalty = penalty_of(config.training, scored, look.real, look.fake, look.alpha)
            (penalty * (weight * share)).backward()  # type: ignore[no-untyped-call]
            stats |= {"loss": stats["loss"] + weight * penalty.detach(), "penalty": penalty.detach()}
        return stats

    def scores(self, name: str, network: Discriminator, view: Tensor, condition_B3HW: Tensor | None) -> Tensor:
        """A discriminator's scores in the generator's pass."""
        scores: Tensor = network(view, condition_B3HW)
        return scores


EAGER = Execution()


def _both(network: Discriminator, look: Look) -> tuple[Tensor, Tensor]:
    """Scores of real and generated views, from one pass over both."""
    twice = None if look.condition is None else torch.cat((look.condition, look.condition))
    real_scores, fake_scores = network(torch.cat((look.real, look.fake)), twice).chunk(2)
    return real_scores, fake_scores


def penalty_of(
    training: TrainingConfig,
    scored: Scored,
    real: Tensor,
    fake: Tensor,
    alpha: Tensor,
    gradients: Gradients = by_autograd,
) -> Tensor:
    """`scored`'s gradient penalty between real and generated samples; `alpha` has a number for each."""
    if training.gradient_penalty == "gp":
        return gradient_penalty(scored, real, fake, alpha, gradients)
    penalty = zero_centred_penalty(scored, real, alpha.dim(), gradients)
    if training.gradient_penalty == "r1r2":
        penalty = penalty + zero_centred_penalty(scored, fake, alpha.dim(), gradients)
    return penalty
