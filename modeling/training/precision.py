"""In which number format the networks compute: fp32, tf32, bf16, or fp64 for checks.

Weights, optimisers and averages are float32 (float64 under `fp64`) whatever the passes compute in. `tf32` takes part in
every matrix product and convolution of a GPU, the penalty's included; `bf16` in the passes that `autocast` covers,
while the penalty stays in fp32 (losses.py). `fp64` is for checks of exactness: two ways to one update agree to 1e-9.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from modeling.config import Config


def dtype_of(config: Config) -> torch.dtype:
    """Of the weights and of the clips that the networks are shown."""
    return torch.float64 if config.training.precision == "fp64" else torch.float32


def autocast(config: Config, like: Tensor) -> AbstractContextManager[object]:
    """bf16 for the networks' passes where asked for; float64 stays what it is, and so do tensors without values."""
    if config.training.precision != "bf16" or like.dtype != torch.float32 or like.is_meta:
        return nullcontext()
    return torch.autocast(like.device.type, dtype=torch.bfloat16)


@contextmanager
def matrix_products(config: Config) -> Iterator[None]:
    """TF32 on where the run asks for it and off where it does not; PyTorch's own default is a mixture of both."""
    allowed = config.training.precision == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
