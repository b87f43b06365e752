"""What cells with a warp share: its parameters theta from (h, x) by two convolutions, near rest at first.

Shapes: B clips, C channels, M channels between the convolutions, E kernel side, H and W height and width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 32  # channels between the two convolutions (Shi 2017)
LEAK = 0.2  # of their leaky ReLU
CENTRE = 0.9  # what a kernel takes from its own location at first; the eight others share the rest
SCALE = 0.1  # of the second convolution's first weights: flows begin at a few hundredths of a pixel

CENTRE_LOGIT = math.log(8 * CENTRE / (1 - CENTRE))
FLOW_AT_REST = (0.0, 0.0)
KERNEL_AT_REST = (0.0,) * 4 + (CENTRE_LOGIT,) + (0.0,) * 4


class Transform(nn.Module):
    """The second convolution: theta from the sum of the first one's halves for h and for x."""

    def __init__(self, kernel: int, at_rest: tuple[float, ...]) -> None:
        """`at_rest`: a number for each channel of theta that leaves the map as it is, or nearly."""
        super().__init__()
        conv = nn.Conv2d(WIDTH, len(at_rest), kernel, padding=kernel // 2)
        self.weight = nn.Parameter(conv.weight.data * SCALE)
        self.bias = nn.Parameter(torch.tensor(at_rest, device=conv.weight.device))

    def forward(self, first_BMHW: Tensor) -> Tensor:
        return F.conv2d(F.leaky_relu(first_BMHW, LEAK), self.weight, self.bias, padding=self.weight.shape[-1] // 2)


def first_half(channels: int, kernel: int) -> Tensor:
    """The first convolution's weight for h, (WIDTH, C, E, E), as PyTorch begins one."""
    weight = torch.empty(WIDTH, channels, kernel, kernel)
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
