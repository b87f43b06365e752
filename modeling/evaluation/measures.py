"""What is kept of each clip: features of the extractors, scores against the truth, motion; a row a clip.

Letters: N clips of a chunk, T frames, R side of the frames, D features.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.evaluation.scores import motion_map
from modeling.evaluation.store import Spec
from modeling.metrics.extractors.interface import Extractor, PairDistance
from modeling.metrics.psnr import psnr
from modeling.metrics.ssim import WINDOW, ssim

U8 = NDArray[np.uint8]
Array = NDArray[Any]
FRAMES_AT_ONCE = 32  # that go through a network together


@dataclass(frozen=True)
class Span:
    """Frames start..stop-1 of a clip, the input counted."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    def of(self, clips_NTHW3: U8) -> U8:
        return clips_NTHW3[:, self.start : self.stop]

    def __str__(self) -> str:
        return f"{self.start}-{self.stop}"


class Measure(Protocol):
    """Something that is taken of each clip by itself."""

    @property
    def finite(self) -> bool:
        """Whether a value that is not finite is a fault of the clip."""

    @property
    def specs(self) -> Mapping[str, Spec]:
        """The arrays that it gives, by the names under which they are kept."""

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        """A row a clip of each array; `truth` has as many frames as the real clips reach."""


class Features:
    """An extractor's outputs over a span, as `NAME.OUTPUT`: a row a clip, or a row a frame of it."""

    finite = True

    def __init__(self, extractor: Extractor, span: Span, outputs: tuple[str, ...]) -> None:
        self._extractor, self._span = extractor, span
        tag = tag_of(extractor)
        self._names = {output: f"{extractor.name}.{output}.{span}.{tag}" for output in outputs}
        self._dtype = "float64" if extractor.name == "proxy" else "float32"

    def name(self, output: str) -> str:
        """Under which an output is kept."""
        return self._names[output]

    @property
    def specs(self) -> Mapping[str, Spec]:
        steps = (self._span.length,) if self._extractor.unit == "frame" else ()
        return {
            name: Spec((*steps, self._extractor.widths[output]), self._dtype) for output, name in self._names.items()
        }

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        clips = torch.from_numpy(np.ascontiguousarray(self._span.of(shown_NTHW3)))
        if self._extractor.unit == "clip":
            made = self._extractor(clips)
        else:  # a frame's features are its own, so frames go through in batches of one size, whatever the clips' length
            N, T = clips.shape[:2]
            frames = clips.flatten(0, 1)
            changed = torch.ones(len(frames), dtype=torch.bool)  # what stands still is looked at once
            changed[1:] = (frames[1:] != frames[:-1]).flatten(1).any(dim=1)
            parts = [self._extractor(part[:, None]) for part in torch.split(frames[changed], FRAMES_AT_ONCE)]
            which = changed.cumsum(0) - 1
            made = {
                output: torch.cat([part[output] for part in parts]).cpu()[which].reshape(N, T, -1)
                for output in self._names
            }
        return {name: made[output].cpu().numpy() for output, name in self._names.items()}


class WindowFeatures:
    """A clip extractor's output over each window of `shortest` frames of a span: a row a window, by its first frame."""

    finite = True

    def __init__(self, extractor: Extractor, span: Span, output: str) -> None:
        self._extractor, self._span, self._output = extractor, span, output
        self.windows = max(0, span.length - extractor.shortest + 1)
        self.name = f"{extractor.name}.{output}.windows{extractor.shortest}.{span}.{tag_of(extractor)}"

    @property
    def specs(self) -> Mapping[str, Spec]:
        return {self.name: Spec((self.windows, self._extractor.widths[self._output]), "float64")}

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        clips, size = self._span.of(shown_NTHW3), self._extractor.shortest
        rows = []
        for clip in clips:
            windows = np.stack([clip[start : start + size] for start in range(self.windows)])
            rows.append(self._extractor(torch.from_numpy(windows))[self._output].double().cpu().numpy())
        return {self.name: np.stack(rows)}


class FrameScores:
    """PSNR in dB and, where the frames are large enough, SSIM of each frame of a span against the true one."""

    finite = False  # a frame equal to the truth has no finite PSNR

    def __init__(self, span: Span, side: int) -> None:
        self._span, self._ssim = span, side >= WINDOW
        self.psnr, self.ssim = f"psnr.{span}", f"ssim.{span}" if self._ssim else None

    @property
    def specs(self) -> Mapping[str, Spec]:
        names = [name for name in (self.psnr, self.ssim) if name is not None]
        return {name: Spec((self._span.length,), "float64") for name in names}

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        rows: dict[str, list[Array]] = {name: [] for name in self.specs}
        for shown, truth in zip(self._span.of(shown_NTHW3), self._span.of(truth_NTHW3), strict=True):
            x, y = _unit(shown), _unit(truth)
            rows[self.psnr].append(psnr(x, y).numpy())
            if self.ssim is not None:
                rows[self.ssim].append(ssim(x, y).numpy())
        return {name: np.stack(values) for name, values in rows.items()}


class Distance:
    """A learned distance (LPIPS) of each frame of a span to the true one."""

    finite = True

    def __init__(self, distance: PairDistance, span: Span) -> None:
        self._distance, self._span = distance, span
        self.name = f"{distance.name}.{span}.{tag_of(distance)}"

    @property
    def specs(self) -> Mapping[str, Spec]:
        return {self.name: Spec((self._span.length,), "float64")}

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        pairs = zip(_steps(self._span.of(shown_NTHW3)), _steps(self._span.of(truth_NTHW3)), strict=True)
        parts = [self._distance.distance(x, y).double().cpu().numpy() for x, y in pairs]
        return {self.name: np.concatenate(parts, axis=1)}


class MotionMaps:
    """Standard deviation over time of each pixel of a span."""

    finite = True

    def __init__(self, span: Span, side: int) -> None:
        self._span, self._side = span, side
        self.name = f"motion-map.{span}"

    @property
    def specs(self) -> Mapping[str, Spec]:
        return {self.name: Spec((self._side, self._side), "float64")}

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        return {self.name: np.stack([motion_map(clip, 0) for clip in self._span.of(shown_NTHW3)])}


def tag_of(extractor: Extractor | PairDistance) -> str:
    """A short name for its weights and for all that it says of what it does with a frame, such as its resize."""
    said = json.dumps([extractor.digest, dict(extractor.facts)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def _steps(clips_NTHW3: U8) -> Iterator[Tensor]:
    """The clips, a few frames at a time."""
    size = max(1, FRAMES_AT_ONCE // max(1, len(clips_NTHW3)))
    return iter(torch.split(torch.from_numpy(np.ascontiguousarray(clips_NTHW3)), size, dim=1))


def _unit(clip_THW3: U8) -> Tensor:
    """(T, 3, H, W) float64 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(clip_THW3)).movedim(-1, -3).double() / 255
