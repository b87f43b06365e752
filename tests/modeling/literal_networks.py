"""Slow, obvious twins of the networks and losses: frame by frame, a weight a frame, the thesis's equations literally.

They read their weights from the fast networks, so gradients of both can be compared parameter by parameter.
Shapes: B batch, T time, K sampled frames, C channels, H and W height and width, S style.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks import SpatialDiscriminator, StyleGenerator, TemporalDiscriminator
from modeling.networks.noise import NoiseStream


def bilinear(x: Tensor, factor: float) -> Tensor:
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


# -- generator (Fig. 3.7) ------------------------------------------------------------------------------------------


def gresnet_block(block: nn.Module, x: Tensor) -> Tensor:
    """Fig. 3.3 without batch norm: both branches are computed at full size and then halved."""
    y = F.conv2d(F.relu(x), block.conv1.weight, block.conv1.bias, padding=1)
    y = F.conv2d(F.relu(y), block.conv2.weight, block.conv2.bias, padding=1)
    skip = F.conv2d(x, block.skip.weight, block.skip.bias)
    return bilinear(y, 0.5) + bilinear(skip, 0.5)


def modulated_weights(conv: nn.Module, style_BS: Tensor, demodulate: bool) -> Tensor:
    """Eq. 3.10 and 3.11 on the equalised weight: one weight a sample, (B, O, C, E, E)."""
    affine = conv.affine
    s_BC = style_BS @ (affine.weight / math.sqrt(style_BS.shape[1])).T + affine.bias
    channels, side = conv.weight.shape[1:3]
    weight = conv.weight / math.sqrt(channels * side * side)
    modulated = s_BC[:, None, :, None, None] * weight[None]  # Eq. 3.10
    if demodulate:
        modulated = modulated / torch.sqrt(modulated.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8)  # Eq. 3.11
    return modulated


def modulated_conv(conv: nn.Module, x_BCHW: Tensor, style_BS: Tensor, demodulate: bool) -> Tensor:
    weight_BOCEE = modulated_weights(conv, style_BS, demodulate)
    B, out = weight_BOCEE.shape[:2]
    grouped = x_BCHW.reshape(1, -1, *x_BCHW.shape[2:])
    y = F.conv2d(grouped, weight_BOCEE.flatten(0, 1), padding=weight_BOCEE.shape[-1] // 2, groups=B)
    return y.reshape(B, out, *x_BCHW.shape[2:])


def style_block(block: nn.Module, x_BCHW: Tensor, style_BS: Tensor, noise_B1HW: Tensor | None) -> Tensor:
    y = modulated_conv(block.conv, x_BCHW, style_BS, demodulate=True)
    if noise_B1HW is not None and block.noise_strength is not None:
        y = y + block.noise_strength * noise_B1HW
    return F.leaky_relu(y + block.bias[:, None, None], 0.2) * math.sqrt(2.0)


def conv_gru(cell: nn.Module, x: Tensor, h: Tensor) -> Tensor:
    """The cell's equations with [;] as concatenated channels and one weight a gate."""
    C = h.shape[1]
    W_hr, W_hu = cell.hidden_gates.chunk(2)
    W_xr, W_xu, W_xc = cell.input.weight.chunk(3)
    b_r, b_u, b_c = cell.input.bias.chunk(3)
    assert W_xr.shape[0] == C

    def gate(W_h: Tensor, W_x: Tensor, b: Tensor, hidden: Tensor) -> Tensor:
        return F.conv2d(torch.cat((hidden, x), dim=1), torch.cat((W_h, W_x), dim=1), b, padding=1)

    r = torch.sigmoid(gate(W_hr, W_xr, b_r, h))
    u = torch.sigmoid(gate(W_hu, W_xu, b_u, h))
    c = torch.tanh(gate(cell.hidden_candidate, W_xc, b_c, r * h))
    return (1 - u) * h + u * c


def generate(
    generator: StyleGenerator, image_B3HW: Tensor, frames: int | None = None, noise: list[int] | None = None
) -> Tensor:
    """The generator frame by frame, each frame through all levels before the next one begins."""
    encoder, head, decoder = generator.encoder, generator.style_head, generator.decoder
    x = F.conv2d(image_B3HW, encoder.stem.weight, encoder.stem.bias, padding=1)
    features = []
    for block in encoder.blocks:
        x = gresnet_block(block, x)
        features.append(x)
    for block in head.blocks:
        x = gresnet_block(block, x)
    style = F.linear(x.flatten(1), head.linear.weight, head.linear.bias)
    if generator.activation == "sigmoid":
        style = torch.sigmoid(style)

    states = [[feature] * len(level.cell.cells) for level, feature in zip(decoder.levels, features[::-1], strict=True)]
    stream = None if noise is None else NoiseStream(noise)
    video = [image_B3HW]
    for _ in range(1, frames or generator.frames):
        x = decoder.constant[None].expand(len(image_B3HW), -1, -1, -1)
        for index, level in enumerate(decoder.levels):
            for number, cell in enumerate(level.cell.cells):
                x = states[index][number] = conv_gru(cell, x, states[index][number])
            x = bilinear(x, 2.0)
            for number, block in enumerate((level.style1, level.style2)):
                maps = None if stream is None else stream.next_maps(2 * index + number, 1, *x.shape[-2:], x)
                x = style_block(block, x, style, maps)
        rgb = modulated_conv(decoder.to_rgb.conv, x, style, demodulate=False)
        video.append(torch.tanh(rgb + decoder.to_rgb.bias[:, None, None]))
    return torch.stack(video, dim=1)


# -- discriminators (sections 3.6, 3.7) ----------------------------------------------------------------------------


def dresnet_block(block: nn.Module, x: Tensor) -> Tensor:
    """Fig. 3.3: convolve at full size, then pool; in 2 or 3 dimensions."""
    conv, pool = (F.conv2d, F.avg_pool2d) if x.dim() == 4 else (F.conv3d, F.avg_pool3d)
    y = F.relu(x) if block.leading_relu else x
    y = conv(y, block.conv1.weight, block.conv1.bias, padding=1)
    y = conv(F.relu(y), block.conv2.weight, block.conv2.bias, padding=1)
    skip = conv(x, block.skip.weight, block.skip.bias)
    return pool(y, 2) + pool(skip, 2) if block.halve else y + skip


def self_attention(attention: nn.Module, x_CHW: Tensor) -> Tensor:
    """One map: every position's output is a weighted sum over all positions, written as loops."""
    C, H, W = x_CHW.shape
    positions = x_CHW.reshape(C, H * W).T
    query, key, value, out = (getattr(attention, name).weight[:, :, 0, 0] for name in ("query", "key", "value", "out"))
    rows = []
    for p in range(H * W):
        scores = torch.stack([(query @ positions[p]) @ (key @ positions[q]) for q in range(H * W)])
        weights = torch.softmax(scores, dim=0)
        rows.append(out @ sum(weights[q] * (value @ positions[q]) for q in range(H * W)))
    return x_CHW + attention.gamma * torch.stack(rows).T.reshape(C, H, W)


def _tail(network: nn.Module, x_CHW: Tensor, attention: bool, blocks: list[nn.Module], first: int) -> Tensor:
    """Score of one frame or slice; attention, where there is any, comes after the second block."""
    for index, block in enumerate(blocks, start=first):
        x_CHW = dresnet_block(block, x_CHW[None])[0]
        if index == 1 and attention:
            x_CHW = self_attention(network.attention, x_CHW)
    return network.linear(F.relu(x_CHW).sum(dim=(1, 2)))[0]


def score_frames(d_s: SpatialDiscriminator, frames_BK3HW: Tensor, condition_B3HW: Tensor) -> Tensor:
    """D_S a frame at a time: (B, K)."""
    rows = []
    for frames_K3HW, condition in zip(frames_BK3HW, condition_B3HW, strict=True):
        inputs = [torch.cat((frame, condition)) if d_s.conditional else frame for frame in frames_K3HW]
        rows.append(torch.stack([_tail(d_s, x, d_s.attention is not None, list(d_s.blocks), 0) for x in inputs]))
    return torch.stack(rows)


def score_clips(d_t: TemporalDiscriminator, video_BT3HW: Tensor) -> Tensor:
    """D_T a clip and a slice at a time: (B, slices)."""
    rows = []
    for video_T3HW in video_BT3HW:
        x = video_T3HW
        if d_t.pool > 1:
            x = torch.stack([F.avg_pool2d(frame[None], d_t.pool)[0] for frame in x])
        volume = x.transpose(0, 1)[None]
        for block in d_t.blocks[:2]:
            volume = dresnet_block(block, volume)
        slices = list(volume[0].transpose(0, 1))
        if d_t.attention is not None:
            slices = [self_attention(d_t.attention, one) for one in slices]
        rows.append(torch.stack([_tail(d_t, one, False, list(d_t.blocks[2:]), 2) for one in slices]))
    return torch.stack(rows)
