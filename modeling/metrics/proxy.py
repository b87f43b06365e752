"""proxy-FD: a Frechet distance over fixed random features of clips, for where no pretrained network's weights are.

Not FID and not FVD, and not comparable with them. Random filters tell colours, textures and their change over time
apart, nothing that has a name; on other data than small moving landscapes it is untested.

Shapes: B clips, N clips in all, T frames, R side, D features. Features are logarithms of filter energies, so that a
faint motion counts beside a bright sky: equal ratios are equal distances.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from modeling.metrics.frechet import frechet_distance

SEED = 20_260_101  #      of the filters; another one makes another metric
VERSION = 1  #            of the filters' making
LARGEST_SIDE = 64  #      larger frames are averaged down to it
SHORTEST = 4  #           frames
MOTION, TEXTURE, FREE = 8, 6, 2  # first layer: filters that sum to 0 over time, over space, or not at all
WIDTHS = (MOTION + TEXTURE + FREE, 20, 22)
FEATURES = 6 + sum(WIDTHS)  # the mean and the deviation of each colour, and the filters' energies
FLOOR = 1e-3  #           energy that counts as none: of noise of four grey levels


class ProxyFeatures(nn.Module):
    """Three layers of random 3x3x3 filters with ReLUs between them, in float64: the same on every machine."""

    def __init__(self) -> None:
        super().__init__()
        raw = np.random.PCG64(SEED)  # its raw numbers never change between versions of numpy
        before = 3
        for number, width in enumerate(WIDTHS):
            weight = _uniform(raw, (width, before, 3, 3, 3))
            if number == 0:
                weight[:MOTION] -= weight[:MOTION].mean(axis=2, keepdims=True)
                texture = slice(MOTION, MOTION + TEXTURE)
                weight[texture] -= weight[texture].mean(axis=(3, 4), keepdims=True)
            gain = 1.0 if number == 0 else 2.0  # a ReLU before it took half of the energy, and sums cancel
            weight *= gain / np.sqrt(np.square(weight).sum(axis=(1, 2, 3, 4), keepdims=True))
            self.register_buffer(f"filters_{number}", torch.from_numpy(weight))
            before = width

    def forward(self, video_BT3RR: Tensor) -> Tensor:
        """(B, D) float64 of clips (B, T, 3, R, R) in [0, 1]. ValueError for other shapes or fewer than 4 frames.

        A clip's features do not depend on the others in its batch.
        """
        shape = tuple(video_BT3RR.shape)
        if len(shape) != 5 or shape[2] != 3 or shape[1] < SHORTEST or min(shape[3:]) < 8:
            raise ValueError(f"clips must be (B, T, 3, R, R) with T >= {SHORTEST} and R >= 8, not {shape}")
        with torch.no_grad():
            return torch.stack([self._of_clip(clip_T3RR) for clip_T3RR in video_BT3RR])

    def _of_clip(self, clip_T3RR: Tensor) -> Tensor:
        x = clip_T3RR.double() * 2 - 1
        if max(x.shape[-2:]) > LARGEST_SIDE:
            x = F.interpolate(x, size=(LARGEST_SIDE, LARGEST_SIDE), mode="area")
        features = [x.mean(dim=(0, 2, 3)), x.std(dim=(0, 2, 3), correction=0)]
        x = x.movedim(1, 0)[None]  # (1, 3, T, R, R)
        for number in range(len(WIDTHS)):
            # No padding in time, where a made-up frame would look like motion; the first layer keeps the frames' rate.
            stride = (1, 1, 1) if number == 0 else (2, 2, 2)
            x = _filtered(x, getattr(self, f"filters_{number}"), stride)
            features.append((x.square().mean(dim=(0, 2, 3, 4)) + FLOOR).log())
            x = F.relu(x)
        return torch.cat(features)


def _filtered(x: Tensor, weight: Tensor, stride: tuple[int, int, int]) -> Tensor:
    """The 3-D convolution; time is padded by repeated frames once too few are left to go without."""
    short = x.shape[2] < 3
    if short:
        x = F.pad(x, (0, 0, 0, 0, 1, 1), mode="replicate")
    return F.conv3d(x, weight, stride=stride)


def _uniform(raw: np.random.PCG64, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Values in [-1, 1) from the generator's raw bits."""
    bits = np.asarray(raw.random_raw(int(np.prod(shape))), np.uint64)
    return ((bits >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1).reshape(shape)


def proxy_fd(x_ND: Tensor, y_MD: Tensor) -> dict[str, Any]:
    """The distance with its protocol: `value`, both numbers of clips, and whether they are too few for D features."""
    smallest = min(len(x_ND), len(y_MD))
    return {
        "value": frechet_distance(x_ND, y_MD),
        "n": [len(x_ND), len(y_MD)],
        "features": x_ND.shape[1],
        "few": smallest <= x_ND.shape[1],  # the covariance has not full rank: only sets of equal size compare
        "version": VERSION,
        "seed": SEED,
    }
