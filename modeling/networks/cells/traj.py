"""TrajGRU and its kernelised form: the hidden state is read along flows that the cell draws for itself.

Shapes: B clips, C channels, L flows, H and W height and width, N frames, M channels of the flows' first convolution.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks.cells import motion
from modeling.networks.cells.base import Activation, Cell, Step, orthogonal
from modeling.networks.cells.warps import DisplacedKernelWarp, FlowWarp, Warp

FLOWS = 5  # L
MOTION_KERNEL = 5  # side of the two convolutions that make the flows (Shi 2017)


class TrajGRU(Cell):
    """Trajectory GRU (Shi 2017), `*` a 3x3 convolution of x, w_l the warp along flow l of (h, x):

    r = sigmoid(W_xr * x + sum_l W_hr,l w_l(h)), z = sigmoid(W_xz * x + sum_l W_hz,l w_l(h)),
    c = rho(W_xc * x + r . sum_l W_hc,l w_l(h)), h' = z.h + (1 - z).c

    The W_h are 1x1 convolutions over the L warps, in the place of the ConvGRU's 3x3 over h. The flows come from two 5x5
    convolutions with 32 channels between them, as in the paper. Ours: x's convolutions are 3x3 like everywhere in the
    thesis, rho is an option (the paper has leaky ReLU), locations outside read the border (the paper has 0 there).
    """

    warp: ClassVar[type[FlowWarp | DisplacedKernelWarp]] = FlowWarp
    at_rest: ClassVar[tuple[float, ...]] = motion.FLOW_AT_REST

    def __init__(self, channels: int, activation: Activation = "tanh") -> None:
        super().__init__(channels, activation)
        self.input = nn.Conv2d(channels, 3 * channels, 3, padding=1)  # r, z, c
        self.motion_input = nn.Conv2d(channels, motion.WIDTH, MOTION_KERNEL, padding=MOTION_KERNEL // 2)
        self.motion_hidden = nn.Parameter(motion.first_half(channels, MOTION_KERNEL))
        self.transform = motion.Transform(MOTION_KERNEL, FLOWS * self.at_rest)
        self.hidden = nn.Parameter(
            torch.empty(3 * channels, FLOWS * channels, 1, 1)
        )  # r, z, c over what `warp` puts out
        orthogonal(*self.hidden.data.chunk(3))

    def from_input(self, x_NCHW: Tensor) -> Tensor:
        return torch.cat((self.input(x_NCHW), self.motion_input(x_NCHW)), dim=1)

    def keep_state(self, bias: float) -> None:
        self._raise(self.channels, bias)  # z

    def stepper(self, state: Tensor) -> Step:
        return partial(self._step, warp=self.warp(state))

    def _step(self, x_BGHW: Tensor, h: Tensor, warp: Warp) -> Tensor:
        C = self.channels
        first = F.conv2d(h, self.motion_hidden, padding=MOTION_KERNEL // 2) + x_BGHW[:, 3 * C :]
        from_h = F.conv2d(warp(h, self.transform(first)), self.hidden)
        r, z = torch.sigmoid(from_h[:, : 2 * C] + x_BGHW[:, : 2 * C]).chunk(2, dim=1)
        c = self.rho(torch.addcmul(x_BGHW[:, 2 * C : 3 * C], r, from_h[:, 2 * C :]))
        return torch.lerp(c, h, z)  # z.h + (1 - z).c


class KTrajGRU(TrajGRU):
    """K-TrajGRU (Luc 2020): TrajGRU with a 3x3 softmax kernel, shared over channels, at each displaced location.

    Reading: the paper kernelises TrajGRU without its equations; as in SDCNet, each of the L flows has its own kernel,
    which the same two convolutions predict and which is applied where that flow points.
    """

    warp = DisplacedKernelWarp
    at_rest = motion.FLOW_AT_REST + motion.KERNEL_AT_REST
