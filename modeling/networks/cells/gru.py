"""The convolutional gated recurrent unit, the thesis's cell (section 3.7).

Shapes: B clips, C channels, H and W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks.cells.base import Activation, Cell, Step, orthogonal


class ConvGRU(Cell):
    """Convolutional gated recurrent unit (Ballas 2016), `*` a 3x3 convolution and [;] concatenated channels:

    r = sigmoid(W_r * [h; x]), u = sigmoid(W_u * [h; x]), c = rho(W_c * [r.h; x]), h' = (1 - u).h + u.c

    Each W is kept as its halves for h and for x, so that x's half runs once over all time steps.
    """

    def __init__(self, channels: int, activation: Activation = "tanh") -> None:
        super().__init__(channels, activation)
        self.input = nn.Conv2d(channels, 3 * channels, 3, padding=1)  # r, u, c
        self.hidden_gates = nn.Parameter(torch.empty(2 * channels, channels, 3, 3))  # r, u
        self.hidden_candidate = nn.Parameter(torch.empty(channels, channels, 3, 3))
        orthogonal(*self.hidden_gates.data.chunk(2), self.hidden_candidate.data)

    def keep_state(self, bias: float) -> None:
        self._raise(self.channels, -bias)  # u replaces the state

    def stepper(self, state: Tensor) -> Step:
        return self._step

    def _step(self, x_BGHW: Tensor, state: Tensor) -> Tensor:
        h, C = state, self.channels
        r, u = torch.sigmoid(F.conv2d(h, self.hidden_gates, padding=1) + x_BGHW[:, : 2 * C]).chunk(2, dim=1)
        c = self.rho(F.conv2d(r * h, self.hidden_candidate, padding=1) + x_BGHW[:, 2 * C :])
        return torch.lerp(h, c, u)  # (1 - u).h + u.c
