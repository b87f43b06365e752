"""DVD-GAN-S (section 3.10): the thesis's baseline, DVD-GAN (Clark 2019) scaled down to one GPU.

The feature pyramid and the encoder of the `style` generator, with the BigGAN's residual blocks (Fig. 3.3) in the place
of style blocks. The decoder works level by level, with T folded into the batch, in the channels-last layout.

Shapes: B clips, T time, N = B*T frames, clip after clip, C channels, H and W height and width, Z length of the latent.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import LOWEST_RESOLUTION, Config, GeneratorConfig
from modeling.networks.batch_norm import BatchNorm
from modeling.networks.cells import CellStack
from modeling.networks.convolution import Conv
from modeling.networks.encoder import Encoder, LatentFeatures, given_channels
from modeling.networks.interface import Generator, Parts
from modeling.networks.noise import FIRST_INPUT, LATENT, NoiseStream, drawn
from modeling.networks.spectral_norm import add_spectral_norm

States = list[list[Tensor]]  # a level's cells' hidden states, (B, C, H, W), for each level


class GResNetBlock(nn.Module):
    """BN-ReLU-double-conv3-BN-ReLU-conv3 beside double-conv1, summed (Fig. 3.3); doubling is bilinear and optional."""

    def __init__(self, channels: int, out: int, *, double: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = BatchNorm(channels), BatchNorm(out)
        self.conv1 = Conv(2, channels, out, 3)
        self.conv2 = Conv(2, out, out, 3)
        self.skip = Conv(2, channels, out, 1)
        self.doubles = double

    def forward(self, x_NCHW: Tensor) -> Tensor:
        y = F.relu(self.norm1(x_NCHW))
        y = self.conv1(_doubled(y) if self.doubles else y)
        y = self.conv2(F.relu(self.norm2(y)))
        # A 1x1 convolution and the interpolation commute: convolving first costs a quarter.
        skip: Tensor = self.skip(x_NCHW)
        out: Tensor = y + (_doubled(skip) if self.doubles else skip)
        return out


def _doubled(x_NCHW: Tensor) -> Tensor:
    return F.interpolate(x_NCHW, scale_factor=2.0, mode="bilinear", align_corners=False)


class DVDGANLevel(nn.Module):
    """Recurrent cell, then two GResNet blocks, of which the first doubles the resolution; their weights normalised."""

    def __init__(self, channels: int, out: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.cell = CellStack(channels, config)
        self.block1 = GResNetBlock(channels, channels, double=True)
        self.block2 = GResNetBlock(channels, out, double=False)
        for block in (self.block1, self.block2):
            add_spectral_norm(block)

    def forward(self, x_NCHW: Tensor, states: list[Tensor], steps: int) -> tuple[Tensor, list[Tensor]]:
        h_NCHW, states = self.cell(x_NCHW, states, steps)
        x: Tensor = self.block2(self.block1(h_NCHW))
        return x, states


class DVDGANDecoder(nn.Module):
    """Levels from 4x4 upwards, then ReLU, a 3x3 convolution to RGB, tanh."""

    def __init__(self, inputs: list[int], outputs: list[int], config: GeneratorConfig) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            DVDGANLevel(channels, out, config) for channels, out in zip(inputs, outputs, strict=True)
        )
        self.to_rgb = nn.Conv2d(outputs[-1], 3, 3, padding=1)

    def forward(self, first_BC44: Tensor, states: States, steps: int) -> tuple[Tensor, States]:
        """The next `steps` frames (B, T, 3, H, W), and the hidden states to go on from."""
        x, after = first_BC44, []
        for level, level_states in zip(self.levels, states, strict=True):
            x, level_states = level(x, level_states, steps)
            after.append(level_states)
        rgb = torch.tanh(self.to_rgb(F.relu(x)))
        return rgb.reshape(len(first_BC44), steps, *rgb.shape[1:]), after


class DVDGANState(NamedTuple):
    """Between two frames: the cells' hidden states, and the lowest cell's input, the same at each step."""

    hidden: States
    first: Tensor  # (B, C, 4, 4)


class DVDGANSmall(Generator):
    """DVD-GAN-S: an image's features begin the cells, a Gaussian map is the lowest cell's input.

    Where the generator has a latent, z goes through a Linear and is added to that map. Without context frames the
    cells begin from the latent (`LatentFeatures`). Batch norm is in the encoder too, spectral norm in the decoder's
    blocks alone.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        options = config.generator
        outputs = [width * options.ch for width in options.widths]
        inputs = [outputs[0], *outputs[:-1]]
        self.latent = options.latent
        self.first_shape = (inputs[0], LOWEST_RESOLUTION, LOWEST_RESOLUTION)
        given = 3 * options.context_frames + options.mask_classes
        self.encoder = Encoder(inputs, stem=outputs[-1], channels=given, batch_norm=True) if given else None
        self.latent_features = None if given else LatentFeatures(inputs, options.latent)
        self.latent_input = nn.Linear(options.latent, inputs[0] * LOWEST_RESOLUTION**2) if options.latent else None
        self.decoder = DVDGANDecoder(inputs, outputs, options)

    def begin(self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None) -> DVDGANState:
        first_BC44 = drawn(noise, FIRST_INPUT, self.first_shape, context_BK3HW)
        z_BZ = drawn(noise, LATENT, (self.latent,), context_BK3HW) if self.latent else None
        if self.latent_input is not None:
            first_BC44 = first_BC44 + self.latent_input(z_BZ).reshape(first_BC44.shape)
        if self.latent_features is not None:
            features = self.latent_features(z_BZ)
        else:
            features = cast(Encoder, self.encoder)(given_channels(context_BK3HW, mask_BMHW))
        levels = cast(list[DVDGANLevel], list(self.decoder.levels))
        hidden = [level.cell.initial(feature) for level, feature in zip(levels, features, strict=True)]
        return DVDGANState(hidden, first_BC44)

    def advance(self, state: DVDGANState, steps: int) -> tuple[Tensor, DVDGANState]:
        video_BT3HW, hidden = self.decoder(state.first, state.hidden, steps)
        return video_BT3HW, state._replace(hidden=hidden)

    def parts(self) -> Parts:
        optional = {"encoder": self.encoder, "latent_features": self.latent_features, "latent_input": self.latent_input}
        levels = {f"level_{index}": level for index, level in enumerate(self.decoder.levels)}
        return {
            **{name: part for name, part in optional.items() if part is not None},
            "decoder": self.decoder,
            "decoder_parts": {**levels, "to_rgb": self.decoder.to_rgb},
        }
