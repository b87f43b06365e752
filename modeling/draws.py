"""What a training pass draws at random, a sample at a time: a function of (seed, step, pass, sample) alone.

Drawn before the batch is split, so micro-batches, processes and a resume cannot change a result.
Shapes: B batch, K sampled frames.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modeling.config import Config
from modeling.seeding import derived


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of one pass over one batch, on the CPU."""

    step: int  #            generator updates done before this pass
    pass_index: int  #      0..d_passes-1 for D's passes, d_passes for G's
    noise: tuple[int, ...]  # seed of each sample's style noise
    real_frames: Tensor  #  (B, K) frames of the real clip that D_S sees, from 1..T-1 without replacement
    fake_frames: Tensor  #  (B, K) the same for the generated clip, drawn independently
    alpha_s: Tensor  #      (B, K) D_S's interpolation, one a frame
    alpha_t: Tensor  #      (B,) D_T's interpolation, one a clip

    def __len__(self) -> int:
        return len(self.noise)

    def part(self, start: int, stop: int) -> Draws:
        """The draws of samples start..stop-1: a micro-batch's."""
        rows = slice(start, stop)
        return Draws(
            step=self.step,
            pass_index=self.pass_index,
            noise=self.noise[rows],
            real_frames=self.real_frames[rows],
            fake_frames=self.fake_frames[rows],
            alpha_s=self.alpha_s[rows],
            alpha_t=self.alpha_t[rows],
        )


def draws_for(config: Config, *, step: int, pass_index: int, samples: Iterable[int] | None = None) -> Draws:
    """The draws of the samples with these indices in the whole batch (default: all of `training.batch`)."""
    K, last = config.d_s.frames, config.frames - 1
    noise, real, fake, alpha_s, alpha_t = [], [], [], [], []
    for sample in range(config.training.batch) if samples is None else samples:
        source = derived(config.training.seed, "draws", step, pass_index, sample)
        rng = np.random.Generator(np.random.Philox(source))
        noise.append(int(rng.integers(2**62)))
        real.append(1 + rng.permutation(last)[:K])
        fake.append(1 + rng.permutation(last)[:K])
        alpha_s.append(rng.random(K, dtype=np.float32))
        alpha_t.append(rng.random(dtype=np.float32))
    return Draws(
        step=step,
        pass_index=pass_index,
        noise=tuple(noise),
        real_frames=torch.from_numpy(np.stack(real)),
        fake_frames=torch.from_numpy(np.stack(fake)),
        alpha_s=torch.from_numpy(np.stack(alpha_s)),
        alpha_t=torch.from_numpy(np.stack(alpha_t)),
    )
