"""First hidden states of the feature pyramid: from an image by the encoder (section 3.5), or from a latent.

Shapes: B clips, k context frames, C channels, H and W height and width, M mask classes, Z length of the latent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import LOWEST_RESOLUTION
from modeling.networks.blocks import ResidualBlock
from modeling.networks.noise import LATENT, NoiseStream, drawn
from modeling.options.generator import GeneratorConfig


def given_channels(context_BK3HW: Tensor, mask_BMHW: Tensor | None) -> Tensor:
    """What the encoder reads, (B, 3k + M, H, W): the context frames and the mask on channels, channels last."""
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


class ClipCode(nn.Module):
    """One code a clip for generators without a pyramid: the encoder's lowest feature, flattened, through a Linear.

    Where the generator has a latent, z goes through a Linear and is added; without context frames that is all.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        outputs = [width * config.ch for width in config.widths]
        given, side = 3 * config.context_frames + config.mask_classes, LOWEST_RESOLUTION
        self.latent = config.latent
        self.encoder, self.linear, self.latent_linear = None, None, None
        if given:
            inputs, norm = [outputs[0], *outputs[:-1]], config.encoder_norm == "batch"
            self.encoder = Encoder(inputs, stem=outputs[-1], channels=given, batch_norm=norm)
            self.linear = nn.Linear(inputs[0] * side * side, config.style_dim)
        if config.latent:
            self.latent_linear = nn.Linear(config.latent, config.style_dim)

    def forward(self, context_BK3HW: Tensor, noise: NoiseStream | None) -> Tensor:
        """(B, style_dim)."""
        codes = []
        if self.encoder is not None and self.linear is not None:
            lowest_BC44 = self.encoder(given_channels(context_BK3HW, None))[0]
            codes.append(self.linear(lowest_BC44.flatten(1)))
        if self.latent_linear is not None:
            codes.append(self.latent_linear(drawn(noise, LATENT, (self.latent,), context_BK3HW)))
        return torch.stack(codes).sum(dim=0)


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
