"""Recurrent cells of the decoder's levels, in one registry, and stacks of them.

Shapes: B clips, T time, N = B*T frames, clip after clip, C channels, H and W height and width. Everything is kept in
the channels-last layout, which both convolution and up-sampling prefer.
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

    def forward(self, x_NCHW: Tensor, h_BCHW: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """All hidden states (B*steps, C, H, W) and the last; an x of one step a clip is the input at each of them."""
        B, C = h_BCHW.shape[:2]
        from_x: Tensor = self.input(x_NCHW)
        from_x = from_x.permute(0, 2, 3, 1)
        from_x_BTHWC = from_x.reshape(B, -1, *from_x.shape[1:]).expand(-1, steps, -1, -1, -1)
        h, states = h_BCHW, []
        for x_BHWC in from_x_BTHWC.unbind(1):
            x = x_BHWC.permute(0, 3, 1, 2)
            r, u = torch.sigmoid(F.conv2d(h, self.hidden_gates, padding=1) + x[:, : 2 * C]).chunk(2, dim=1)
            c = torch.tanh(F.conv2d(r * h, self.hidden_candidate, padding=1) + x[:, 2 * C :])
            h = torch.lerp(h, c, u)  # (1 - u).h + u.c
            states.append(h.permute(0, 2, 3, 1))
        return torch.stack(states, dim=1).flatten(0, 1).permute(0, 3, 1, 2), h


CELLS: dict[str, type[ConvGRU]] = {"convgru": ConvGRU}


class CellStack(nn.Module):
    """`layers` cells, each reading the states of the one below; all start from the same hidden state."""

    def __init__(self, cell: str, channels: int, layers: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(CELLS[cell](channels) for _ in range(layers))

    def forward(self, x_NCHW: Tensor, states_BCHW: list[Tensor], steps: int) -> tuple[Tensor, list[Tensor]]:
        """The top cell's states (B*steps, C, H, W) and each cell's last one, to go on from."""
        last = []
        for cell, h_BCHW in zip(self.cells, states_BCHW, strict=True):
            x_NCHW, h_BCHW = cell(x_NCHW, h_BCHW, steps)
            last.append(h_BCHW)
        return x_NCHW, last

    def initial(self, feature_BCHW: Tensor) -> list[Tensor]:
        return [feature_BCHW] * len(self.cells)
