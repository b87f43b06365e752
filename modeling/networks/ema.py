"""Moving average of the generator's weights, which samples, metrics and `model.safetensors` use."""

from __future__ import annotations

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of `network`: `update_parameters(network)` after each step, `module` is the copy.

    The first update copies the weights, so that the average never holds the random initial ones.
    """
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]
