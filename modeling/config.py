"""What a run is made of: frozen dataclasses, checked when they are made, and `--set key=value` on top of them."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from modeling.options.checking import ChecksConfig
from modeling.options.discriminators import (
    Decomposition,
    SpatialDiscriminatorConfig,
    TemporalDiscriminatorConfig,
)
from modeling.options.generator import GeneratorConfig
from modeling.options.training import ClipConfig, TrainingConfig
from modeling.parsing import ConfigError, build, option_paths, plain, require, unknown_option

__all__ = [
    "ChecksConfig",
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


@dataclass(frozen=True, kw_only=True)
class Config:
    """All that a run of `modeling train` depends on, but for the data and the machine."""

    preset: str = "custom"  # the preset that it started from
    resolution: int  #        side of the square frames, pixels
    frames: int = 25  #       T: frames of a training clip, the input frame counted
    generator: GeneratorConfig
    decomposition: Decomposition = "dvdgan"  # which discriminators look at what of a clip (Fig. 3.8)
    d_s: SpatialDiscriminatorConfig
    d_t: TemporalDiscriminatorConfig
    training: TrainingConfig
    checks: ChecksConfig = field(default_factory=ChecksConfig)

    def __post_init__(self) -> None:
        R = self.resolution
        require(R >= 8 and R & (R - 1) == 0, f"resolution must be a power of two, 8 or more, not {R}")
        got = len(self.generator.widths)
        require(
            got == self.depth,
            f"generator.widths needs {self.depth} entries at resolution {R} (Eq. 3.13), not {got}",
        )
        require(self.frames >= 4, f"frames must be 4 or more (D_T halves T twice), not {self.frames}")
        made = self.generated_frames
        require(
            made >= 1,
            f"frames={self.frames} leaves nothing to generate after generator.context_frames="
            f"{self.generator.context_frames}",
        )
        require(
            self.d_s.frames <= made,
            f"d_s.frames={self.d_s.frames} is more than the {made} frames of a clip that are generated "
            f"(frames={self.frames}, T, less generator.context_frames={self.generator.context_frames})",
        )
        require(
            self.generator.style_mixing == 0 or self.depth > 1,
            f"generator.style_mixing needs two levels or more, and resolution {R} has one",
        )
        require(
            self.generator.kind == "style" or not self.training.activation_checkpointing,
            f"training.activation_checkpointing is an option of generator.kind=style, not of {self.generator.kind}",
        )
        require(
            self.generator.context_frames > 0 or not self.d_s.conditional,
            "generator.context_frames=0 gives D_S no input frame to look at: set d_s.conditional=off",
        )
        if self.decomposition.startswith("trivdgan"):
            require(
                self.d_t.pool == 1, f"decomposition={self.decomposition} halves D_T's input itself: d_t.pool must be 1"
            )
            require(
                self.crop_frames >= 4, f"decomposition={self.decomposition} needs frames of 8 or more (D_T sees half)"
            )
        for name, widths, side in self._pyramids():
            halvings = len(widths) - 1
            require(
                side >> halvings >= 1,
                f"{name}.widths halves {side} pixels {halvings} times under decomposition={self.decomposition}: "
                "give fewer widths",
            )

    def _pyramids(self) -> list[tuple[str, tuple[int, ...], int]]:
        """(section, widths, side of what it sees) of each discriminator that is used."""
        half = 2 if self.decomposition.startswith("trivdgan") else 1
        temporal = ("d_t", self.d_t.widths, self.resolution // half // self.d_t.pool)
        if self.decomposition == "tgan":
            return [temporal]
        return [("d_s", self.d_s.widths, self.resolution // half), temporal]

    @property
    def crop_frames(self) -> int:
        """Frames of the part of a clip that D_T sees under TriVD-GAN's decompositions: half of them."""
        return self.frames // 2

    @property
    def generated_frames(self) -> int:
        """Frames of a training clip that the generator makes: T less those that it is given."""
        return self.frames - self.generator.context_frames

    @property
    def depth(self) -> int:
        """Levels of the feature pyramid (Eq. 3.13)."""
        return self.resolution.bit_length() - LOWEST_RESOLUTION.bit_length()

    def warnings(self) -> list[str]:
        """What may be trained but is known to work badly, a line each."""
        lines = []
        if self.frames < SHORTEST_USEFUL_SEQUENCE:
            lines.append(
                f"frames={self.frames}: below {SHORTEST_USEFUL_SEQUENCE} the temporal discriminator gives no useful "
                "gradient (section 3.8); 20 to 30 are advised"
            )
        if self.training.micro_batch == "auto" and self.generator.batch_norm:
            lines.append(
                "training.micro_batch=auto: the generator's batch norm sees one micro-batch at a time, so the result "
                "depends on what fits this machine; give a number, such as 4"
            )
        if self.training.loss == "wgan-clip" and (self.d_s.spectral_norm or self.d_t.spectral_norm):
            lines.append(
                "training.loss=wgan-clip bounds weights that spectral norm rescales again: "
                "set d_s.spectral_norm=off and d_t.spectral_norm=off to train as published"
            )
        return lines

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
