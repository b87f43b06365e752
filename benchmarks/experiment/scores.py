"""Held-out clips against what a generator makes of their first frames. Frame 0 is the input and is never scored.

N clips, T frames, R side of the frames, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.data.windows import ClipSet, DataError, open_clips, to_float, to_uint8
from modeling.evaluation.scores import motion_map, pearson
from modeling.metrics.frechet import frechet_distance
from modeling.metrics.proxy import ProxyFeatures
from modeling.metrics.psnr import psnr
from modeling.metrics.ssim import ssim
from modeling.networks import Generator

U8 = NDArray[np.uint8]
BATCH = 16  #             clips that are generated at once
STRIP_FRAMES = (5, 10, 20)
STRIP_CLIPS = 6


@dataclass(frozen=True)
class HeldOut:
    """The real clips of a split, from their first frames on, with what is compared again and again."""

    real: U8  # (N, T, R, R, 3)

    @classmethod
    def open(cls, data: Path, split: str, *, resolution: int, frames: int, limit: int | None = None) -> HeldOut:
        """The split's clips in a mixed order that is always the same, so that any first few are of many scenes."""
        clips: ClipSet = open_clips(data, split, resolution=resolution, frames=frames)
        if len(clips.clips) < 4:
            raise DataError(f"split {split} of {data} has {len(clips.clips)} clips; 4 or more are scored")
        order = np.random.default_rng(0).permutation(len(clips.clips))[:limit]
        return cls(np.stack([clips.window(int(clip), 0, frames) for clip in order]))

    @cached_property
    def features(self) -> Tensor:  # (N, D)
        return features_of(self.real)

    @cached_property
    def motion(self) -> NDArray[np.float64]:  # (N, R, R)
        return np.stack([motion_map(clip) for clip in self.real])

    def generated(self, generator: Generator, seed: int | None) -> U8:
        """(N, T, R, R, 3): each clip's future as drawn from (seed, clip), frame 0 its own; None: nothing drawn."""
        made = []
        for start in range(0, len(self.real), BATCH):
            images_BHW3 = torch.from_numpy(self.real[start : start + BATCH, 0])
            context_BK3HW = to_float(images_BHW3[:, None], torch.device("cpu"))
            first = None if seed is None else 1_000_000 * (seed + 1) + start
            noise = None if first is None else list(range(first, first + len(images_BHW3)))
            made.append(to_uint8(generator.generate(context_BK3HW, self.real.shape[1], noise)))
        return np.concatenate(made)

    def copied(self) -> U8:
        """(N, T, R, R, 3): the first frame, over and over."""
        return np.broadcast_to(self.real[:, :1], self.real.shape)

    def score(self, made_NTRR3: U8) -> dict[str, float | None]:
        """PSNR and SSIM against the truth (means over frames), where and how much it moves, and proxy-FD."""
        pairs = zip(made_NTRR3, self.real, strict=True)
        per_clip = [(psnr(x, y).clamp(max=60.0), ssim(x, y)) for x, y in (map(_unit, pair) for pair in pairs)]
        maps_NRR = np.stack([motion_map(clip) for clip in made_NTRR3])
        each = [pearson(made, real) for made, real in zip(maps_NRR, self.motion, strict=True)]
        defined = [r for r in each if r is not None]
        return {
            "psnr": float(torch.stack([value for value, _ in per_clip]).mean()),
            "ssim": float(torch.stack([value for _, value in per_clip]).mean()),
            "motion_r": pearson(maps_NRR, self.motion),
            "motion_r_of_clips": float(np.mean(defined)) if defined else None,
            "motion_ratio": float(maps_NRR.mean() / self.motion.mean()),
            "proxy_fd": frechet_distance(self.features, features_of(made_NTRR3)),
        }

    def score_quiet(self, made_NTRR3: U8) -> dict[str, float | None]:
        """Motion of samples for which nothing was drawn: what is left of it without noise's flicker."""
        maps_NRR = np.stack([motion_map(clip) for clip in made_NTRR3])
        return {
            "quiet_motion_r": pearson(maps_NRR, self.motion),
            "quiet_motion_ratio": float(maps_NRR.mean() / self.motion.mean()),
        }

    def strip(self, made_NTRR3: U8) -> U8:
        """(clips, frames, R, R, 3): the frames to look at, the input before them."""
        frames = [0, *(min(frame, made_NTRR3.shape[1] - 1) for frame in STRIP_FRAMES)]
        return np.ascontiguousarray(made_NTRR3[:STRIP_CLIPS, frames])


def _unit(clip_TRR3: U8) -> Tensor:
    """(T - 1, 3, R, R) in [0, 1], without the input frame."""
    return torch.from_numpy(np.ascontiguousarray(clip_TRR3[1:])).movedim(-1, -3).float() / 255


def features_of(clips_NTRR3: U8) -> Tensor:
    """(N, D) proxy features of clips, without their input frames."""
    extract = ProxyFeatures()
    return torch.cat([extract(_unit(clip)[None]) for clip in clips_NTRR3])


def references(data: Path, held: HeldOut, *, resolution: int, frames: int) -> dict[str, dict[str, Any]]:
    """What the models' scores stand beside: the input frame copied, and real clips against real clips."""
    n = len(held.real)
    others = HeldOut.open(data, "train", resolution=resolution, frames=frames, limit=n)
    halves = held.features[: n // 2], held.features[n // 2 :]
    return {
        "copied frame": held.score(held.copied()),
        "real clips of other scenes": {
            "proxy_fd": frechet_distance(held.features, others.features),
            "motion_ratio": float(others.motion.mean() / held.motion.mean()),
            "n": len(others.real),
        },
        "real, two halves of test": {"proxy_fd": frechet_distance(*halves), "n": n // 2},
    }
