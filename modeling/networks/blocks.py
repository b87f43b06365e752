"""Residual blocks of encoder and discriminators (Fig. 3.3), and self-attention.

Shapes: N batch (clips and frames folded), C channels, H and W height and width, P = H*W positions, ... any of THW.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks.batch_norm import BatchNorm
from modeling.networks.convolution import Conv, average_pool


class ResidualBlock(nn.Module):
    """ReLU-conv3-ReLU-conv3-half beside conv1-half, summed; the middle width is the output's.

    The same graph is the encoder's GResNet block (bilinear half of an even size is the average of 2x2 pixels; batch
    norm before each ReLU where asked for) and the discriminators' DResNet block, there in 2 or 3 dimensions.
    """

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        dims: int = 2,
        leading_relu: bool = True,
        halve: bool = True,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.norm1 = BatchNorm(channels) if batch_norm else None
        self.norm2 = BatchNorm(out) if batch_norm else None
        self.conv1 = Conv(dims, channels, out, 3)
        self.conv2 = Conv(dims, out, out, 3, pool=halve)
        self.skip = Conv(dims, channels, out, 1)
        self.leading_relu, self.halve = leading_relu, halve

    def forward(self, x_NC___: Tensor) -> Tensor:
        y: Tensor = x_NC___ if self.norm1 is None else self.norm1(x_NC___)
        y = self.conv1(F.relu(y) if self.leading_relu else y)
        y = self.conv2(F.relu(y if self.norm2 is None else self.norm2(y)))
        # A 1x1 convolution and an average commute: pooling first costs a quarter.
        skip: Tensor = self.skip(average_pool(x_NC___) if self.halve else x_NC___)
        return y + skip


class SelfAttention(nn.Module):
    """Dot-product self-attention over the positions of a map: x + gamma * attention(x), gamma 0 at the start.

    1x1 convolutions without bias to C/8 (queries, keys) and C/2 (values), then back to C (SAGAN, Zhang 2019).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = max(1, channels // 8)
        self.query = nn.Conv2d(channels, inner, 1, bias=False)
        self.key = nn.Conv2d(channels, inner, 1, bias=False)
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.out = nn.Conv2d(channels // 2, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        N, C, H, W = x_NCHW.shape
        query_NCP, key_NCP = self.query(x_NCHW).flatten(2), self.key(x_NCHW).flatten(2)
        value_NCP = self.value(x_NCHW).flatten(2)
        # Spelt out, because the fused attention kernels have no second derivative, which the penalty needs.
        weights_NPP = torch.softmax(query_NCP.transpose(1, 2) @ key_NCP, dim=-1)
        attended = (value_NCP @ weights_NPP.transpose(1, 2)).reshape(N, C // 2, H, W)
        out: Tensor = x_NCHW + self.gamma * self.out(attended)
        return out
