"""What is trained: a base configuration, and arms that differ from it in named options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.networks import build_generator

# The tiny preset with what two CPU cores can afford, the same for all arms. The thesis trained with WGAN-GP at 3e-4,
# batch 8 (DVD-GAN-S: 128) and two discriminator passes. Chosen by trials of `style` alone, one seed and some hundred
# steps each: WGAN-GP's penalty ran away at 1e-3 and taught nothing in 400 steps at 3e-4.
BASE = (
    "training.schedule=constant",  # a budget in minutes has no last step that a cosine could aim at
    "training.loss=rpgan-r1r2",
    "training.penalty_every=4",
    "training.batch=4",
    "training.micro_batch=4",
    "training.d_passes=1",
    "training.lr=1e-3",
    "generator.keep_bias=3",
    "frames=16",
)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One of the things compared: its name, and its options over the base."""

    name: str
    options: tuple[str, ...] = ()

    def config(self, base: Config, seed: int) -> Config:
        return apply_overrides(base, [*self.options, f"training.seed={seed}"])


def base_config(options: Sequence[str]) -> Config:
    """The base with `options` (key=value) over it. ConfigError for what is unknown or does not fit."""
    return apply_overrides(presets.get("tiny"), [*BASE, *options])


def parameters(config: Config) -> int:
    """Of the generator."""
    return sum(parameter.numel() for parameter in build_generator(config).parameters())


def with_parameters(config: Config, total: int) -> tuple[str, ...]:
    """Options that widen or narrow every level of `config`'s generator alike until it has about `total` parameters.

    Widths are counted in single channels (`generator.ch=1`): a whole ch is too coarse for small networks.
    """
    channels = [width * config.generator.ch for width in config.generator.widths]

    def options(scale: float) -> tuple[str, ...]:
        widths = [max(1, round(scale * each)) for each in channels]
        return ("generator.ch=1", f"generator.widths={widths}")

    scales = [number / channels[0] for number in range(max(1, channels[0] // 4), 4 * channels[0] + 1)]
    low, high = 0, len(scales) - 1
    while low < high:  # the count grows with the scale: the first that reaches the total
        middle = (low + high) // 2
        if parameters(apply_overrides(config, options(scales[middle]))) < total:
            low = middle + 1
        else:
            high = middle
    near = [options(scales[number]) for number in (max(0, low - 1), low)]
    return min(near, key=lambda each: abs(parameters(apply_overrides(config, each)) - total))
