"""TGAN (Saito 2017): a temporal generator makes a latent a frame from one code, an image generator a frame from each.

The code is our encoder's (`ClipCode`), so that an image can be given. Shapes: B clips, T time, N = B*T frames, clip
after clip, C channels, H and W height and width, S length of the code and of a latent, P latents of a block.
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
from modeling.networks.noise import MOTION, NoiseStream, drawn

LONGEST, SHORTEST = 16, 4  # widths of the temporal generator, times `ch`: 512, 256, 128, 128 at the published ch = 32


class TemporalGenerator(nn.Module):
    """1-D transposed convolutions, batch norm, ReLU, from one time step to `doublings` times twice as many, tanh.

    The one step of the first map goes without batch norm: over a micro-batch of one clip that would be its shift alone.
    """

    def __init__(self, inputs: int, latent: int, ch: int, doublings: int) -> None:
        super().__init__()
        widths = [max(SHORTEST, LONGEST >> index) * ch for index in range(doublings)]
        self.first = nn.ConvTranspose1d(inputs, widths[0], 1)
        self.norms = nn.ModuleList(BatchNorm(width) for width in widths[1:])
        self.convs = nn.ModuleList(
            nn.ConvTranspose1d(before, out, 4, stride=2, padding=1, bias=index == doublings - 1)
            for index, (before, out) in enumerate(zip(widths, [*widths[1:], latent], strict=True))
        )

    def forward(self, code_BS: Tensor) -> Tensor:
        """Latents (B, P, S) in [-1, 1]."""
        x: Tensor = self.first(code_BS[:, :, None])
        for norm, conv in zip([None, *self.norms], self.convs, strict=True):
            x = conv(F.relu(x if norm is None else norm(x)))
        return torch.tanh(x).transpose(1, 2)


class ImageGenerator(nn.Module):
    """A 4x4 map from the clip's code beside one from the frame's latent, doubled by transposed 4x4 convolutions.

    Batch norm and ReLU before each, and before the 3x3 convolution that makes RGB, then tanh. `widths[l]` is the width
    at 8 * 2**l pixels; each of the two maps has `widths[0]`.
    """

    def __init__(self, code: int, widths: list[int]) -> None:
        super().__init__()
        positions = LOWEST_RESOLUTION**2
        self.from_code = nn.Linear(code, widths[0] * positions, bias=False)
        self.from_latent = nn.Linear(code, widths[0] * positions, bias=False)
        inputs = [2 * widths[0], *widths[:-1]]
        self.norms = nn.ModuleList(BatchNorm(width) for width in [*inputs, widths[-1]])
        self.convs = nn.ModuleList(
            nn.ConvTranspose2d(before, out, 4, stride=2, padding=1, bias=False)
            for before, out in zip(inputs, widths, strict=True)
        )
        self.to_rgb = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, code_BS: Tensor, latents_BTS: Tensor) -> Tensor:
        """Frames (B*T, 3, H, W) in [-1, 1]."""
        B, T, _ = latents_BTS.shape
        side = LOWEST_RESOLUTION
        still = self.from_code(code_BS).reshape(B, 1, -1, side, side).expand(-1, T, -1, -1, -1)
        moving = self.from_latent(latents_BTS).reshape(B, T, -1, side, side)
        x = torch.cat((still, moving), dim=2).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        *norms, last = self.norms
        for norm, conv in zip(norms, self.convs, strict=True):
            x = conv(F.relu(norm(x)))
        return torch.tanh(self.to_rgb(F.relu(last(x))))


class TGANState(NamedTuple):
    """Between two frames: the clip's code, the block's latents, and how many of them are used."""

    code: Tensor  #     (B, S)
    latents: Tensor  #  (B, P, S)
    used: int
    noise: NoiseStream | None


class TGAN(Generator):
    """The clip's code (`style_dim` long) and a drawn vector as long make a block of latents; a latent makes a frame.

    A block has P latents, the power of two that a training clip's generated frames fit in (24: P = 32, of which the
    first 24 are trained). The drawn vector is N(0, I) where the authors' is uniform. Clips longer than P go on
    with another block from a newly drawn vector: the content stays, the motion begins anew at the seam, since
    nothing but the code is shared by two blocks. A block depends on its number alone, so pieces of any size agree.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        options = config.generator
        self.dim = options.style_dim
        doublings = max(1, (config.generated_frames - 1).bit_length())
        self.block = 2**doublings
        self.code = ClipCode(options)
        self.temporal = TemporalGenerator(2 * self.dim, self.dim, options.ch, doublings)
        self.image = ImageGenerator(self.dim, [width * options.ch for width in options.widths])

    def begin(self, context_BK3HW: Tensor, noise: NoiseStream | None, mask_BMHW: Tensor | None) -> TGANState:
        code_BS = self.code(context_BK3HW, noise)
        return TGANState(code_BS, self._next_block(code_BS, noise), 0, noise)

    def advance(self, state: TGANState, steps: int) -> tuple[Tensor, TGANState]:
        code_BS, block_BPS, used, noise = state
        pieces, left = [], steps
        while left > 0:
            if used == self.block:
                block_BPS, used = self._next_block(code_BS, noise), 0
            taken = min(left, self.block - used)
            pieces.append(block_BPS[:, used : used + taken])
            used, left = used + taken, left - taken
        frames_N3HW: Tensor = self.image(code_BS, torch.cat(pieces, dim=1))
        video_BT3HW = frames_N3HW.reshape(len(code_BS), steps, *frames_N3HW.shape[1:])
        return video_BT3HW, TGANState(code_BS, block_BPS, used, noise)

    def parts(self) -> Parts:
        return {"code": self.code, "temporal": self.temporal, "image": self.image}

    def _next_block(self, code_BS: Tensor, noise: NoiseStream | None) -> Tensor:
        """The next block's latents (B, P, S)."""
        latents_BPS: Tensor = self.temporal(torch.cat((code_BS, drawn(noise, MOTION, (self.dim,), code_BS)), dim=1))
        return latents_BPS
