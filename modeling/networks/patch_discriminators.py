"""The discriminators of the baselines: MoCoGAN's two patch discriminators and TGAN's single one.

Strided 4x4 (4x4x4) convolutions with leaky ReLU, each halving the sides (Tulyakov 2018; Saito 2017). Both papers put
batch normalisation between them, which makes a sample's score depend on the other samples of the batch, against the
gradient penalty and Eq. 3.16; spectral normalisation stands in its place (`spectral_norm`), as in D_S and D_T.
`attention` and `pool` are options of the residual discriminators and are not read here.

Shapes: B batch, K sampled frames, T time, n scores of a clip, C channels, H and W height and width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.config import Config
from modeling.networks.discriminators import Discriminator, Picks, picked
from modeling.networks.spectral_norm import add_spectral_norm

LEAK = 0.2


class PatchImageDiscriminator(Discriminator):
    """MoCoGAN's D_I: a frame's score is the mean over its patches; beside the input frame where `conditional`."""

    per_frame = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        options = config.d_s
        self.conditional = options.conditional
        sides = [6 if options.conditional else 3, *(width * options.ch for width in options.widths)]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, out, 4, stride=2, padding=1) for before, out in pairwise(sides[:-1])
        )
        self.last = nn.Conv2d(sides[-2], sides[-1], 3, padding=1)
        self.patches = nn.Conv2d(sides[-1], 1, 1)
        if options.spectral_norm:
            add_spectral_norm(self)

    def view(self, video_BT3HW: Tensor, picks: Picks) -> Tensor:
        return picked(video_BT3HW, picks.frames)

    def forward(self, view: Tensor, condition_B3HW: Tensor | None = None) -> Tensor:
        B, K = view.shape[:2]
        if self.conditional:
            if condition_B3HW is None:
                raise ValueError("a conditional image discriminator needs the input frames")
            view = torch.cat((view, condition_B3HW[:, None].expand(-1, K, -1, -1, -1)), dim=2)
        x = view.flatten(0, 1)
        for conv in (*self.convs, self.last):
            x = F.leaky_relu(conv(x), LEAK)
        scores: Tensor = self.patches(x).mean(dim=(1, 2, 3)).reshape(B, K)
        return scores


class _Convolutions3d(Discriminator):
    """3-D convolutions that halve H and W, and T for as long as four or more steps are left; then a last map."""

    per_frame = False

    def __init__(self, config: Config) -> None:
        super().__init__()
        options = config.d_t
        sides, steps = [3, *(width * options.ch for width in options.widths)], config.frames
        convs = []
        for before, out in pairwise(sides[:-1]):
            halve = steps >= 4
            kernel, stride = (4 if halve else 3, 4, 4), (2 if halve else 1, 2, 2)
            convs.append(nn.Conv3d(before, out, kernel, stride=stride, padding=1))
            steps = steps // 2 if halve else steps
        self.convs = nn.ModuleList(convs)
        self.last = nn.Conv3d(sides[-2], sides[-1], 3, padding=1)

    def view(self, video_BT3HW: Tensor, picks: Picks) -> Tensor:
        return video_BT3HW

    def _features(self, view: Tensor) -> Tensor:
        x = view.transpose(1, 2)
        for conv in (*self.convs, self.last):
            x = F.leaky_relu(conv(x), LEAK)
        return x


class PatchVideoDiscriminator(_Convolutions3d):
    """MoCoGAN's D_V: a score for each patch of space and time; their mean is the clip's."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.patches = nn.Conv3d(config.d_t.widths[-1] * config.d_t.ch, 1, 1)
        if config.d_t.spectral_norm:
            add_spectral_norm(self)

    def forward(self, view: Tensor, condition_B3HW: Tensor | None = None) -> Tensor:
        scores: Tensor = self.patches(self._features(view)).flatten(1)
        return scores


class VolumetricDiscriminator(_Convolutions3d):
    """TGAN's single discriminator: one score a clip, a Linear on the mean over space and time.

    The paper's last convolution covers the whole of a 16-frame, 64-pixel clip; the mean serves any length and size.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.linear = nn.Linear(config.d_t.widths[-1] * config.d_t.ch, 1)
        if config.d_t.spectral_norm:
            add_spectral_norm(self)

    def forward(self, view: Tensor, condition_B3HW: Tensor | None = None) -> Tensor:
        scores: Tensor = self.linear(self._features(view).mean(dim=(2, 3, 4)))
        return scores
