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
from modeling.networks.discriminators import Picks
from modeling.training.augment import AUGMENT_NUMBERS
from modeling.training.seeding import derived


@dataclass(frozen=True, kw_only=True)
class Draws:
    """The draws of one pass over one batch, on the CPU."""

    step: int  #            generator updates done before this pass
    pass_index: int  #      0..d_passes-1 for D's passes, d_passes for G's
    noise: tuple[int, ...]  # seed of each sample's style noise
    real_frames: Tensor  #  (B, K) frames of the real clip that D_S sees, from k..T-1 without replacement
    fake_frames: Tensor  #  (B, K) the same for the generated clip, drawn independently
    alpha_s: Tensor  #      (B, K) D_S's interpolation, one a frame
    alpha_t: Tensor  #      (B,) the interpolation of those that see clips, one a clip
    real_start: Tensor  #   (B,) where trivdgan's D_T begins to look at the real clip
    fake_start: Tensor  #   (B,) the same for the generated clip, drawn independently
    augment: Tensor  #      (B, n) uniform numbers, of which DiffAugment makes its transformations
    mix_from: Tensor  #     (B,) lowest level that takes another sample's style; the number of levels where none does

    def picks(self, *, real: bool) -> Picks:
        """What the discriminators look at in the real clips, or in the generated ones."""
        return Picks(self.real_frames, self.real_start) if real else Picks(self.fake_frames, self.fake_start)

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
            real_start=self.real_start[rows],
            fake_start=self.fake_start[rows],
            augment=self.augment[rows],
            mix_from=self.mix_from[rows],
        )


def draws_for(config: Config, *, step: int, pass_index: int, samples: Iterable[int] | None = None) -> Draws:
    """The draws of the samples with these indices in the whole batch (default: all of `training.batch`)."""
    K, given, made = config.d_s.frames, config.generator.context_frames, config.generated_frames
    starts = config.frames - config.crop_frames + 1
    mixed, levels = config.generator.style_mixing, config.depth
    noise, real, fake, alpha_s, alpha_t, crops, augment, mix_from = [], [], [], [], [], [], [], []
    for sample in range(config.training.batch) if samples is None else samples:
        source = derived(config.training.seed, "draws", step, pass_index, sample)
        rng = np.random.Generator(np.random.Philox(source))
        noise.append(int(rng.integers(2**62)))
        real.append(given + rng.permutation(made)[:K])
        fake.append(given + rng.permutation(made)[:K])
        alpha_s.append(rng.random(K, dtype=np.float32))
        alpha_t.append(rng.random(dtype=np.float32))
        crops.append(rng.integers(starts, size=2))
        augment.append(rng.random(AUGMENT_NUMBERS, dtype=np.float32))
        # Above a random level, of which there is one at least (section 3.3).
        mix_from.append(int(rng.integers(1, levels)) if mixed and rng.random() < mixed else levels)
    real_start, fake_start = torch.from_numpy(np.stack(crops)).unbind(dim=1)
    return Draws(
        step=step,
        pass_index=pass_index,
        noise=tuple(noise),
        real_frames=torch.from_numpy(np.stack(real)),
        fake_frames=torch.from_numpy(np.stack(fake)),
        alpha_s=torch.from_numpy(np.stack(alpha_s)),
        alpha_t=torch.from_numpy(np.stack(alpha_t)),
        real_start=real_start,
        fake_start=fake_start,
        augment=torch.from_numpy(np.stack(augment)),
        mix_from=torch.tensor(mix_from),
    )
