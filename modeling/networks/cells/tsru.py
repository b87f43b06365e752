"""Transformation-based spatial recurrent units (Luc 2020, Fig. 3.6): the state is warped, then mixed with a candidate.

theta = f(h, x), h^ = w(h; theta), `*` a 3x3 convolution, [;] concatenated channels, rho tanh (ours) or ReLU (theirs).

Where the paper leaves room: f is two 3x3 convolutions with 32 channels and a leaky ReLU between them (TrajGRU's shape);
w is a softmax 3x3 kernel a location, shared over channels, or one bilinear flow; locations outside read the border; w
begins near the identity.

Shapes: B clips, C channels, H and W height and width, M channels of f's first convolution.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks.cells import motion
from modeling.networks.cells.base import Activation, Cell, Step, orthogonal
from modeling.networks.cells.warps import FlowWarp, KernelWarp, Warp, WarpMaker
from modeling.options.generator import GeneratorConfig

WarpName = Literal["kernel", "flow"]
WARPS: dict[str, tuple[WarpMaker, tuple[float, ...]]] = {
    "kernel": (KernelWarp, motion.KERNEL_AT_REST),
    "flow": (FlowWarp, motion.FLOW_AT_REST),
}
MOTION_KERNEL = 3


class TSRU(Cell):
    """What the three share. A convolution of h makes the first half of f and the gates that read h, side by side."""

    gates_of_x: ClassVar[int]
    gates_of_h: ClassVar[int]

    def __init__(self, channels: int, activation: Activation = "tanh", warp: WarpName = "kernel") -> None:
        super().__init__(channels, activation)
        self.warp, at_rest = WARPS[warp]
        self.input = nn.Conv2d(channels, motion.WIDTH + self.gates_of_x * channels, 3, padding=1)
        self.hidden = nn.Parameter(torch.empty(motion.WIDTH + self.gates_of_h * channels, channels, 3, 3))
        self.hidden.data[: motion.WIDTH] = motion.first_half(channels, MOTION_KERNEL)
        if self.gates_of_h:
            orthogonal(*self.hidden.data[motion.WIDTH :].chunk(self.gates_of_h))
        self.transform = motion.Transform(MOTION_KERNEL, at_rest)

    @classmethod
    def configured(cls, channels: int, config: GeneratorConfig) -> Self:
        return cls(channels, config.cell_activation, config.cell_warp)

    def keep_state(self, bias: float) -> None:
        self._raise(motion.WIDTH, bias)  # u

    def stepper(self, state: Tensor) -> Step:
        return partial(self._step, warp=self.warp(state))

    def _step(self, x_BGHW: Tensor, h: Tensor, warp: Warp) -> Tensor:
        M = motion.WIDTH
        from_h = F.conv2d(h, self.hidden, padding=1)
        moved = warp(h, self.transform(from_h[:, :M] + x_BGHW[:, :M]))
        return self.mixed(x_BGHW[:, M:], from_h[:, M:], h, moved)

    @abstractmethod
    def mixed(self, x: Tensor, from_h: Tensor, h: Tensor, moved: Tensor) -> Tensor:
        """The next state from what the gates read of x and of h, the state h, and h^."""


class TSRUC(TSRU):
    """c = rho(W_c * [h^; x]), u = sigmoid(W_u * [h; x]), h' = u.h + (1 - u).c"""

    gates_of_x, gates_of_h = 2, 1  # u, c; u

    def __init__(self, channels: int, activation: Activation = "tanh", warp: WarpName = "kernel") -> None:
        super().__init__(channels, activation, warp)
        self.warped = nn.Parameter(torch.empty(channels, channels, 3, 3))  # c
        orthogonal(self.warped.data)

    def mixed(self, x: Tensor, from_h: Tensor, h: Tensor, moved: Tensor) -> Tensor:
        u = torch.sigmoid(x[:, : self.channels] + from_h)
        c = self.rho(F.conv2d(moved, self.warped, padding=1) + x[:, self.channels :])
        return torch.lerp(c, h, u)  # u.h + (1 - u).c


class TSRUP(TSRU):
    """All in parallel: c = rho(W_c * [h; x]), u = sigmoid(W_u * [h; x]), h' = u.h^ + (1 - u).c

    Reading: the paper prints c's equation alone; h^ would be left out of the unit if u mixed h, so u mixes h^.
    """

    gates_of_x, gates_of_h = 2, 2  # u, c

    def mixed(self, x: Tensor, from_h: Tensor, h: Tensor, moved: Tensor) -> Tensor:
        gates = x + from_h
        u, c = torch.sigmoid(gates[:, : self.channels]), self.rho(gates[:, self.channels :])
        return torch.lerp(c, moved, u)  # u.h^ + (1 - u).c


class TSRUS(TSRU):
    """One after the other: c = rho(W_c * [h^; x]), u = sigmoid(W_u * [h^; c]), h' = u.h^ + (1 - u).c"""

    gates_of_x, gates_of_h = 1, 0  # c; none

    def __init__(self, channels: int, activation: Activation = "tanh", warp: WarpName = "kernel") -> None:
        super().__init__(channels, activation, warp)
        self.warped = nn.Parameter(torch.empty(2 * channels, channels, 3, 3))  # c, and u's half for h^
        self.update = nn.Parameter(torch.empty(channels, channels, 3, 3))  # u's half for c
        self.update_bias = nn.Parameter(torch.zeros(channels))
        orthogonal(*self.warped.data.chunk(2), self.update.data)

    def keep_state(self, bias: float) -> None:
        self.update_bias.data += bias

    def mixed(self, x: Tensor, from_h: Tensor, h: Tensor, moved: Tensor) -> Tensor:
        for_c, for_u = F.conv2d(moved, self.warped, padding=1).chunk(2, dim=1)
        c = self.rho(for_c + x)
        u = torch.sigmoid(F.conv2d(c, self.update, self.update_bias, padding=1) + for_u)
        return torch.lerp(c, moved, u)  # u.h^ + (1 - u).c
