"""Noise of the style blocks, drawn a sample and a block: the same whatever the batch, its split, or the chunk of time.

Shapes: B clips, T time, N = B*T frames, clip after clip, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from modeling.transfer import to_device

# Keys of a sample's streams. Style blocks count from 0; whatever else is drawn has its own from 1000 on.
LATENT = 1000  #       z, once a clip
FIRST_INPUT = 1001  #  DVD-GAN-S's first map, once a clip
MOTION = 1002  #       MoCoGAN's noise, a frame at a time; TGAN's, a block of frames at a time
MOTION_START = 1003  # MoCoGAN's first motion state, once a clip
MIXED_LATENT = 1004  # z of the sample whose style is mixed in, once a clip


class NoiseStream:
    """N(0, I) maps for one batch: sample b's maps of block i come, frame by frame, from (seeds[b], i) alone.

    A `torch.Generator` in the place of a seed gives one, by one draw from it. Drawn on the CPU, so that a run's noise
    does not depend on its device.
    """

    def __init__(self, seeds: Sequence[int | torch.Generator]) -> None:
        self._seeds = [_seed(seed) for seed in seeds]
        self._streams: dict[int, list[torch.Generator]] = {}

    def __len__(self) -> int:
        return len(self._seeds)

    def next_values(self, key: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """The next N(0, I) values of the stream `key` a clip: (B, *shape), with the type and device of `like`."""
        if key not in self._streams:
            self._streams[key] = [torch.Generator().manual_seed(_mix(seed, key)) for seed in self._seeds]
        values = [torch.randn(shape, generator=stream) for stream in self._streams[key]]
        return to_device(torch.stack(values), like.device).to(like.dtype)

    def next_maps(self, block: int, frames: int, height: int, width: int, like: Tensor) -> Tensor:
        """The next `frames` maps of style block `block` a clip: (B*T, 1, H, W), with the type and device of `like`."""
        return self.next_values(block, (frames, 1, height, width), like).flatten(0, 1)


def drawn(noise: NoiseStream | None, key: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """`next_values` of the stream `key`, (B, *shape), for the clips of `like` (B, ...); zeros where none are drawn."""
    return like.new_zeros(len(like), *shape) if noise is None else noise.next_values(key, shape, like)


def _seed(seed: int | torch.Generator) -> int:
    if isinstance(seed, torch.Generator):
        return int(torch.randint(2**62, (), generator=seed, device=seed.device))
    return int(seed)


def _mix(seed: int, block: int) -> int:
    return int(np.random.SeedSequence((seed, block)).generate_state(1, np.uint64)[0])
