"""The convolutional long short-term memory.

Shapes: B clips, C channels, H and W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks.cells.base import Activation, Cell, Step, orthogonal


class ConvLSTM(Cell):
    """Convolutional LSTM (Shi 2015, without its peepholes), `*` a 3x3 convolution and [;] concatenated channels:

    i = sigmoid(W_i * [h; x]), f = sigmoid(W_f * [h; x]), o = sigmoid(W_o * [h; x]), g = rho(W_g * [h; x]),
    c' = f.c + i.g, h' = o.tanh(c')

    A state is [h; c], (B, 2C, H, W); c is 0 before the first step. rho is the candidate's: the output's tanh stays.
    """

    def __init__(self, channels: int, activation: Activation = "tanh") -> None:
        super().__init__(channels, activation)
        self.input = nn.Conv2d(channels, 4 * channels, 3, padding=1)  # i, f, o, g
        self.hidden = nn.Parameter(torch.empty(4 * channels, channels, 3, 3))  # i, f, o, g
        orthogonal(*self.hidden.data.chunk(4))

    def initial(self, feature_BCHW: Tensor) -> Tensor:
        return torch.cat((feature_BCHW, torch.zeros_like(feature_BCHW)), dim=1)

    def keep_state(self, bias: float) -> None:
        self._raise(self.channels, bias)  # f

    def stepper(self, state: Tensor) -> Step:
        return self._step

    def _step(self, x_BGHW: Tensor, state: Tensor) -> Tensor:
        h, memory = state.chunk(2, dim=1)
        gates = F.conv2d(h, self.hidden, padding=1) + x_BGHW
        i, f, o = torch.sigmoid(gates[:, : 3 * self.channels]).chunk(3, dim=1)
        memory = f * memory + i * self.rho(gates[:, 3 * self.channels :])
        return torch.cat((o * torch.tanh(memory), memory), dim=1)

    def output(self, state: Tensor) -> Tensor:
        return state[:, : self.channels]
