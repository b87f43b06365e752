"""Recurrent cells of the decoder's levels, in one registry, and stacks of them.

Shapes: T time, B batch, C channels, H and W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvGRU(nn.Module):
    """Convolutional gated recurrent unit (Ballas 2016), `*` a 3x3 convolution and [;] concatenated channels:

    r = sigmoid(W_r * [h; x]), u = sigmoid(W_u * [h; x]), c = tanh(W_c * [r.h; x]), h' = (1 - u).h + u.c

    Each W is kept as its halves for h and for x, so that x's half runs once over all time steps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Conv2d(channels, 3 * channels, 3, padding=1)  # r, u, c: one bias a gate
        self.hidden_gates = nn.Parameter(torch.empty(2 * channels, channels, 3, 3))  # r, u
        self.hidden_candidate = nn.Parameter(torch.empty(channels, channels, 3, 3))
        for gate in (*self.hidden_gates.data.chunk(2), self.hidden_candidate.data):
            nn.init.orthogonal_(gate)

    def forward(self, x_TBCHW: Tensor, h_BCHW: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """All hidden states (steps, B, C, H, W) and the last; an x of one step is the input at each of them."""
        C = h_BCHW.shape[1]
        from_x: Tensor = self.input(x_TBCHW.flatten(0, 1))
        from_x = from_x.reshape(*x_TBCHW.shape[:2], *from_x.shape[1:])
        inputs = from_x.expand(steps, -1, -1, -1, -1).unbind(0)
        h, states = h_BCHW, []
        for x in inputs:
            x_gates, x_candidate = x[:, : 2 * C], x[:, 2 * C :]
            r, u = torch.sigmoid(F.conv2d(h, self.hidden_gates, padding=1) + x_gates).chunk(2, dim=1)
            c = torch.tanh(F.conv2d(r * h, self.hidden_candidate, padding=1) + x_candidate)
            h = torch.lerp(h, c, u)  # (1 - u).h + u.c
            states.append(h)
        return torch.stack(states), h


CELLS: dict[str, type[ConvGRU]] = {"convgru": ConvGRU}


class CellStack(nn.Module):
    """`layers` cells, each reading the states of the one below; all start from the same hidden state."""

    def __init__(self, cell: str, channels: int, layers: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(CELLS[cell](channels) for _ in range(layers))

    def forward(self, x_TBCHW: Tensor, states_BCHW: list[Tensor], steps: int) -> tuple[Tensor, list[Tensor]]:
        """The top cell's states (steps, B, C, H, W) and each cell's last one, to go on from."""
        last = []
        for cell, h_BCHW in zip(self.cells, states_BCHW, strict=True):
            x_TBCHW, h_BCHW = cell(x_TBCHW, h_BCHW, steps)
            last.append(h_BCHW)
        return x_TBCHW, last

    def initial(self, feature_BCHW: Tensor) -> list[Tensor]:
        return [feature_BCHW] * len(self.cells)
