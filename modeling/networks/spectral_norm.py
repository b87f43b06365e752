"""Spectral normalisation (Miyato 2018): a weight divided by an estimate of its largest singular value.

Shapes: O output channels, I all other dimensions of a weight together.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from modeling.networks.convolution import Conv

FIRST_ITERATIONS = 16  # brings the estimate close before training begins; as many as PyTorch's own
EPSILON = 1e-12


class SpectralNorm(nn.Module):
    """Weight / (u^T W v), u and v being moved towards the first singular vectors by `iterate`, never by `forward`.

    PyTorch's own moves them at each forward pass in training mode: once a micro-batch, and in the passes that only go
    through a network. Names of the state and the first values are those of PyTorch's.
    """

    _u: Tensor  # (O,)
    _v: Tensor  # (I,)

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix_OI = weight.detach().flatten(1)
        u, v = (matrix_OI.new_empty(size).normal_() for size in matrix_OI.shape)
        self.register_buffer("_u", F.normalize(u, dim=0, eps=EPSILON))
        self.register_buffer("_v", F.normalize(v, dim=0, eps=EPSILON))
        if not weight.is_meta:  # without values there is nothing to come close to
            for _ in range(FIRST_ITERATIONS):
                self.iterate(weight)

    def forward(self, weight: Tensor) -> Tensor:
        sigma = torch.vdot(self._u, torch.mv(weight.flatten(1), self._v))
        return weight / sigma

    @torch.no_grad()
    def iterate(self, weight: Tensor) -> None:
        """One power iteration."""
        matrix_OI = weight.flatten(1)
        self._u.copy_(F.normalize(torch.mv(matrix_OI, self._v), dim=0, eps=EPSILON))
        self._v.copy_(F.normalize(torch.mv(matrix_OI.T, self._u), dim=0, eps=EPSILON))


def add_spectral_norm(network: nn.Module) -> None:
    """Normalise the weight of every convolution and Linear in `network`."""
    for module in list(network.modules()):
        if isinstance(module, (Conv, nn.Conv2d, nn.Conv3d, nn.Linear)):
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight))


def power_iteration(network: nn.Module) -> None:
    """One power iteration for each spectrally normalised weight: once an update of the network's weights."""
    for module in network.modules():
        if isinstance(module, parametrize.ParametrizationList) and isinstance(module[0], SpectralNorm):
            module[0].iterate(module.original)
