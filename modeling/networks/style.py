"""Style blocks (section 3.3): StyleGAN2's modulated convolution and StyleGAN's AdaIN, noise, bias, leaky ReLU.

Shapes: B clips, T time, N = B*T frames, clip after clip, C and O channels in and out, H and W height and width, S
length of the style vector. A clip's style is constant over T, so no weight is ever built a frame.
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
    """Style vector to one number a channel: equalised learning rate; with bias 1, scales begin around 1."""

    def __init__(self, style_dim: int, channels: int, *, bias: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(channels, style_dim))
        self.bias = nn.Parameter(torch.full((channels,), bias))
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
        self.demodulate = demodulate

    def forward(self, x_NCHW: Tensor, style_BS: Tensor, bias_O: Tensor, gain: float = 1.0) -> Tensor:
        """gain * (conv + bias): (B*T, C, H, W), (B, S), (O,) -> (B*T, O, H, W)."""
        B = len(style_BS)
        s_BC: Tensor = self.affine(style_BS)
        weight_OCEE = self.weight * self.scale
        gains_BO = torch.full_like(bias_O, gain).expand(B, -1)
        if self.demodulate:
            squares_OC = weight_OCEE.square().sum(dim=(2, 3))
            gains_BO = gains_BO * torch.rsqrt(s_BC.square() @ squares_OC.T + EPSILON)
        # Few clips: fold all of it into a weight a clip. Many on a GPU: one dense convolution keeps it busier.
        # An exported graph takes any number of clips, so it has no loop over them.
        few = not torch.compiler.is_exporting() and (B == 1 or x_NCHW.device.type == "cpu")
        return (weight_a_clip if few else weight_shared)(x_NCHW, weight_OCEE, s_BC, gains_BO, gain * bias_O)


def weight_a_clip(x_NCHW: Tensor, weight_OCEE: Tensor, s_BC: Tensor, gains_BO: Tensor, bias_O: Tensor) -> Tensor:
    """Scale and gain go into a clip's weight: no pass over the frames but its convolution."""
    clips, padding = x_NCHW.chunk(len(s_BC)), weight_OCEE.shape[-1] // 2
    outputs = [
        F.conv2d(x_TCHW, weight_OCEE * s_C[:, None, None] * gain_O[:, None, None, None], bias_O, padding=padding)
        for x_TCHW, s_C, gain_O in zip(clips, s_BC, gains_BO, strict=True)
    ]
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def weight_shared(x_NCHW: Tensor, weight_OCEE: Tensor, s_BC: Tensor, gains_BO: Tensor, bias_O: Tensor) -> Tensor:
    """Scale goes on the input, gain on the output of one dense convolution for all clips."""
    T, padding = len(x_NCHW) // len(s_BC), weight_OCEE.shape[-1] // 2
    s_NC, gains_NO = s_BC.repeat_interleave(T, dim=0), gains_BO.repeat_interleave(T, dim=0)
    y = F.conv2d(x_NCHW * s_NC[:, :, None, None], weight_OCEE, padding=padding)
    return y * gains_NO[:, :, None, None] + bias_O[:, None, None]


class StyleBlock(nn.Module):
    """Modulated 3x3 convolution, noise times one learned scalar, bias, LeakyReLU(0.2) * sqrt(2)."""

    def __init__(self, channels: int, out: int, style_dim: int, *, noise: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, out, 3, style_dim, demodulate=True)
        self.noise_strength = nn.Parameter(torch.zeros(())) if noise else None
        self.bias = nn.Parameter(torch.zeros(out))

    def forward(self, x_NCHW: Tensor, style_BS: Tensor, noise_N1HW: Tensor | None) -> Tensor:
        # The activation is positively homogeneous, so its gain can go into the convolution before it.
        y: Tensor = self.conv(x_NCHW, style_BS, self.bias, gain=GAIN)
        in_place = not torch.is_grad_enabled()  # in inference new memory costs more than the sums
        if self.noise_strength is not None and noise_N1HW is not None:
            maps_N1HW = (GAIN * self.noise_strength) * noise_N1HW
            y = y.add_(maps_N1HW) if in_place else y + maps_N1HW
        return F.leaky_relu(y, LEAK, inplace=in_place)


class AdaINBlock(nn.Module):
    """StyleGAN's block (Karras 2019): 3x3 convolution, noise times one learned scalar, bias, LeakyReLU(0.2), AdaIN.

    AdaIN (Eq. 3.9) brings each channel of each frame to mean 0 and variance 1 over its pixels, then scales and shifts
    it by the style. Read as in StyleGAN: variance without Bessel's correction, epsilon 1e-8 inside the root, equalised
    weights, affines whose scale begins around 1 and whose shift around 0. The noise has one scalar a block, as in the
    modulated block, where StyleGAN has one a channel. RGB stays modulated: without demodulation that is a scale a
    channel.
    """

    def __init__(self, channels: int, out: int, style_dim: int, *, noise: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out, channels, 3, 3))
        self.scale = 1.0 / math.sqrt(channels * 9)  # equalised learning rate; a gain would be normalised away
        self.noise_strength = nn.Parameter(torch.zeros(())) if noise else None
        self.bias = nn.Parameter(torch.zeros(out))
        self.style_scale = Affine(style_dim, out)
        self.style_shift = Affine(style_dim, out, bias=0.0)

    def forward(self, x_NCHW: Tensor, style_BS: Tensor, noise_N1HW: Tensor | None) -> Tensor:
        y = F.conv2d(x_NCHW, self.weight * self.scale, self.bias, padding=1)
        if self.noise_strength is not None and noise_N1HW is not None:
            y = y + self.noise_strength * noise_N1HW
        y = F.leaky_relu(y, LEAK)
        T = len(y) // len(style_BS)
        scale_NO11, shift_NO11 = (
            affine(style_BS).repeat_interleave(T, dim=0)[:, :, None, None]
            for affine in (self.style_scale, self.style_shift)
        )
        variance_NO11, mean_NO11 = torch.var_mean(y, dim=(2, 3), correction=0, keepdim=True)
        return torch.addcmul(shift_NO11, y - mean_NO11, scale_NO11 * torch.rsqrt(variance_NO11 + EPSILON))


BLOCKS: dict[str, type[StyleBlock] | type[AdaINBlock]] = {"modulated": StyleBlock, "adain": AdaINBlock}


class ToRGB(nn.Module):
    """Modulated convolution to 3 channels with its own affine, no demodulation, bias, tanh."""

    def __init__(self, channels: int, style_dim: int, kernel: int) -> None:
        super().__init__()
        self.conv = ModulatedConv(channels, 3, kernel, style_dim, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x_NCHW: Tensor, style_BS: Tensor) -> Tensor:
        return torch.tanh(self.conv(x_NCHW, style_BS, self.bias))
