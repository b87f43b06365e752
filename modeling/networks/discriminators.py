"""The dual discriminators (sections 3.6 and 3.7): D_S scores single frames, D_T whole clips.

Shapes: B batch, K sampled frames, T time, N batch with frames or slices folded in, n scores of a clip, C channels,
H and W height and width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import Config
from modeling.networks.blocks import ResidualBlock, SelfAttention
from modeling.networks.spectral_norm import add_spectral_norm
from modeling.transfer import to_device

VOLUMETRIC_BLOCKS = 2  # D_T's blocks with 3-D convolutions


class Picks(NamedTuple):
    """What was drawn of each clip for the discriminators to look at."""

    frames: Tensor  # (B, K) indices, for those that see single frames
    start: Tensor  #  (B,) first frame of the temporal crop (trivdgan)


class Discriminator(nn.Module, ABC):
    """A network that scores clips, or what its view takes of them.

    `per_frame`: a sample of the gradient penalty is a frame, with a score of its own; else it is the whole clip, with
    the mean of its scores.
    """

    per_frame: bool

    @abstractmethod
    def view(self, video_BT3HW: Tensor, picks: Picks) -> Tensor:
        """What it sees of clips: frames (B, K, 3, h, w) or clips (B, t, 3, h, w)."""

    @abstractmethod
    def forward(self, view: Tensor, condition_B3HW: Tensor | None = None) -> Tensor:
        """Scores (B, K) of frames or (B, n) of clips; `condition_B3HW`: the last frame that the generator is given."""


def picked(video_BT3HW: Tensor, indices_BK: Tensor) -> Tensor:
    """Frames (B, K, 3, H, W) of each clip at its own indices (B, K)."""
    rows_B1 = torch.arange(len(video_BT3HW), device=video_BT3HW.device)[:, None]
    return video_BT3HW[rows_B1, to_device(indices_BK, video_BT3HW.device)]


def half_size(video_BT3HW: Tensor) -> Tensor:
    """Each frame averaged over 2x2 pixels (Eq. 3.14)."""
    return F.avg_pool3d(video_BT3HW, (1, 2, 2))


class _ResidualDiscriminator(Discriminator):
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


class SpatialDiscriminator(_ResidualDiscriminator):
    """D_S: a score a frame; each frame is seen beside the input frame where `conditional`.

    Under TriVD-GAN's decompositions (Fig. 3.8) it sees frames of half the size.
    """

    per_frame = True

    def __init__(self, config: Config) -> None:
        options = config.d_s
        super().__init__(
            6 if options.conditional else 3,
            [width * options.ch for width in options.widths],
            attention=options.attention,
            volumetric=0,
        )
        self.conditional, self.halved = options.conditional, config.decomposition.startswith("trivdgan")
        if options.spectral_norm:
            add_spectral_norm(self)

    def view(self, video_BT3HW: Tensor, picks: Picks) -> Tensor:
        frames_BK3HW = picked(video_BT3HW, picks.frames)
        return half_size(frames_BK3HW) if self.halved else frames_BK3HW

    def forward(self, view: Tensor, condition_B3HW: Tensor | None = None) -> Tensor:
        frames_BK3HW = view
        B, K = frames_BK3HW.shape[:2]
        x_BKCHW = frames_BK3HW
        if self.conditional:
            if condition_B3HW is None:
                raise ValueError("a conditional D_S needs the input frames")
            if self.halved:
                condition_B3HW = F.avg_pool2d(condition_B3HW, 2)
            x_BKCHW = torch.cat((frames_BK3HW, condition_B3HW[:, None].expand(-1, K, -1, -1, -1)), dim=2)
        x = x_BKCHW.flatten(0, 1)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 1 and self.attention is not None:
                x = self.attention(x)
        return self._scores(x).reshape(B, K)


class TemporalDiscriminator(_ResidualDiscriminator):
    """D_T: a score for each of the clip's slices; its first two blocks halve T, H and W with 3-D convolutions.

    Under TriVD-GAN's decompositions it sees half of the clip's length at half its size, and D_V (`whole`), of the same
    sizes, the whole clip at half its size (Fig. 3.8).
    """

    per_frame = False

    def __init__(self, config: Config, *, whole: bool = False) -> None:
        options = config.d_t
        super().__init__(
            3,
            [width * options.ch for width in options.widths],
            attention=options.attention,
            volumetric=VOLUMETRIC_BLOCKS,
        )
        self.pool, self.halved = options.pool, config.decomposition.startswith("trivdgan")
        self.length = config.crop_frames if self.halved and not whole else None
        if options.spectral_norm:
            add_spectral_norm(self)

    def view(self, video_BT3HW: Tensor, picks: Picks) -> Tensor:
        if self.length is not None:
            video_BT3HW = picked(video_BT3HW, picks.start[:, None] + torch.arange(self.length))
        return half_size(video_BT3HW) if self.halved else video_BT3HW

    def forward(self, view: Tensor, condition_B3HW: Tensor | None = None) -> Tensor:
        """Scores (B, t // 2 // 2) of clips (B, t, 3, h, w); their mean is the clip's score."""
        x = view.transpose(1, 2)
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
