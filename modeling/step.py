"""The two training passes: one update of both discriminators, one of the generator (section 3.8).

Shapes: B batch, K sampled frames, T time, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_, get_total_norm

from modeling.config import Config
from modeling.draws import Draws, draws_for
from modeling.losses import (
    gradient_penalty_spatial,
    gradient_penalty_temporal,
    wasserstein_discriminator_loss,
    wasserstein_generator_loss,
)
from modeling.networks import (
    Generator,
    SpatialDiscriminator,
    TemporalDiscriminator,
    build_discriminators,
    build_generator,
)
from modeling.networks.blocks import power_iteration
from modeling.transfer import to_device

__all__ = [
    "Draws",
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


@dataclass(frozen=True, kw_only=True)
class Networks:
    generator: Generator
    d_s: SpatialDiscriminator
    d_t: TemporalDiscriminator


@dataclass(frozen=True, kw_only=True)
class Optimisers:
    generator: torch.optim.Adam
    d_s: torch.optim.Adam
    d_t: torch.optim.Adam

    def set_learning_rate(self, lr: float) -> None:
        for optimiser in (self.generator, self.d_s, self.d_t):
            for group in optimiser.param_groups:
                group["lr"] = lr


def build_networks(config: Config, device: torch.device | str = "cpu") -> Networks:
    """All three networks with the initial weights that the configuration's seed gives, on `device`."""
    d_s, d_t = build_discriminators(config)
    return Networks(generator=build_generator(config).to(device), d_s=d_s.to(device), d_t=d_t.to(device))


def build_optimisers(networks: Networks, config: Config) -> Optimisers:
    """Adam for each network; a lazy penalty every k-th pass takes D's betas to the power k/(k+1) (Karras 2020)."""
    training = config.training
    beta1, beta2 = training.betas
    k = training.penalty_every
    power = k / (k + 1) if k > 1 else 1.0

    def adam(network: nn.Module, betas: tuple[float, float]) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=training.lr, betas=betas, fused=True)

    lazy = (beta1**power, beta2**power)
    return Optimisers(
        generator=adam(networks.generator, (beta1, beta2)), d_s=adam(networks.d_s, lazy), d_t=adam(networks.d_t, lazy)
    )


def micro_batch_size(config: Config) -> int:
    """Clips a backward pass; `auto` is 1, which needs the least memory."""
    micro = config.training.micro_batch
    return 1 if micro == "auto" else micro


def penalty_is_due(config: Config, draws: Draws) -> bool:
    """Whether this D pass takes the penalty: every `penalty_every`-th does, unless its weight is 0."""
    training = config.training
    number = draws.step * training.d_passes + draws.pass_index
    return training.lambda_gp > 0 and number % training.penalty_every == 0


def discriminator_pass(
    networks: Networks, optimisers: Optimisers, clips_BT3HW: Tensor, draws: Draws, config: Config
) -> Stats:
    """One update of D_S and D_T on one batch of real clips (B, T, 3, H, W) in [-1, 1].

    Both see the same generated clips, from one forward pass without a graph. Returns, for x in d_s and d_t: `x_loss`
    (with the penalty), `x_wasserstein` (real - fake), `x_penalty` (unweighted, where due), `x_grad_norm` (unclipped).
    Raises NonFiniteError before anything is updated.
    """
    d_s, d_t = networks.d_s, networks.d_t
    optimisers.d_s.zero_grad(set_to_none=True)
    optimisers.d_t.zero_grad(set_to_none=True)
    weight_gp = config.training.lambda_gp * config.training.penalty_every if penalty_is_due(config, draws) else None
    stats: dict[str, Tensor] = {}
    for real_BT3HW, part, share in _micro_batches(clips_BT3HW, draws, config):
        image_B3HW = real_BT3HW[:, 0]
        with torch.no_grad():
            fake_BT3HW = networks.generator(image_B3HW, real_BT3HW.shape[1], part.noise)
        B = len(part)

        real_BK3HW = _frames(real_BT3HW, part.real_frames)
        fake_BK3HW = _frames(fake_BT3HW, part.fake_frames)
        both = d_s(torch.cat((real_BK3HW, fake_BK3HW)), torch.cat((image_B3HW, image_B3HW)))
        _accumulate(stats, "d_s", wasserstein_discriminator_loss(both[:B], both[B:]), share)
        if weight_gp is not None:
            alpha_BK = to_device(part.alpha_s, real_BT3HW.device)
            penalty = gradient_penalty_spatial(d_s, real_BK3HW, fake_BK3HW, image_B3HW, alpha_BK)
            _accumulate_penalty(stats, "d_s", penalty, share, weight_gp)

        both = d_t(torch.cat((real_BT3HW, fake_BT3HW)))
        _accumulate(stats, "d_t", wasserstein_discriminator_loss(both[:B], both[B:]), share)
        if weight_gp is not None:
            alpha_B = to_device(part.alpha_t, real_BT3HW.device)
            penalty = gradient_penalty_temporal(d_t, real_BT3HW, fake_BT3HW, alpha_B)
            _accumulate_penalty(stats, "d_t", penalty, share, weight_gp)

    values = _finish({"d_s": (d_s, optimisers.d_s), "d_t": (d_t, optimisers.d_t)}, stats, draws, config)
    power_iteration(d_s)
    power_iteration(d_t)
    return values


def generator_pass(
    networks: Networks, optimisers: Optimisers, clips_BT3HW: Tensor, draws: Draws, config: Config
) -> Stats:
    """One update of the generator on the first frames of a batch of clips (B, T, 3, H, W) in [-1, 1] (Eq. 3.15).

    Returns `g_loss`, `g_loss_s` and `g_loss_t` (unweighted), `g_grad_norm` (unclipped).
    Raises NonFiniteError before anything is updated.
    """
    training, d_s, d_t = config.training, networks.d_s, networks.d_t
    optimisers.generator.zero_grad(set_to_none=True)
    stats: dict[str, Tensor] = {}
    with _frozen(d_s, d_t):
        for real_BT3HW, part, share in _micro_batches(clips_BT3HW, draws, config):
            image_B3HW = real_BT3HW[:, 0]
            fake_BT3HW = networks.generator(image_B3HW, real_BT3HW.shape[1], part.noise)
            loss_s = wasserstein_generator_loss(d_s(_frames(fake_BT3HW, part.fake_frames), image_B3HW))
            loss_t = wasserstein_generator_loss(d_t(fake_BT3HW))
            loss = training.lambda_s * loss_s + training.lambda_t * loss_t
            (loss * share).backward()  # type: ignore[no-untyped-call]
            for name, value in (("g_loss", loss), ("g_loss_s", loss_s), ("g_loss_t", loss_t)):
                _add(stats, name, value * share)
    return _finish({"g": (networks.generator, optimisers.generator)}, stats, draws, config)


def _micro_batches(clips_BT3HW: Tensor, draws: Draws, config: Config) -> Iterator[tuple[Tensor, Draws, float]]:
    """Parts of the batch with their draws and their share of it: K/N of Eq. 3.16."""
    total, size = len(clips_BT3HW), micro_batch_size(config)
    if total != len(draws):
        raise ValueError(f"{total} clips need as many draws, not {len(draws)}")
    for start in range(0, total, size):
        stop = min(start + size, total)
        yield clips_BT3HW[start:stop], draws.part(start, stop), (stop - start) / total


def _frames(video_BT3HW: Tensor, indices_BK: Tensor) -> Tensor:
    """Frames (B, K, 3, H, W) of each clip at its own indices (B, K)."""
    rows_B1 = torch.arange(len(video_BT3HW), device=video_BT3HW.device)[:, None]
    return video_BT3HW[rows_B1, to_device(indices_BK, video_BT3HW.device)]


def _add(stats: dict[str, Tensor], name: str, value: Tensor) -> None:
    value = value.detach()
    stats[name] = stats[name] + value if name in stats else value


def _accumulate(stats: dict[str, Tensor], name: str, loss: Tensor, share: float) -> None:
    (loss * share).backward()  # type: ignore[no-untyped-call]
    _add(stats, f"{name}_loss", loss * share)
    _add(stats, f"{name}_wasserstein", -loss * share)


def _accumulate_penalty(stats: dict[str, Tensor], name: str, penalty: Tensor, share: float, weight: float) -> None:
    (penalty * (weight * share)).backward()  # type: ignore[no-untyped-call]
    _add(stats, f"{name}_loss", penalty * (weight * share))
    _add(stats, f"{name}_penalty", penalty * share)


def _finish(
    updates: dict[str, tuple[nn.Module, torch.optim.Adam]], stats: dict[str, Tensor], draws: Draws, config: Config
) -> Stats:
    """Measure the gradients, stop on anything that is not finite, clip, update; the pass's statistics as numbers."""
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
