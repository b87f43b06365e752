"""MoCoGAN (Tulyakov 2018): a content code a clip, a motion code a frame, a DCGAN that draws each frame from both.

The content code is our encoder's (`ClipCode`), so that an image can be given. Shapes: B clips, T time, N = B*T frames,
clip after clip, C channels, H and W height and width, S length of the content code, M of the motion code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import LOWEST_RESOLUTION, Config
from modeling.networks.batch_norm import BatchNorm
from modeling.networks.encoder import ClipCode
from modeling.networks.interface import Generator, Parts
from modeling.networks.noise import MOTION, MOTION_START, NoiseStream, drawn

MOTION_DIM = 10  # of a motion code and of the noise that drives it, as published


class ImageGenerator(nn.Module):
    """DCGAN's: transposed 4x4 convolutions, batch norm, ReLU, from a code to 4x4 and doubling up to RGB and tanh.

    `widths[l]` is the width at 4 * 2**l pixels; a last convolution makes RGB at twice that of the last one.
    """

    def __init__(self, code: int, widths: list[int]) -> None:
        super().__init__()
        self.first = nn.ConvTranspose2d(code, widths[0], LOWEST_RESOLUTION, bias=False)
        outputs = [*widths[1:], 3]
        self.norms = nn.ModuleList(BatchNorm(width) for width in widths)
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(before, out, 4, stride=2, padding=1, bias=out == 3)
            for before, out in zip(widths, outputs, strict=True)
        )

    def forward(self, code_NS: Tensor) -> Tensor:
        """Frames (N, 3, H, W) in [-1, 1]."""
        x: Tensor = self.first(code_NS[:, :, None, None]).contiguous(memory_format=torch.channels_last)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(F.relu(norm(x)))
        return torch.tanh(x)


class MoCoGANState(NamedTuple):
    """Between two frames: the clip's content, and the motion code that the recurrent network is at."""

    content: Tensor  # (B, S)
    motion: Tensor  #  (B, M)
    noise: NoiseStream | None


class MoCoGAN(Generator):
    """Content from the context frames (`style_dim` long), motion from a GRU over noise that is new at each frame.

    The GRU starts from N(0, I), as in the authors' code.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        options = config.generator
        self.content = ClipCode(options)
        self.motion = nn.GRUCell(MOTION_DIM, MOTION_DIM)
        self.image = ImageGenerator(options.style_dim + MOTION_DIM, [width * options.ch for width in options.widths])

    def begin(self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None) -> MoCoGANState:
        start_BM = drawn(noise, MOTION_START, (MOTION_DIM,), context_BK3HW)
        return MoCoGANState(self.content(context_BK3HW, noise), start_BM, noise)

    def advance(self, state: MoCoGANState, steps: int) -> tuple[Tensor, MoCoGANState]:
        content_BS, motion_BM, noise = state
        codes = []
        for _ in range(steps):
            # Drawn a frame at a time: a longer draw would not begin with the values of a shorter one.
            motion_BM = self.motion(drawn(noise, MOTION, (MOTION_DIM,), content_BS), motion_BM)
            codes.append(torch.cat((content_BS, motion_BM), dim=1))
        frames_N3HW: Tensor = self.image(torch.stack(codes, dim=1).flatten(0, 1))
        return frames_N3HW.reshape(len(content_BS), steps, *frames_N3HW.shape[1:]), state._replace(motion=motion_BM)

    def parts(self) -> Parts:
        return {"content": self.content, "motion": self.motion, "image": self.image}
