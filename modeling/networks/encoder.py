"""First hidden states of the feature pyramid: from an image by the encoder (section 3.5), or from a latent.

Shapes: B clips, k context frames, C channels, H and W height and width, M mask classes, Z length of the latent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import LOWEST_RESOLUTION
from modeling.networks.blocks import ResidualBlock


def given_channels(context_BK3HW: Tensor, mask_BMHW: Tensor | None) -> Tensor:
    """What the encoder reads, (B, 3k + M, H, W): the context frames and the mask on channels, in channels-last layout."""
    x_BCHW = context_BK3HW.flatten(1, 2)
    if mask_BMHW is not None:
        x_BCHW = torch.cat((x_BCHW, mask_BMHW.to(x_BCHW.dtype)), dim=1)
    return x_BCHW.contiguous(memory_format=torch.channels_last)


class Encoder(nn.Module):
    """3x3 stem, then one halving block a level; puts out the first hidden state of every level, lowest first.

    `channels`: of what it reads, 3 a context frame and one a mask class.
    """

    def __init__(self, inputs: list[int], stem: int, *, channels: int = 3, batch_norm: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, stem, 3, padding=1)
        outputs = inputs[::-1]
        self.blocks = nn.ModuleList(
            ResidualBlock(before, out, batch_norm=batch_norm)
            for before, out in zip([stem, *outputs], outputs, strict=False)
        )

    def forward(self, image_BCHW: Tensor) -> list[Tensor]:
        """Features (B, inputs[l], 4 * 2**l, 4 * 2**l) of every level l."""
        x, features = self.stem(image_BCHW), []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return features[::-1]


class LatentFeatures(nn.Module):
    """The encoder's stand-in where nothing is given (context_frames = 0): z ~ N(0, I) to each level's hidden state.

    A Linear a level to a 4x4 map, which is brought to the level's size bilinearly.
    """

    def __init__(self, inputs: list[int], latent: int) -> None:
        super().__init__()
        side = LOWEST_RESOLUTION
        self.linears = nn.ModuleList(nn.Linear(latent, channels * side * side) for channels in inputs)

    def forward(self, z_BZ: Tensor) -> list[Tensor]:
        """Features (B, inputs[l], 4 * 2**l, 4 * 2**l) of every level l."""
        side = LOWEST_RESOLUTION
        maps = [linear(z_BZ).reshape(len(z_BZ), -1, side, side) for linear in self.linears]
        return [
            F.interpolate(x, scale_factor=2.0**level, mode="bilinear", align_corners=False) if level else x
            for level, x in enumerate(maps)
        ]
