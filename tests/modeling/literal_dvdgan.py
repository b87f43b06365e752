"""A slow, obvious twin of `dvdgan-s`: every map at full size, batch norm and spectral norm written out.

It reads its weights from the fast network. Shapes: B batch, T time, C channels, H and W height and width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.networks.batch_norm import BatchNorm
from modeling.networks.dvdgan import DVDGANSmall
from tests.modeling.literal_networks import bilinear, conv_gru


def batch_norm(norm: BatchNorm, maps: list[Tensor]) -> list[Tensor]:
    """Ioffe 2015, a channel at a time, over a list of maps (B, C, H, W): one list entry a frame."""
    outputs = []
    for channel in range(maps[0].shape[1]):
        values = torch.cat([x[:, channel].reshape(-1) for x in maps])
        if norm.training:
            mean = values.sum() / len(values)
            variance = ((values - mean) ** 2).sum() / len(values)
        else:
            mean, variance = norm.running_mean[channel], norm.running_var[channel]
        outputs.append(
            [
                norm.weight[channel] * (x[:, channel] - mean) / torch.sqrt(variance + 1e-5) + norm.bias[channel]
                for x in maps
            ]
        )
    return [torch.stack([channel[t] for channel in outputs], dim=1) for t in range(len(maps))]


def normalised_weight(conv: nn.Module) -> Tensor:
    """The weight over u^T W v, the singular value that the two vectors estimate (Miyato 2018)."""
    weight = conv.parametrizations.weight.original
    vectors = conv.parametrizations.weight[0]
    sigma = (vectors._u[:, None] * weight.flatten(1) * vectors._v[None, :]).sum()
    return weight / sigma


def gresnet_up(block: nn.Module, maps: list[Tensor], *, double: bool) -> list[Tensor]:
    """Fig. 3.3, all frames of a clip: doubled first, then convolved at full size on both branches."""
    left = [F.relu(x) for x in batch_norm(block.norm1, maps)]
    left = [bilinear(x, 2.0) for x in left] if double else left
    left = [F.conv2d(x, normalised_weight(block.conv1), block.conv1.bias, padding=1) for x in left]
    left = [F.relu(x) for x in batch_norm(block.norm2, left)]
    left = [F.conv2d(x, normalised_weight(block.conv2), block.conv2.bias, padding=1) for x in left]
    right = [bilinear(x, 2.0) for x in maps] if double else maps
    right = [F.conv2d(x, normalised_weight(block.skip), block.skip.bias) for x in right]
    return [a + b for a, b in zip(left, right, strict=True)]


def gresnet_down(block: nn.Module, x: Tensor) -> Tensor:
    """The encoder's block: both branches at full size, then halved."""
    y = F.relu(batch_norm(block.norm1, [x])[0])
    y = F.conv2d(y, block.conv1.weight, block.conv1.bias, padding=1)
    y = F.relu(batch_norm(block.norm2, [y])[0])
    y = F.conv2d(y, block.conv2.weight, block.conv2.bias, padding=1)
    return bilinear(y, 0.5) + bilinear(F.conv2d(x, block.skip.weight, block.skip.bias), 0.5)


def generate(generator: DVDGANSmall, given_BCHW: Tensor, first_BC44: Tensor, steps: int) -> Tensor:
    """`steps` frames (B, T, 3, H, W) from what the encoder reads and the lowest cell's input."""
    x = F.conv2d(given_BCHW, generator.encoder.stem.weight, generator.encoder.stem.bias, padding=1)
    features = []
    for block in generator.encoder.blocks:
        x = gresnet_down(block, x)
        features.insert(0, x)
    maps = [first_BC44] * steps
    for level, feature in zip(generator.decoder.levels, features, strict=True):
        for cell in level.cell.cells:
            h, states = feature, []
            for x in maps:
                h = conv_gru(cell, x, h)
                states.append(h)
            maps = states
        maps = gresnet_up(level.block1, maps, double=True)
        maps = gresnet_up(level.block2, maps, double=False)
    rgb = generator.decoder.to_rgb
    return torch.stack([torch.tanh(F.conv2d(F.relu(x), rgb.weight, rgb.bias, padding=1)) for x in maps], dim=1)
