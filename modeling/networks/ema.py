"""Moving average of the generator's weights, which samples, metrics and `model.safetensors` use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

Tensors = tuple[Tensor, ...] | list[Tensor]


def averaged(network: nn.Module, decay: float, *, warmup: bool = True) -> AveragedModel:
    """An exponential moving average of `network`: `update_parameters(network)` after each step, `module` is the copy.

    The first update copies the weights. With `warmup` the n-th later one decays by min(decay, (1 + n) / (10 + n)) only:
    with 0.999 from the start, 82% of the average were still the untrained weights after 200 steps.

    Buffers are copied, not averaged: batch norm's running statistics are averages already, and the mean of spectral
    norm's vectors would be no unit vectors.
    """

    def average(averages: Tensors, weights: Tensors, updates: Tensor | int) -> None:
        n = int(updates)
        now = min(decay, (1 + n) / (10 + n)) if warmup else decay
        with torch.no_grad():
            torch._foreach_lerp_(averages, weights, 1 - now)

    return AveragedModel(network, multi_avg_fn=average)
