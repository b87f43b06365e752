"""What the pipeline sees of a feature extractor, and the error of a weight file that cannot be used.

Letters: N clips, T frames, H and W the frames' height and width, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor

from modeling.errors import ModelingError


class WeightsError(ModelingError):
    """A weight file that is missing, broken or another network's; one line with the file and what to do."""


class MissingWeights(WeightsError):
    """No file of these weights is there, or no folder is named."""


class Extractor(Protocol):
    """Features of 8-bit clips under one stated protocol. What a clip gives does not depend on the others beside it."""

    @property
    def name(self) -> str:
        """inception, i3d or proxy."""

    @property
    def digest(self) -> str:
        """SHA-256 of the weight file, hexadecimal; of the proxy its version and its seed."""

    @property
    def unit(self) -> Literal["frame", "clip"]:
        """What one row of features is of."""

    @property
    def widths(self) -> Mapping[str, int]:
        """D of each output."""

    @property
    def shortest(self) -> int:
        """Frames that a clip must have."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What makes two numbers comparable: resize, range, layer, and the like, in words."""

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        """Each output as (N, T, D) where the unit is a frame and (N, D) where it is a clip, on the extractor's device.

        clips_NTHW3: uint8, on any device. float32, of the proxy float64. ValueError for another shape or type, or for
        clips shorter than `shortest`.
        """


class PairDistance(Protocol):
    """A distance between frames of two clips: what LPIPS is."""

    @property
    def name(self) -> str:
        """lpips."""

    @property
    def digest(self) -> str:
        """SHA-256 of the backbone file and of the heads file."""

    @property
    def facts(self) -> Mapping[str, str]:
        """What makes two numbers comparable."""

    def distance(self, x_NTHW3: Tensor, y_NTHW3: Tensor) -> Tensor:
        """(N, T) float32 of uint8 clips of equal shape. ValueError for others."""


def require_clips(clips_NTHW3: Tensor, *, name: str, shortest: int = 1) -> None:
    """ValueError unless these are uint8 clips (N, T, H, W, 3) of at least `shortest` frames."""
    shape = tuple(clips_NTHW3.shape)
    if clips_NTHW3.dtype != torch.uint8 or len(shape) != 5 or shape[-1] != 3 or min(shape[1:4]) < 1:
        raise ValueError(f"{name} takes uint8 clips (N, T, H, W, 3), not {clips_NTHW3.dtype} {shape}")
    if shape[1] < shortest:
        raise ValueError(f"{name} needs clips of at least {shortest} frames; these have {shape[1]}")
