"""The thesis's generator (section 3.5, Fig. 3.7): encoder, style head, decoder of recurrent cells and style blocks.

Shapes: B clips, T time, N = B*T frames, clip after clip, C channels, H and W height and width, S length of the style
vector. The decoder works level by level: all time steps of a level's cell first, then up-sampling and style blocks once
with T folded into the batch. Activations are in the channels-last layout.
"""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import LOWEST_RESOLUTION, Config, GeneratorConfig
from modeling.networks.blocks import ResidualBlock
from modeling.networks.cells import CellStack
from modeling.networks.encoder import Encoder
from modeling.networks.interface import Generator, Parts
from modeling.networks.noise import NoiseStream
from modeling.networks.style import StyleBlock, ToRGB
from modeling.seeding import seeded

States = list[list[Tensor]]  # a level's cells' hidden states, (B, C, H, W), for each level

STYLE_HEAD_WIDTHS = (8, 4)  # section 3.7


class StyleHead(nn.Module):
    """The lowest feature to a clip's style vector: two halving blocks, 4 -> 2 -> 1 px, and one Linear."""

    def __init__(self, channels: int, config: GeneratorConfig) -> None:
        super().__init__()
        first, second = (width * config.ch for width in STYLE_HEAD_WIDTHS)
        self.blocks = nn.Sequential(ResidualBlock(channels, first), ResidualBlock(first, second))
        self.linear = nn.Linear(second, config.style_dim)
        self.activation = config.style_activation

    def forward(self, feature_BC44: Tensor) -> Tensor:
        style: Tensor = self.linear(self.blocks(feature_BC44).flatten(1))
        return torch.sigmoid(style) if self.activation == "sigmoid" else style


class DecoderLevel(nn.Module):
    """Recurrent cell, x2 bilinear up-sampling, two style blocks."""

    def __init__(self, channels: int, out: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.cell = CellStack(channels, config)
        self.style1 = StyleBlock(channels, channels, config.style_dim, noise=config.noise)
        self.style2 = StyleBlock(channels, out, config.style_dim, noise=config.noise)

    def forward(
        self, x_NCHW: Tensor, states: list[Tensor], style_BS: Tensor, steps: int, noise: NoiseStream | None, index: int
    ) -> tuple[Tensor, list[Tensor]]:
        h_NCHW, states = self.cell(x_NCHW, states, steps)
        x = F.interpolate(h_NCHW, scale_factor=2.0, mode="bilinear", align_corners=False)
        height, width = x.shape[-2:]
        for number, block in enumerate((self.style1, self.style2)):
            maps = None if noise is None else noise.next_maps(2 * index + number, steps, height, width, like=x)
            x = block(x, style_BS, maps)
        return x, states


class Decoder(nn.Module):
    """Levels from 4x4 upwards, then RGB. The lowest level's input is a learned constant, the same at each step."""

    def __init__(self, inputs: list[int], outputs: list[int], config: GeneratorConfig) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(inputs[0], LOWEST_RESOLUTION, LOWEST_RESOLUTION))
        self.levels = nn.ModuleList(
            DecoderLevel(channels, out, config) for channels, out in zip(inputs, outputs, strict=True)
        )
        self.to_rgb = ToRGB(outputs[-1], config.style_dim, config.to_rgb_kernel)

    def forward(self, states: States, style_BS: Tensor, steps: int, noise: NoiseStream | None) -> tuple[Tensor, States]:
        """The next `steps` frames (B, T, 3, H, W), and the hidden states to go on from."""
        B = len(style_BS)
        x = self.constant.expand(B, -1, -1, -1)
        after = []
        for index, (level, level_states) in enumerate(zip(self.levels, states, strict=True)):
            x, level_states = level(x, level_states, style_BS, steps, noise, index)
            after.append(level_states)
        rgb: Tensor = self.to_rgb(x, style_BS)
        return rgb.reshape(B, steps, *rgb.shape[1:]), after


class StyleState(NamedTuple):
    """Between two frames: the cells' hidden states, the clip's style, and its noise."""

    hidden: States
    style: Tensor  # (B, S)
    noise: NoiseStream | None


class StyleGenerator(Generator):
    """The thesis's own (Fig. 3.7): one style vector a clip, style blocks in every level."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        options = config.generator
        outputs = [width * options.ch for width in options.widths]
        inputs = [outputs[0], *outputs[:-1]]
        self.encoder = Encoder(inputs, stem=outputs[-1])
        self.style_head = StyleHead(inputs[0], options)
        self.decoder = Decoder(inputs, outputs, options)

    def begin(self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None) -> StyleState:
        features = self.encoder(context_BK3HW.flatten(1, 2).contiguous(memory_format=torch.channels_last))
        levels = cast(list[DecoderLevel], list(self.decoder.levels))
        hidden = [level.cell.initial(feature) for level, feature in zip(levels, features, strict=True)]
        return StyleState(hidden, self.style_head(features[0]), noise)

    def advance(self, state: StyleState, steps: int) -> tuple[Tensor, StyleState]:
        video_BT3HW, hidden = self.decoder(state.hidden, state.style, steps, state.noise)
        return video_BT3HW, state._replace(hidden=hidden)

    def parts(self) -> Parts:
        levels = {f"level_{index}": level for index, level in enumerate(self.decoder.levels)}
        return {
            "encoder": self.encoder,
            "style_blocks": self.style_head.blocks,
            "style_linear": self.style_head.linear,
            "decoder": self.decoder,
            "decoder_parts": {"constant": self.decoder.constant, **levels, "to_rgb": self.decoder.to_rgb},
        }


GENERATORS: dict[str, type[Generator]] = {"style": StyleGenerator}


def build_generator(config: Config) -> Generator:
    """The generator that `config.generator.kind` names, its initial weights drawn from the configuration's seed."""
    with seeded(config.training.seed, "generator"):
        return GENERATORS[config.generator.kind](config)
