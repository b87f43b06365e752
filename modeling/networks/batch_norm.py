"""Batch norm under gradient accumulation (Eq. 3.17): running statistics that move once an update.

Shapes: N batch (clips and frames folded), C channels, H and W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MOMENTUM = 0.1  # weight of an update's statistics in the running ones; "a common value" (section 3.8)
EPSILON = 1e-5


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe 2015) of (N, C, H, W); scale 1 and shift 0 at the start.

    Training normalises by the statistics of the micro-batch, evaluation by the running ones. Eq. 3.17 moves those by
    x' = (1 - m) x + m x^ at each forward pass; J micro-batches an update then leave (1 - m)^J of the old ones, and
    weigh the last micro-batch more than the first. Here an update moves them once, by its micro-batches' mean x^:

        x' = (1 - M) x + M/J (x^_1 + ... + x^_J),        M = 0.1 whatever J is.

    So a micro-batch has the momentum M/J: the 0.01 that section 3.8 advises is that of J = 10. Micro-batches of unequal
    size count by their values. Only passes with a graph count, which are the generator's own: the discriminators'
    passes normalise in the same way and leave the statistics alone. `commit` ends an update.
    """

    running_mean: Tensor  # (C,)
    running_var: Tensor  # (C,) unbiased
    pending_mean: Tensor  # (C,) sum of the micro-batches' means, each times its number of values
    pending_var: Tensor  # (C,) the same of their unbiased variances
    pending_count: Tensor  # () values a channel

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        # Between two updates these are 0, so no checkpoint needs them.
        self.register_buffer("pending_mean", torch.zeros(channels), persistent=False)
        self.register_buffer("pending_var", torch.zeros(channels), persistent=False)
        self.register_buffer("pending_count", torch.zeros(()), persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        if not self.training:
            return F.batch_norm(
                x_NCHW, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, EPSILON
            )
        if not torch.is_grad_enabled():
            return F.batch_norm(x_NCHW, None, None, self.weight, self.bias, True, 0.0, EPSILON)
        # With momentum 1 the buffers take the batch's own statistics: no second pass over x.
        mean_C, var_C = torch.zeros_like(self.running_mean), torch.zeros_like(self.running_var)
        y = F.batch_norm(x_NCHW, mean_C, var_C, self.weight, self.bias, True, 1.0, EPSILON)
        count = x_NCHW.numel() // x_NCHW.shape[1]
        self.pending_mean.add_(mean_C, alpha=count)
        self.pending_var.add_(var_C, alpha=count)
        self.pending_count.add_(count)
        return y

    @torch.no_grad()
    def commit(self) -> None:
        """Move the running statistics by what the passes since the last call saw; by nothing where there was none."""
        share = MOMENTUM * (self.pending_count > 0).to(self.running_mean.dtype)  # no wait for the device
        count = self.pending_count.clamp(min=1)
        self.running_mean.lerp_(self.pending_mean / count, share)
        self.running_var.lerp_(self.pending_var / count, share)
        for pending in (self.pending_mean, self.pending_var, self.pending_count):
            pending.zero_()


def commit_statistics(network: nn.Module) -> None:
    """`BatchNorm.commit` of every batch norm in `network`: once an update of its weights."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.commit()


def pending_statistics(network: nn.Module) -> list[Tensor]:
    """What `commit` will take in, of every batch norm: sums over values, so processes add theirs up."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    return [sums for norm in norms for sums in (norm.pending_mean, norm.pending_var, norm.pending_count)]
