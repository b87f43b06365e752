"""Style blocks (section 3.3, StyleGAN2): modulated convolution, per-pixel noise, bias, scaled leaky ReLU.

Shapes: T time, B batch, C and O channels in and out, H and W height and width, S length of the style vector.
Sequences are time-major (T, B, ...): a clip's style is constant over T, so no weight is ever built a frame.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-8  # Eq. 3.11
LEAK = 0.2
GAIN = math.sqrt(2.0)  # keeps the variance through the leaky ReLU


class Affine(nn.Module):
    """Style vector to one scale a channel: equalised learning rate, bias 1, so that scales begin around 1."""

    def __init__(self, style_dim: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, style_dim))
        self.bias = nn.Parameter(torch.ones(channels))
        self.scale = 1.0 / math.sqrt(style_dim)

    def forward(self, style_BS: Tensor) -> Tensor:
        return F.linear(style_BS, self.weight * self.scale, self.bias)


class ModulatedConv(nn.Module):
    """Same convolution with weights scaled by the style (Eq. 3.10) and brought back to unit norm (Eq. 3.11)."""

    def __init__(self, channels: int, out: int, kernel: int, style_dim: int, *, demodulate: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, channels, kernel, kernel))
        self.scale = 1.0 / math.sqrt(channels * kernel * kernel)  # equalised learning rate
        self.affine = Affine(style_dim, channels)
        self.padding = kernel // 2
        self.demodulate = demodulate

    def forward(self, x_TBCHW: Tensor, style_BS: Tensor, bias_O: Tensor, gain: float = 1.0) -> Tensor:
        """gain * (conv + bias): (T, B, C, H, W), (B, S), (O,) -> (T, B, O, H, W)."""
        T, B = x_TBCHW.shape[:2]
        s_BC: Tensor = self.affine(style_BS)
        weight_OCEE = self.weight * self.scale
        coefficient_BO: Tensor | None = None
        if self.demodulate:
            squares_OC = weight_OCEE.square().sum(dim=(2, 3))
            coefficient_BO = torch.rsqrt(s_BC.square() @ squares_OC.T + EPSILON)
        if B == 1:
            # One clip has one weight: fold scale, demodulation and gain into it.
            folded = weight_OCEE * s_BC[0, None, :, None, None]
            out_gain = gain if coefficient_BO is None else (gain * coefficient_BO[0])[:, None, None, None]
            y = F.conv2d(x_TBCHW[:, 0], folded * out_gain, gain * bias_O, padding=self.padding)
            return y[:, None]
        # Several clips share one dense convolution: the scale goes on its input, demodulation and gain on its output.
        x = (x_TBCHW * s_BC[:, :, None, None]).flatten(0, 1)
        y = F.conv2d(x, weight_OCEE, padding=self.padding)
        y = y.reshape(T, B, *y.shape[1:])
        if coefficient_BO is not None:
            y = y * (gain * coefficient_BO)[:, :, None, None]
        elif gain != 1.0:
            y = y * gain
        return y + (gain * bias_O)[:, None, None]


class StyleBlock(nn.Module):
    """Modulated 3x3 convolution, noise times one learned scalar, bias, LeakyReLU(0.2) * sqrt(2)."""

    def __init__(self, channels: int, out: int, style_dim: int, *, noise: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, out, 3, style_dim, demodulate=True)
        self.noise_strength = nn.Parameter(torch.zeros(())) if noise else None
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x_TBCHW: Tensor, style_BS: Tensor, noise_TB1HW: Tensor | None) -> Tensor:
        # The activation is positively homogeneous, so its gain can go into the convolution before it.
        y: Tensor = self.conv(x_TBCHW, style_BS, self.bias, gain=GAIN)
        if self.noise_strength is not None and noise_TB1HW is not None:
            y = y + (GAIN * self.noise_strength) * noise_TB1HW
        return F.leaky_relu(y, LEAK)


class ToRGB(nn.Module):
    """Modulated convolution to 3 channels with its own affine, no demodulation, bias, tanh."""

    def __init__(self, channels: int, style_dim: int, kernel: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, 3, kernel, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x_TBCHW: Tensor, style_BS: Tensor) -> Tensor:
        return torch.tanh(self.conv(x_TBCHW, style_BS, self.bias))
