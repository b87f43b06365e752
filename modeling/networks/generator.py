"""The thesis's generator (section 3.5, Fig. 3.7): encoder, style head, decoder of recurrent cells and style blocks.

Shapes: B clips, T time, N = B*T frames, clip after clip, C channels, H and W height and width, S length of the style
vector. The decoder works level by level: all time steps of a level's cell first, then up-sampling and style blocks once
with T folded into the batch. Activations are in the channels-last layout.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import LOWEST_RESOLUTION, Config, GeneratorConfig
from modeling.networks.blocks import ResidualBlock
from modeling.networks.cells import CellStack
from modeling.networks.noise import NoiseStream
from modeling.networks.style import StyleBlock, ToRGB
from modeling.seeding import seeded

Noise = Sequence[int | torch.Generator]
States = list[list[Tensor]]  # a level's cells' hidden states, (B, C, H, W), for each level

STYLE_HEAD_WIDTHS = (8, 4)  # section 3.7


class Encoder(nn.Module):
    """3x3 stem, then one halving block a level; puts out the first hidden state of every level, lowest first."""

    def __init__(self, inputs: list[int], stem: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, stem, 3, padding=1)
        outputs = inputs[::-1]
        self.blocks = nn.ModuleList(
            ResidualBlock(before, out) for before, out in zip([stem, *outputs], outputs, strict=False)
        )

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        x, features = self.stem(image_B3HW), []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        return features[::-1]


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
        self.cell = CellStack(config.cell, channels, config.layers)
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


class StyleGenerator(nn.Module):
    """One image in, a video that starts with it out."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        options = config.generator
        outputs = [width * options.ch for width in options.widths]
        inputs = [outputs[0], *outputs[:-1]]
        self.resolution, self.frames = config.resolution, config.frames
        self.encoder = Encoder(inputs, stem=outputs[-1])
        self.style_head = StyleHead(inputs[0], options)
        self.decoder = Decoder(inputs, outputs, options)

    def forward(self, image_B3HW: Tensor, frames: int | None = None, noise: Noise | None = None) -> Tensor:
        """Video (B, T, 3, H, W) in [-1, 1] from images (B, 3, H, W) in [-1, 1]; its frame 0 is the image itself.

        `frames` counts frame 0 (default: the configuration's T). `noise` is a seed or a `torch.Generator` for each
        sample; None switches the style blocks' noise off.
        """
        states, style_BS = self._encode(image_B3HW)
        steps = self._steps(frames)
        video_BT3HW, _ = self.decoder(states, style_BS, steps, self._noise_stream(noise, image_B3HW))
        return torch.cat((image_B3HW[:, None], video_BT3HW), dim=1)

    @torch.no_grad()
    def stream(
        self, image_B3HW: Tensor, frames: int | None = None, noise: Noise | None = None, group: int = 8
    ) -> Iterator[Tensor]:
        """What `forward` gives, in pieces (B, t, 3, H, W) of at most `group` frames: memory does not grow with T."""
        states, style_BS = self._encode(image_B3HW)
        left, stream = self._steps(frames), self._noise_stream(noise, image_B3HW)
        yield image_B3HW[:, None]
        while left > 0:
            steps = min(group, left)
            video_BT3HW, states = self.decoder(states, style_BS, steps, stream)
            yield video_BT3HW
            left -= steps

    def generate(
        self, image_B3HW: Tensor, frames: int | None = None, noise: Noise | None = None, group: int = 8
    ) -> Tensor:
        """`forward` for inference: the same video, without a graph, computed `group` frames at a time."""
        return torch.cat(list(self.stream(image_B3HW, frames, noise, group)), dim=1)

    def _encode(self, image_B3HW: Tensor) -> tuple[States, Tensor]:
        side = self.resolution
        if image_B3HW.dim() != 4 or tuple(image_B3HW.shape[1:]) != (3, side, side):
            raise ValueError(f"images must be (B, 3, {side}, {side}), not {tuple(image_B3HW.shape)}")
        features = self.encoder(image_B3HW.contiguous(memory_format=torch.channels_last))
        levels = cast(list[DecoderLevel], list(self.decoder.levels))
        states = [level.cell.initial(feature) for level, feature in zip(levels, features, strict=True)]
        return states, self.style_head(features[0])

    def _steps(self, frames: int | None) -> int:
        total = self.frames if frames is None else frames
        if total < 2:
            raise ValueError(f"frames counts the input frame and must be 2 or more, not {total}")
        return total - 1

    def _noise_stream(self, noise: Noise | None, image_B3HW: Tensor) -> NoiseStream | None:
        if noise is None:
            return None
        if len(noise) != len(image_B3HW):
            raise ValueError(f"noise needs one entry a sample: {len(image_B3HW)}, not {len(noise)}")
        return NoiseStream(noise)


GENERATORS: dict[str, type[StyleGenerator]] = {"style": StyleGenerator}


def build_generator(config: Config) -> StyleGenerator:
    """The generator that `config.generator.kind` names, its initial weights drawn from the configuration's seed."""
    with seeded(config.training.seed, "generator"):
        return GENERATORS[config.generator.kind](config)
