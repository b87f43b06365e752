"""The decoder of the `style` generator (Fig. 3.7): levels of a recurrent cell, up-sampling and two style blocks.

Shapes: B clips, T time, N = B*T frames, clip after clip, C channels, H and W height and width, S length of the style
vector. It works level by level: all time steps of a level's cell first, then up-sampling and style blocks once with T
folded into the batch. Activations are in the channels-last layout.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from modeling.config import LOWEST_RESOLUTION, GeneratorConfig
from modeling.networks.cells import CellStack
from modeling.networks.noise import NoiseStream
from modeling.networks.style import BLOCKS, ToRGB

States = list[list[Tensor]]  # a level's cells' hidden states, (B, C, H, W), for each level

LOW_PASS = (1.0, 3.0, 3.0, 1.0)  # StyleGAN2's filter, times 1/8 in each direction


def upsampled(x_NCHW: Tensor) -> Tensor:
    """Twice the height and width, bilinear."""
    return F.interpolate(x_NCHW, scale_factor=2.0, mode="bilinear", align_corners=False)


def upsampled_and_blurred(x_NCHW: Tensor) -> Tensor:
    """Twice the height and width, bilinear, then [1, 3, 3, 1] / 8 in each direction (StyleGAN2's `blur`).

    A filter of even length puts its output between its inputs. So the bilinear samples are taken at the corners of the
    new pixels, and the filter brings them to the pixels' centres: nothing is shifted. Edges are repeated outwards.
    """
    C, H, W = x_NCHW.shape[1:]
    padded = F.pad(x_NCHW, (1, 1, 1, 1), mode="replicate")
    corners = F.interpolate(padded, size=(2 * H + 3, 2 * W + 3), mode="bilinear", align_corners=True)
    line = torch.tensor(LOW_PASS, dtype=x_NCHW.dtype, device=x_NCHW.device) / sum(LOW_PASS)
    return F.conv2d(corners, torch.outer(line, line).expand(C, 1, -1, -1), groups=C)


class DecoderLevel(nn.Module):
    """Recurrent cell, x2 up-sampling, two style blocks."""

    def __init__(self, channels: int, out: int, config: GeneratorConfig) -> None:
        super().__init__()
        block = BLOCKS[config.block]
        self.cell = CellStack(channels, config)
        self.style1 = block(channels, channels, config.style_dim, noise=config.noise)
        self.style2 = block(channels, out, config.style_dim, noise=config.noise)
        self.upsample = upsampled_and_blurred if config.blur else upsampled

    def forward(
        self, x_NCHW: Tensor, states: list[Tensor], style_BS: Tensor, steps: int, noise_N1HW: list[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """The level's frames (B*steps, out, 2H, 2W) and its cells' last states. `noise_N1HW`: maps of both blocks."""
        h_NCHW, states = self.cell(x_NCHW, states, steps)
        x = self.upsample(h_NCHW)
        for block, maps in zip((self.style1, self.style2), noise_N1HW, strict=True):
            x = block(x, style_BS, maps)
        return x, states


class Decoder(nn.Module):
    """Levels from 4x4 upwards, then RGB. The lowest level's input is a constant, the same at each step.

    With `recompute` a level keeps its inputs alone for the backward pass and computes the rest again there: the same
    values, since its noise is among the inputs.
    """

    def __init__(self, inputs: list[int], outputs: list[int], config: GeneratorConfig, *, recompute: bool) -> None:
        super().__init__()
        self.constant = nn.Parameter(torch.randn(inputs[0], LOWEST_RESOLUTION, LOWEST_RESOLUTION))
        self.levels = nn.ModuleList(
            DecoderLevel(channels, out, config) for channels, out in zip(inputs, outputs, strict=True)
        )
        self.to_rgb = ToRGB(outputs[-1], config.style_dim, config.to_rgb_kernel)
        self.noise, self.recompute = config.noise, recompute

    def forward(
        self, first_BCHW: Tensor, states: States, styles: list[Tensor], steps: int, noise: NoiseStream | None
    ) -> tuple[Tensor, States]:
        """The next `steps` frames (B, T, 3, H, W), and the hidden states to go on from.

        `first_BCHW`: the lowest level's input. `styles`: (B, S) a level; RGB takes the last level's.
        """
        B = len(first_BCHW)
        x, after = first_BCHW, []
        recompute = self.recompute and torch.is_grad_enabled()
        for index, (level, level_states, style_BS) in enumerate(zip(self.levels, states, styles, strict=True)):
            arguments = (x, level_states, style_BS, steps, self._maps(index, steps, noise, like=x))
            if recompute:
                x, level_states = checkpoint(level, *arguments, use_reentrant=False, preserve_rng_state=False)
            else:
                x, level_states = level(*arguments)
            after.append(level_states)
        rgb: Tensor = self.to_rgb(x, styles[-1])
        return rgb.reshape(B, steps, *rgb.shape[1:]), after

    def _maps(self, index: int, steps: int, noise: NoiseStream | None, like: Tensor) -> list[Tensor | None]:
        """The noise of a level's two blocks, (B*steps, 1, H, W) each; None where there is none."""
        if noise is None or not self.noise:
            return [None, None]
        side = 2 * like.shape[-1]
        return [noise.next_maps(2 * index + number, steps, side, side, like) for number in range(2)]
