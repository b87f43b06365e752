"""What a run is made of: frozen dataclasses, checked when they are made, and `--set key=value` on top of them."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

from modeling.parsing import ConfigError, build, option_paths, plain, require, unknown_option

__all__ = [
    "ClipConfig",
    "Config",
    "ConfigError",
    "GeneratorConfig",
    "SpatialDiscriminatorConfig",
    "TemporalDiscriminatorConfig",
    "TrainingConfig",
    "apply_overrides",
]

LOWEST_RESOLUTION = 4  # side in pixels of the lowest level of the feature pyramid (Eq. 3.13)
SHORTEST_USEFUL_SEQUENCE = 15  # frames; below it D_T gave no useful gradient (section 3.8)


def _positive(section: str, **values: float) -> None:
    for name, value in values.items():
        require(math.isfinite(value) and value > 0, f"{section}.{name} must be above 0, not {value}")


def _widths(section: str, widths: tuple[int, ...]) -> None:
    good = len(widths) > 0 and all(width > 0 for width in widths)
    require(good, f"{section}.widths must be a list of positive whole numbers, not {list(widths)}")


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The generator of Fig. 3.7: `widths` is what each level puts out, lowest resolution first, times `ch`."""

    kind: Literal["style"] = "style"
    ch: int
    widths: tuple[int, ...]
    style_dim: int = 256  #                                   length of a clip's style vector (section 3.7)
    style_activation: Literal["sigmoid", "none"] = "sigmoid"  # sigmoid produced the published numbers
    noise: bool = True  #                                     off reproduces the published runs, where it was dead
    cell: Literal["convgru"] = "convgru"
    layers: int = 1  #                                        recurrent cells stacked on a level
    to_rgb_kernel: Literal[1, 3] = 1  #                       3 is what the thesis's text says, 1 what its code did

    def __post_init__(self) -> None:
        _positive("generator", ch=self.ch, style_dim=self.style_dim)
        _widths("generator", self.widths)
        require(1 <= self.layers <= 3, f"generator.layers must be 1, 2 or 3, not {self.layers}")


@dataclass(frozen=True, kw_only=True)
class SpatialDiscriminatorConfig:
    """D_S: scores single frames (section 3.6)."""

    ch: int
    widths: tuple[int, ...]
    frames: int = 8  #            K: frames drawn from a clip, without replacement, from 1..T-1
    conditional: bool = True  #   each frame is seen beside the input frame
    spectral_norm: bool = True
    attention: bool = True

    def __post_init__(self) -> None:
        _positive("d_s", ch=self.ch, frames=self.frames)
        _widths("d_s", self.widths)


@dataclass(frozen=True, kw_only=True)
class TemporalDiscriminatorConfig:
    """D_T: scores whole clips (section 3.6)."""

    ch: int
    widths: tuple[int, ...]
    pool: Literal[1, 2] = 1  #    side of the average pool before it; 2 is Eq. 3.14's usual choice, landscapes need 1
    spectral_norm: bool = True
    attention: bool = True

    def __post_init__(self) -> None:
        _positive("d_t", ch=self.ch)
        _widths("d_t", self.widths)
        require(len(self.widths) >= 3, "d_t.widths needs three or more: two 3-D blocks, then 2-D ones")


@dataclass(frozen=True, kw_only=True)
class ClipConfig:
    """Gradient clipping of each network: `norm` as the thesis's code, `value` as its text reads."""

    mode: Literal["norm", "value", "off"] = "norm"
    threshold: float = 2.5

    def __post_init__(self) -> None:
        _positive("training.clip", threshold=self.threshold)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the networks are trained (sections 3.1 and 3.8). A step is one update of the generator."""

    loss: Literal["wgan-gp"] = "wgan-gp"
    lambda_gp: float = 1.0  #                   weight of the gradient penalty (Eq. 3.6)
    lambda_s: float = 1.0  #                    weight of D_S in the generator's loss (Eq. 3.15)
    lambda_t: float = 5.0  #                    weight of D_T in the generator's loss (Eq. 3.15)
    penalty_every: int = 1  #                   k > 1: lazy penalty, every k-th D pass with k times the weight
    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    d_passes: int = 2  #                        discriminator passes before a generator pass, each on a fresh batch
    clip: ClipConfig = field(default_factory=ClipConfig)
    schedule: Literal["cosine", "constant"] = "cosine"
    constant_epochs: int = 10  #                epochs at full learning rate before the cosine begins
    schedule_steps: int  #                      the step at which the cosine reaches 0
    steps: int  #                               the run's length
    batch: int = 8  #                           clips an update
    micro_batch: int | Literal["auto"] = "auto"  # clips a backward pass (Eq. 3.16); auto: 1
    ema_decay: float | None = 0.999  #          moving average of the generator's weights; off is the thesis
    ema_warmup: bool = True  #                  a shorter average in the first 9,000 steps (networks/ema.py)
    flip: bool = True  #                        one horizontal flip drawn a clip
    seed: int = 0

    def __post_init__(self) -> None:
        _positive("training", lr=self.lr, batch=self.batch, d_passes=self.d_passes, penalty_every=self.penalty_every)
        _positive("training", steps=self.steps, schedule_steps=self.schedule_steps)
        for name in ("lambda_gp", "lambda_s", "lambda_t", "constant_epochs", "seed"):
            value = getattr(self, name)
            require(math.isfinite(value) and value >= 0, f"training.{name} must be 0 or more, not {value}")
        require(all(0 <= beta < 1 for beta in self.betas), f"training.betas must lie in [0, 1), not {self.betas}")
        if self.micro_batch != "auto":
            require(
                1 <= self.micro_batch <= self.batch,
                f"training.micro_batch must be auto or 1 to training.batch ({self.batch}), not {self.micro_batch}",
            )
        if self.ema_decay is not None:
            require(0 < self.ema_decay < 1, f"training.ema_decay must be off or in (0, 1), not {self.ema_decay}")
        require(
            self.schedule == "constant" or self.steps <= self.schedule_steps,
            f"training.steps={self.steps} goes beyond the cosine's end: "
            f"raise training.schedule_steps (now {self.schedule_steps}) or set training.schedule=constant",
        )


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that a run of `modeling train` depends on, but for the data and the machine."""

    preset: str = "custom"  # the preset that it started from
    resolution: int  #        side of the square frames, pixels
    frames: int = 25  #       T: frames of a training clip, the input frame counted
    generator: GeneratorConfig
    d_s: SpatialDiscriminatorConfig
    d_t: TemporalDiscriminatorConfig
    training: TrainingConfig

    def __post_init__(self) -> None:
        R = self.resolution
        require(R >= 8 and R & (R - 1) == 0, f"resolution must be a power of two, 8 or more, not {R}")
        got = len(self.generator.widths)
        require(
            got == self.depth,
            f"generator.widths needs {self.depth} entries at resolution {R} (Eq. 3.13), not {got}",
        )
        require(self.frames >= 4, f"frames must be 4 or more (D_T halves T twice), not {self.frames}")
        require(
            self.d_s.frames < self.frames,
            f"d_s.frames={self.d_s.frames} needs frames above it: they are drawn from 1..T-1 (now T={self.frames})",
        )
        for name, widths, side in (
            ("d_s", self.d_s.widths, R),
            ("d_t", self.d_t.widths, R // self.d_t.pool),
        ):
            halvings = len(widths) - 1
            require(side >> halvings >= 1, f"{name}.widths halves {side} pixels {halvings} times: give fewer widths")

    @property
    def depth(self) -> int:
        """Levels of the feature pyramid (Eq. 3.13)."""
        return self.resolution.bit_length() - LOWEST_RESOLUTION.bit_length()

    def warnings(self) -> list[str]:
        """What may be trained but is known to work badly, a line each."""
        if self.frames >= SHORTEST_USEFUL_SEQUENCE:
            return []
        return [
            f"frames={self.frames}: below {SHORTEST_USEFUL_SEQUENCE} the temporal discriminator gives no useful "
            "gradient (section 3.8); 20 to 30 are advised"
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values (dict, list, str, int, float, bool, None), as they stand in `config.yaml`."""
        return typing.cast(dict[str, Any], plain(dataclasses.asdict(self)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """The inverse of `to_dict`; an unknown, missing or ill-typed key is a ConfigError."""
        return build(cls, values, "")


def apply_overrides(config: Config, overrides: Iterable[str]) -> Config:
    """A copy of `config` with each `key=value` of `overrides` applied.

    `key` is a dotted path (`training.lr`) or an end of one that fits only one option (`lr`, `clip.mode`); `value` is
    YAML. All are applied before the result is checked, so that options that depend on one another can change together.
    """
    values = config.to_dict()
    known = list(option_paths(Config))
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        require(bool(equals and key), f"--set takes key=value, not {override!r}")
        path = _resolve(key, known)
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError(f"--set {key}: {text!r} is not a YAML value") from None
        section = values
        *parents, leaf = path.split(".")
        for parent in parents:
            section = section[parent]
        section[leaf] = value
    return Config.from_dict(values)


def _resolve(key: str, known: list[str]) -> str:
    if key == "preset":
        raise ConfigError("preset is chosen with --preset, not with --set")
    matches = [path for path in known if path == key] or [path for path in known if path.endswith("." + key)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ConfigError(f"option {key!r} is ambiguous: {', '.join(matches)}")
    raise ConfigError(unknown_option(key, known))
