"""Recurrent cells of the decoder's levels, in one registry, and stacks of them.

Shapes: B clips, T time, N = B*T frames, clip after clip, C channels, H and W height and width.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from modeling.networks.cells.base import Cell
from modeling.networks.cells.gru import ConvGRU
from modeling.networks.cells.lstm import ConvLSTM
from modeling.networks.cells.traj import KTrajGRU, TrajGRU
from modeling.networks.cells.tsru import TSRUC, TSRUP, TSRUS
from modeling.options.generator import GeneratorConfig

CELLS: dict[str, type[Cell]] = {
    "convgru": ConvGRU,
    "convlstm": ConvLSTM,
    "trajgru": TrajGRU,
    "k-trajgru": KTrajGRU,
    "tsru-c": TSRUC,
    "tsru-p": TSRUP,
    "tsru-s": TSRUS,
}


class CellStack(nn.Module):
    """`generator.layers` of `generator.cell`, each reading the states of the one below; all start from one feature."""

    def __init__(self, channels: int, config: GeneratorConfig) -> None:
        super().__init__()
        self.cells = nn.ModuleList(CELLS[config.cell].configured(channels, config) for _ in range(config.layers))
        if config.keep_bias:
            for cell in self.cells:
                cast(Cell, cell).keep_state(config.keep_bias)

    def initial(self, feature_BCHW: Tensor) -> list[Tensor]:
        """Each cell's state before the first step, from the encoder's feature."""
        return [cast(Cell, cell).initial(feature_BCHW) for cell in self.cells]

    def forward(self, x_NCHW: Tensor, states: list[Tensor], steps: int) -> tuple[Tensor, list[Tensor]]:
        """The top cell's outputs (B*steps, C, H, W) and each cell's last state, to go on from."""
        last = []
        for cell, state in zip(self.cells, states, strict=True):
            x_NCHW, state = cell(x_NCHW, state, steps)
            last.append(state)
        return x_NCHW, last


__all__ = ["CELLS", "TSRUC", "TSRUP", "TSRUS", "Cell", "CellStack", "ConvGRU", "ConvLSTM", "KTrajGRU", "TrajGRU"]
