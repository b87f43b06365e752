"""The dual discriminators (sections 3.6 and 3.7): D_S scores single frames, D_T whole clips.

Shapes: B batch, K sampled frames, T time, N batch with frames or slices folded in, C channels, H and W height and
width.
"""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import Config
from modeling.networks.blocks import ResidualBlock, SelfAttention, add_spectral_norm, rest_spectral_norm
from modeling.seeding import seeded

VOLUMETRIC_BLOCKS = 2  # D_T's blocks with 3-D convolutions


class _Discriminator(nn.Module):
    """What both share: blocks with attention after the second, then ReLU, spatial sum and a Linear to one score."""

    def __init__(self, channels: int, widths: list[int], *, attention: bool, volumetric: int) -> None:
        super().__init__()
        inputs = [channels, *widths[:-1]]
        self.blocks = nn.ModuleList(
            ResidualBlock(
                before,
                out,
                dims=3 if index < volumetric else 2,
                leading_relu=index > 0,
                halve=index < len(widths) - 1,
            )
            for index, (before, out) in enumerate(zip(inputs, widths, strict=True))
        )
        self.attention = SelfAttention(widths[1]) if attention and len(widths) > 1 else None
        self.linear = nn.Linear(widths[-1], 1)

    def _scores(self, x_NCHW: Tensor) -> Tensor:
        """ReLU, sum over positions, Linear: (N, C, H, W) -> (N,)."""
        score: Tensor = self.linear(F.relu(x_NCHW).sum(dim=(2, 3)))
        return score[:, 0]

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        rest_spectral_norm(self)
        return self


class SpatialDiscriminator(_Discriminator):
    """D_S: a score a frame; each frame is seen beside the input frame where `conditional`."""

    def __init__(self, config: Config) -> None:
        options = config.d_s
        super().__init__(
            6 if options.conditional else 3,
            [width * options.ch for width in options.widths],
            attention=options.attention,
            volumetric=0,
        )
        self.conditional = options.conditional
        if options.spectral_norm:
            add_spectral_norm(self)

    def forward(self, frames_BK3HW: Tensor, condition_B3HW: Tensor) -> Tensor:
        """Scores (B, K) of frames (B, K, 3, H, W) beside the input frames (B, 3, H, W)."""
        B, K = frames_BK3HW.shape[:2]
        x_BKCHW = frames_BK3HW
        if self.conditional:
            x_BKCHW = torch.cat((frames_BK3HW, condition_B3HW[:, None].expand(-1, K, -1, -1, -1)), dim=2)
        x = x_BKCHW.flatten(0, 1)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 1 and self.attention is not None:
                x = self.attention(x)
        return self._scores(x).reshape(B, K)


class TemporalDiscriminator(_Discriminator):
    """D_T: a score for each of the clip's slices; its first two blocks halve T, H and W with 3-D convolutions."""

    def __init__(self, config: Config) -> None:
        options = config.d_t
        super().__init__(
            3,
            [width * options.ch for width in options.widths],
            attention=options.attention,
            volumetric=VOLUMETRIC_BLOCKS,
        )
        self.pool = options.pool
        if options.spectral_norm:
            add_spectral_norm(self)

    def forward(self, video_BT3HW: Tensor) -> Tensor:
        """Scores (B, T // 2 // 2) of clips (B, T, 3, H, W); their mean is the clip's score."""
        x = video_BT3HW.transpose(1, 2)
        if self.pool > 1:
            x = F.avg_pool3d(x, (1, self.pool, self.pool))  # Eq. 3.14's down-sampling
        for block in self.blocks[:VOLUMETRIC_BLOCKS]:
            x = block(x)
        B, slices = x.shape[0], x.shape[2]
        x = x.transpose(1, 2).flatten(0, 1)
        if self.attention is not None:
            x = self.attention(x)
        for block in self.blocks[VOLUMETRIC_BLOCKS:]:
            x = block(x)
        return self._scores(x).reshape(B, slices)


def build_discriminators(config: Config) -> tuple[SpatialDiscriminator, TemporalDiscriminator]:
    """(D_S, D_T), their initial weights drawn from the configuration's seed."""
    with seeded(config.training.seed, "d_s"):
        d_s = SpatialDiscriminator(config)
    with seeded(config.training.seed, "d_t"):
        d_t = TemporalDiscriminator(config)
    return d_s, d_t
