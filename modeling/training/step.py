"""The two training passes: one update of both discriminators, one of the generator (section 3.8).

Shapes: B batch, K sampled frames, T time, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from modeling.config import Config
from modeling.data.conditions import NOTHING, Conditions
from modeling.networks.batch_norm import pending_statistics
from modeling.networks.spectral_norm import power_iteration
from modeling.training.augment import augmented
from modeling.training.build import Networks, Optimisers, build_networks, build_optimisers
from modeling.training.draws import Draws, draws_for
from modeling.training.execution import EAGER, Execution, Look
from modeling.training.losses import LOSSES
from modeling.training.precision import autocast
from modeling.transfer import to_device

__all__ = [
    "ALONE",
    "Draws",
    "Group",
    "Networks",
    "NonFiniteError",
    "Optimisers",
    "build_networks",
    "build_optimisers",
    "discriminator_pass",
    "draws_for",
    "generator_pass",
    "micro_batch_size",
    "penalty_is_due",
]

Stats = dict[str, float]


class NonFiniteError(ArithmeticError):
    """A loss or gradient norm is infinite or not a number; weights and optimisers are as before the pass."""

    def __init__(self, quantity: str, value: float, draws: Draws) -> None:
        super().__init__(f"{quantity} is {value} in step {draws.step}, pass {draws.pass_index}: nothing was updated")
        self.quantity, self.value, self.draws = quantity, value, draws


class Group(Protocol):
    """The processes that share a batch. Each takes its part; what they add up is the whole batch's."""

    @property
    def size(self) -> int: ...

    def add_up(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""


class _Alone:
    """One process with the whole batch."""

    size = 1

    def add_up(self, tensors: list[Tensor]) -> None:
        """Its own values are the sum."""


ALONE: Group = _Alone()


def micro_batch_size(config: Config) -> int:
    """Clips a backward pass; `auto` is 1, which needs the least memory."""
    micro = config.training.micro_batch
    return 1 if micro == "auto" else micro


def penalty_is_due(config: Config, draws: Draws) -> bool:
    """Whether this D pass takes the penalty: every `penalty_every`-th does, unless its weight is 0."""
    training = config.training
    number = draws.step * training.d_passes + draws.pass_index
    return training.gradient_penalty != "none" and number % training.penalty_every == 0


def discriminator_pass(
    networks: Networks,
    optimisers: Optimisers,
    clips_BT3HW: Tensor,
    draws: Draws,
    config: Config,
    conditions: Conditions = NOTHING,
    group: Group = ALONE,
    execution: Execution = EAGER,
) -> Stats:
    """One update of every discriminator on one batch of real clips (B, T, 3, H, W) in [-1, 1].

    All see the same generated clips, from one forward pass without a graph. `clips_BT3HW` and `draws` are this
    process's part of the batch. Returns, for each discriminator x: `x_loss` (with the penalty), `x_wasserstein`
    (real - fake), `x_penalty` (unweighted, where due), `x_grad_norm` (unclipped).
    Raises NonFiniteError before anything is updated.
    """
    training = config.training
    for optimiser in optimisers.discriminators.values():
        optimiser.zero_grad(set_to_none=True)
    weight = training.lambda_gp * training.penalty_every if penalty_is_due(config, draws) else None
    stats: dict[str, Tensor] = {}
    for real_BT3HW, given, part, share in _micro_batches(clips_BT3HW, conditions, draws, config, group):
        context_BK3HW = real_BT3HW[:, : config.generator.context_frames]
        mixing = given.mixing(context_BK3HW, part.mix_from, config)
        with torch.no_grad(), autocast(config, real_BT3HW):
            fake_BT3HW = networks.generator(context_BK3HW, real_BT3HW.shape[1], part.noise, given.mask, mixing)
        fake_BT3HW = fake_BT3HW.to(real_BT3HW.dtype)
        real = augmented(real_BT3HW, training.augment, part.augment)
        fake = augmented(fake_BT3HW, training.augment, part.augment)
        condition_B3HW = _condition(real, config)
        for name, network in networks.discriminators.items():
            real_view, fake_view = network.view(real, part.picks(real=True)), network.view(fake, part.picks(real=False))
            alpha = to_device(part.alpha_s if network.per_frame else part.alpha_t, real.device).to(real.dtype)
            look = Look(real_view, fake_view, condition_B3HW, alpha)
            for quantity, value in execution.discriminate(name, network, look, config, weight, share).items():
                _add(stats, f"{name}_{quantity}", value * share)

    updates = {name: (network, optimisers.discriminators[name]) for name, network in networks.discriminators.items()}
    values = _finish(updates, stats, draws, config, group)
    for network in networks.discriminators.values():
        if training.loss == "wgan-clip":
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.clamp_(-training.weight_clip, training.weight_clip)
        power_iteration(network)
    return values


def generator_pass(
    networks: Networks,
    optimisers: Optimisers,
    clips_BT3HW: Tensor,
    draws: Draws,
    config: Config,
    conditions: Conditions = NOTHING,
    group: Group = ALONE,
    execution: Execution = EAGER,
) -> Stats:
    """One update of the generator on the first frames of a batch of clips (B, T, 3, H, W) in [-1, 1] (Eq. 3.15).

    Returns `g_loss`, `g_loss_s` and `g_loss_t` (unweighted, one for each discriminator), `g_grad_norm` (unclipped).
    Raises NonFiniteError before anything is updated.
    """
    training, loss_of = config.training, LOSSES[config.training.loss]
    weights = {"d_s": training.lambda_s, "d_t": training.lambda_t, "d_v": training.lambda_v}
    optimisers.generator.zero_grad(set_to_none=True)
    stats: dict[str, Tensor] = {}
    with _frozen(*networks.discriminators.values()):
        for real_BT3HW, given, part, share in _micro_batches(clips_BT3HW, conditions, draws, config, group):
            context_BK3HW = real_BT3HW[:, : config.generator.context_frames]
            mixing = given.mixing(context_BK3HW, part.mix_from, config)
            total = real_BT3HW.new_zeros(())
            with autocast(config, real_BT3HW):
                fake_BT3HW = networks.generator(context_BK3HW, real_BT3HW.shape[1], part.noise, given.mask, mixing)
                fake = augmented(fake_BT3HW, training.augment, part.augment)
                real = augmented(real_BT3HW, training.augment, part.augment)
                condition_B3HW = _condition(real, config)
                for name, network in networks.discriminators.items():
                    real_scores = None
                    if loss_of.relative:
                        with torch.no_grad():
                            view = network.view(real, part.picks(real=True))
                            real_scores = execution.scores(name, network, view, condition_B3HW).to(real.dtype)
                    view = network.view(fake, part.picks(real=False))
                    fake_scores = execution.scores(name, network, view, condition_B3HW).to(real.dtype)
                    loss = loss_of.generator(fake_scores, real_scores)
                    total = total + weights[name] * loss
                    _add(stats, f"g_loss_{name[-1]}", loss * share)
            (total * share).backward()  # type: ignore[no-untyped-call]
            _add(stats, "g_loss", total * share)
    values = _finish({"g": (networks.generator, optimisers.generator)}, stats, draws, config, group)
    group.add_up(pending_statistics(networks.generator))
    networks.generator.after_update()
    return values


def _condition(clips_BT3HW: Tensor, config: Config) -> Tensor | None:
    """What a conditional discriminator sees beside a frame: the last one that the generator was given."""
    given = config.generator.context_frames
    return clips_BT3HW[:, given - 1] if given else None


def _micro_batches(
    clips_BT3HW: Tensor, conditions: Conditions, draws: Draws, config: Config, group: Group
) -> Iterator[tuple[Tensor, Conditions, Draws, float]]:
    """Parts of this process's clips with what goes with them, and their share of the whole batch: K/N of Eq. 3.16."""
    count, size = len(clips_BT3HW), micro_batch_size(config)
    if count != len(draws):
        raise ValueError(f"{count} clips need as many draws, not {len(draws)}")
    for start in range(0, count, size):
        stop = min(start + size, count)
        share = (stop - start) / (count * group.size)
        yield clips_BT3HW[start:stop], conditions.part(start, stop), draws.part(start, stop), share


def _add(stats: dict[str, Tensor], name: str, value: Tensor) -> None:
    value = value.detach()
    stats[name] = stats[name] + value if name in stats else value


def _finish(
    updates: Mapping[str, tuple[nn.Module, torch.optim.Adam]],
    stats: dict[str, Tensor],
    draws: Draws,
    config: Config,
    group: Group,
) -> Stats:
    """Measure the gradients, stop on anything that is not finite, clip, update; the pass's statistics as numbers."""
    gradients = [p.grad for network, _ in updates.values() for p in network.parameters() if p.grad is not None]
    group.add_up([*gradients, *stats.values()])
    norms = {}
    for name, (network, _) in updates.items():
        norms[name] = get_total_norm([p.grad for p in network.parameters() if p.grad is not None])
        stats[f"{name}_grad_norm"] = norms[name]
    # The pass's only wait for the device: the check needs the values, and the log takes the same copy.
    values = dict(zip(stats, torch.stack([stat.double() for stat in stats.values()]).tolist(), strict=True))
    for quantity, value in values.items():
        if value - value != 0.0:  # infinite or not a number
            raise NonFiniteError(quantity, value, draws)
    clip = config.training.clip
    for name, (network, optimiser) in updates.items():
        if clip.mode == "norm":
            clip_grads_with_norm_(network.parameters(), clip.threshold, norms[name])
        elif clip.mode == "value":
            clip_grad_value_(network.parameters(), clip.threshold)
        optimiser.step()
    return values


@contextmanager
def _frozen(*networks: nn.Module) -> Iterator[None]:
    """Without gradients for these networks' weights: the generator's pass only passes through them."""
    for network in networks:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in networks:
            network.requires_grad_(True)
