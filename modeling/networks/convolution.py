"""Convolution followed by 2x average pooling, as one strided convolution; 3-D convolution for few channels on a CPU.

Shapes: N batch, C and O channels in and out, T time, H and W height and width, E kernel side, ... any of THW.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below this many output channels a CPU runs a 3-D convolution faster as a 2-D one over frames gathered on channels.
FEW_CHANNELS = 32


def pooled_kernel(weight_OCEE: Tensor) -> Tensor:
    """The kernel that convolves and then averages 2x2 (2x2x2) neighbours: (O, C, E, ...) -> (O, C, E+1, ...).

    Pooling averages the outputs of shifted kernels, so it moves into the kernel: one stride-2 convolution with side 4
    does 16 (64) multiplications in the place of 36 (216), and is exact, zero padding and a dropped odd last one
    included.
    """
    spatial = weight_OCEE.dim() - 2
    weight = weight_OCEE
    for axis in range(2, 2 + spatial):
        before = [0, 0] * (spatial - 1 - (axis - 2)) + [1, 0]
        after = [0, 0] * (spatial - 1 - (axis - 2)) + [0, 1]
        weight = F.pad(weight, before) + F.pad(weight, after)
    return weight * 0.5**spatial


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """2-D or 3-D convolution, by the dimensions of `weight`, in the form that is fastest for its size."""
    if weight.dim() == 4:
        return F.conv2d(x, weight, bias, stride, padding)
    if x.device.type == "cpu" and weight.shape[0] <= FEW_CHANNELS:
        return conv3d_by_frames(x, weight, bias, stride, padding)
    return F.conv3d(x, weight, bias, stride, padding)


def conv3d_by_frames(x_NCTHW: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """`F.conv3d` (one stride and padding for all axes) as a 2-D convolution over neighbouring frames on channels."""
    N, C, T, H, W = x_NCTHW.shape
    E = weight.shape[2]
    steps = (T + 2 * padding - E) // stride + 1
    padded = F.pad(x_NCTHW, (0, 0, 0, 0, padding, padding))
    shifted = [padded[:, :, e : e + (steps - 1) * stride + 1 : stride] for e in range(E)]
    frames = torch.cat(shifted, dim=1).transpose(1, 2).reshape(N * steps, E * C, H, W)
    kernel = weight.transpose(1, 2).reshape(-1, E * C, E, E)
    y = F.conv2d(frames, kernel, bias, stride, padding)
    return y.reshape(N, steps, *y.shape[1:]).transpose(1, 2)


class Conv(nn.Module):
    """A same convolution with bias in 2 or 3 dimensions; `pool=True` averages its output over 2x2(x2) neighbours."""

    def __init__(self, dims: int, channels: int, out: int, kernel: int, *, pool: bool = False) -> None:
        super().__init__()
        reference = (nn.Conv2d if dims == 2 else nn.Conv3d)(channels, out, kernel)  # PyTorch's own initialisation
        self.weight = reference.weight
        self.bias = cast(nn.Parameter, reference.bias)
        self.kernel, self.pool = kernel, pool

    def forward(self, x_NC___: Tensor) -> Tensor:
        if not self.pool:
            return convolve(x_NC___, self.weight, self.bias, 1, self.kernel // 2)
        return convolve(x_NC___, pooled_kernel(self.weight), self.bias, 2, self.kernel // 2)


def average_pool(x_NC___: Tensor) -> Tensor:
    """Average of 2x2 (2x2x2) neighbours; an odd last one is dropped."""
    return F.avg_pool2d(x_NC___, 2) if x_NC___.dim() == 4 else F.avg_pool3d(x_NC___, 2)
