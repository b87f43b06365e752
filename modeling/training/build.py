"""The networks of a run with their optimisers, by name: generator, d_s, d_t, d_v."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from modeling.config import Config
from modeling.networks import Discriminator, Generator, build_discriminators, build_generator
from modeling.training.precision import dtype_of


@dataclass(frozen=True, kw_only=True)
class Networks:
    """The generator and its discriminators by name: d_s, d_t, d_v as the decomposition has them (Fig. 3.8)."""

    generator: Generator
    discriminators: dict[str, Discriminator]

    def __iter__(self) -> Iterator[tuple[str, nn.Module]]:
        yield "generator", self.generator
        yield from self.discriminators.items()


@dataclass(frozen=True, kw_only=True)
class Optimisers:
    """Adam of each network, by the network's name."""

    generator: torch.optim.Adam
    discriminators: dict[str, torch.optim.Adam]

    def __iter__(self) -> Iterator[tuple[str, torch.optim.Adam]]:
        yield "generator", self.generator
        yield from self.discriminators.items()

    def set_learning_rate(self, lr: float) -> None:
        for _, optimiser in self:
            for group in optimiser.param_groups:
                group["lr"] = lr


def build_networks(config: Config, device: torch.device | str = "cpu") -> Networks:
    """All networks with the initial weights that the configuration's seed gives, on `device`."""
    discriminators, dtype = build_discriminators(config), dtype_of(config)
    return Networks(
        generator=build_generator(config).to(device, dtype),
        discriminators={name: network.to(device, dtype) for name, network in discriminators.items()},
    )


def build_optimisers(networks: Networks, config: Config) -> Optimisers:
    """Adam for each network; a lazy penalty every k-th pass takes D's betas to the power k/(k+1) (Karras 2020)."""
    training = config.training
    beta1, beta2 = training.betas
    k = training.penalty_every if training.gradient_penalty != "none" else 1
    power = k / (k + 1) if k > 1 else 1.0

    def adam(network: nn.Module, betas: tuple[float, float]) -> torch.optim.Adam:
        return torch.optim.Adam(network.parameters(), lr=training.lr, betas=betas, fused=True)

    lazy = (beta1**power, beta2**power)
    return Optimisers(
        generator=adam(networks.generator, (beta1, beta2)),
        discriminators={name: adam(network, lazy) for name, network in networks.discriminators.items()},
    )
