"""A slow, obvious twin of the `style` generator with every option, frame by frame and sample by sample.

It reads its weights and options from the fast network. Shapes: C channels, H and W height and width, k context frames,
M mask classes, S style, Z latent; B is 1 throughout but in the encoder, whose batch norm needs the whole batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks import Mixing, StyleGenerator
from modeling.networks.noise import NoiseStream
from modeling.networks.style import AdaINBlock
from tests.modeling.literal_dvdgan import gresnet_down
from tests.modeling.literal_networks import bilinear, conv_gru, gresnet_block, modulated_conv, style_block

LATENT, MIXED_LATENT = 1000, 1004


def upsampling_matrix(side: int) -> Tensor:
    """(2 * side, side): one direction of the bilinear up-sampling with [1, 3, 3, 1] / 8 after it, a weight at a time.

    Pixel i of the small map has its centre at i + 1/2, pixel j of the large one at (j + 1/2) / 2. The filter's four
    taps are half a small pixel apart, with their middle at j's centre; each interpolates linearly, edges repeated.
    """
    matrix = torch.zeros(2 * side, side, dtype=torch.float64)
    for j in range(2 * side):
        for tap, weight in zip((-1.5, -0.5, 0.5, 1.5), (1, 3, 3, 1), strict=True):
            place = (j + 0.5) / 2 + tap / 2 - 0.5
            left = math.floor(place)
            for i, share in ((left, 1 - (place - left)), (left + 1, place - left)):
                matrix[j, min(max(i, 0), side - 1)] += weight / 8 * share
    return matrix


def blurred(x_BCHW: Tensor) -> Tensor:
    rows, columns = (upsampling_matrix(side).to(x_BCHW.dtype) for side in x_BCHW.shape[-2:])
    return torch.einsum("jh,bchw,kw->bcjk", rows, x_BCHW, columns)


def adain_block(block: AdaINBlock, x_1CHW: Tensor, style_1S: Tensor, noise_11HW: Tensor | None) -> Tensor:
    """Eq. 3.9 a channel at a time, after convolution, noise, bias and leaky ReLU."""
    channels, S = x_1CHW.shape[1], style_1S.shape[1]
    y = F.conv2d(x_1CHW, block.weight / math.sqrt(9 * channels), padding=1)
    if noise_11HW is not None and block.noise_strength is not None:
        y = y + block.noise_strength * noise_11HW
    y = F.leaky_relu(y + block.bias[None, :, None, None], 0.2)
    outputs = []
    for i in range(y.shape[1]):
        x_i = y[0, i]
        mu = x_i.mean()
        sigma = torch.sqrt(((x_i - mu) ** 2).mean() + 1e-8)
        y_s = (block.style_scale.weight[i] * style_1S[0]).sum() / math.sqrt(S) + block.style_scale.bias[i]
        y_b = (block.style_shift.weight[i] * style_1S[0]).sum() / math.sqrt(S) + block.style_shift.bias[i]
        outputs.append(y_s * (x_i - mu) / sigma + y_b)
    return torch.stack(outputs)[None]


def encoded(generator: StyleGenerator, context_BK3HW: Tensor, mask_BMHW: Tensor | None) -> list[Tensor]:
    """Features of every level, lowest first."""
    channels = [context_BK3HW[:, k] for k in range(context_BK3HW.shape[1])]
    channels += [] if mask_BMHW is None else [mask_BMHW[:, m : m + 1] for m in range(mask_BMHW.shape[1])]
    x = F.conv2d(torch.cat(channels, 1), generator.encoder.stem.weight, generator.encoder.stem.bias, padding=1)
    features: list[Tensor] = []
    for block in generator.encoder.blocks:
        x = gresnet_block(block, x) if block.norm1 is None else gresnet_down(block, x)
        features.insert(0, x)
    return features


def from_latent(generator: StyleGenerator, z_BZ: Tensor) -> list[Tensor]:
    features = []
    for level, linear in enumerate(generator.latent_features.linears):
        x = (z_BZ @ linear.weight.T + linear.bias).reshape(len(z_BZ), -1, 4, 4)
        features.append(bilinear(x, 2.0**level) if level else x)
    return features


def style_of(generator: StyleGenerator, feature_BC44: Tensor, z_BZ: Tensor | None) -> Tensor:
    """(B, S)"""
    style: Tensor = torch.zeros((), dtype=feature_BC44.dtype)
    if generator.context_frames:
        x = feature_BC44
        for block in generator.style_head.blocks:
            x = gresnet_block(block, x)
        linear = generator.style_head.linear
        style = style + x.flatten(1) @ linear.weight.T + linear.bias
    if z_BZ is not None:
        linear = generator.latent_maps.style
        style = style + z_BZ @ linear.weight.T + (0 if linear.bias is None else linear.bias)
    return 1 / (1 + torch.exp(-style)) if generator.activation == "sigmoid" else style


def generate(
    generator: StyleGenerator,
    context_BK3HW: Tensor,
    frames: int,
    seeds: list[int] | None,
    mask_BMHW: Tensor | None = None,
    mixing: Mixing | None = None,
) -> Tensor:
    """(B, frames, 3, H, W)"""
    B, like = len(context_BK3HW), next(generator.parameters())
    length = generator.latent

    def latent(key: int) -> Tensor | None:
        if not length:
            return None
        if seeds is None:
            return like.new_zeros(B, length)
        return torch.cat([NoiseStream([seed]).next_values(key, (length,), like) for seed in seeds])

    z = latent(LATENT)
    contexts, masks, latents = context_BK3HW, mask_BMHW, z
    if mixing is not None:  # one batch for the encoder, since batch norm looks at all of it
        other_z = latent(MIXED_LATENT)
        contexts = torch.cat((contexts, mixing.context))
        masks = None if masks is None else torch.cat((masks, mixing.mask))
        latents = None if z is None else torch.cat((z, other_z))
    if generator.context_frames:
        features = encoded(generator, contexts, masks)
    else:
        features = from_latent(generator, latents)
    styles = style_of(generator, features[0], latents)

    videos = []
    for b in range(B):
        own, other = styles[b : b + 1], styles[B + b : B + b + 1] if mixing is not None else None
        first_level = len(features) if mixing is None else int(mixing.first_level[b])
        constant = generator.decoder.constant[None]
        if z is not None:
            constant = constant + (generator.latent_maps.constant.weight @ z[b]).reshape(constant.shape)
        video = _clip(
            generator,
            constant,
            [feature[b : b + 1] for feature in features],
            [own if level < first_level else other for level in range(len(features))],
            frames - context_BK3HW.shape[1],
            None if seeds is None else NoiseStream([seeds[b]]),
        )
        if generator.hard_mask:
            for y in range(video.shape[-2]):
                for x in range(video.shape[-1]):
                    if not mask_BMHW[b, :, y, x].any():
                        video[:, :, y, x] = context_BK3HW[b, -1, :, y, x]
        videos.append(torch.cat((context_BK3HW[b], video)))
    return torch.stack(videos)


def _clip(
    generator: StyleGenerator,
    constant: Tensor,
    features: list[Tensor],
    styles: list[Tensor],
    steps: int,
    stream: NoiseStream | None,
) -> Tensor:
    """(steps, 3, H, W), each frame through all levels before the next one begins."""
    states = [
        [feature] * len(level.cell.cells) for level, feature in zip(generator.decoder.levels, features, strict=True)
    ]
    frames = []
    for _ in range(steps):
        x = constant
        for index, level in enumerate(generator.decoder.levels):
            for number, cell in enumerate(level.cell.cells):
                x = states[index][number] = conv_gru(cell, x, states[index][number])
            x = blurred(x) if level.upsample.__name__ == "upsampled_and_blurred" else bilinear(x, 2.0)
            for number, block in enumerate((level.style1, level.style2)):
                maps = None
                if stream is not None and block.noise_strength is not None:
                    maps = stream.next_maps(2 * index + number, 1, *x.shape[-2:], x)
                x = _block(block, x, styles[index], maps)
        rgb = modulated_conv(generator.decoder.to_rgb.conv, x, styles[-1], demodulate=False)
        frames.append(torch.tanh(rgb + generator.decoder.to_rgb.bias[:, None, None])[0])
    return torch.stack(frames)


def _block(block: nn.Module, x: Tensor, style: Tensor, maps: Tensor | None) -> Tensor:
    return (adain_block if isinstance(block, AdaINBlock) else style_block)(block, x, style, maps)
