"""Inception v3 as TensorFlow's FID graph of 2015-12-05 has it, ported to torch: for FID and IS.

It differs from the paper's (Szegedy et al. 2016, arXiv 1512.00567) in three ways, all of them in the graph: the average
pools leave the padding out of the mean, the last block pools by maximum, and 1008 logits. State-dict names and shapes
are those of `pt_inception-2015-12-05-6726825d.pth` (pytorch-fid; torch-fidelity's file has the same bytes).

Shapes: B images, N clips, T frames, H and W the frames' height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.metrics.extractors.batches import exact_float32, in_batches
from modeling.metrics.extractors.interface import require_clips
from modeling.metrics.extractors.resize import IN_WORDS, Resize, resize

SIDE = 299  #    of the frames that the network sees
POOL3 = 2048
LOGITS = 1008
SMALLEST = 75  # side of an image that the network itself can take
Kernel = int | tuple[int, int]


class Unit(nn.Module):
    """A convolution without bias, batch normalisation, ReLU."""

    def __init__(self, before: int, after: int, kernel: Kernel, *, stride: int = 1, padding: Kernel = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride=stride, padding=padding, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x_BCHW)), inplace=True)


def row(before: int, after: int) -> Unit:
    return Unit(before, after, (1, 7), padding=(0, 3))


def column(before: int, after: int) -> Unit:
    return Unit(before, after, (7, 1), padding=(3, 0))


def averaged(x_BCHW: Tensor) -> Tensor:
    """The 3x3 mean around each pixel; at the border of the pixels that are there."""
    return F.avg_pool2d(x_BCHW, 3, stride=1, padding=1, count_include_pad=False)


class BlockA(nn.Module):
    """35x35: 1x1, 5x5, double 3x3 and pooled branches."""

    def __init__(self, before: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(before, 64, 1)
        self.branch5x5_1 = Unit(before, 48, 1)
        self.branch5x5_2 = Unit(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Unit(before, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, padding=1)
        self.branch_pool = Unit(before, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), wide, double, self.branch_pool(averaged(x))], dim=1)


class BlockB(nn.Module):
    """35x35 to 17x17."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3 = Unit(before, 384, 3, stride=2)
        self.branch3x3dbl_1 = Unit(before, 64, 1)
        self.branch3x3dbl_2 = Unit(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Unit(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], dim=1)


class BlockC(nn.Module):
    """17x17: 1x1, factored 7x7, double factored 7x7 and pooled branches."""

    def __init__(self, before: int, inner: int) -> None:
        super().__init__()
        self.branch1x1 = Unit(before, 192, 1)
        self.branch7x7_1 = Unit(before, inner, 1)
        self.branch7x7_2 = row(inner, inner)
        self.branch7x7_3 = column(inner, 192)
        self.branch7x7dbl_1 = Unit(before, inner, 1)
        self.branch7x7dbl_2 = column(inner, inner)
        self.branch7x7dbl_3 = row(inner, inner)
        self.branch7x7dbl_4 = column(inner, inner)
        self.branch7x7dbl_5 = row(inner, 192)
        self.branch_pool = Unit(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(averaged(x))], dim=1)


class BlockD(nn.Module):
    """17x17 to 8x8."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.branch3x3_1 = Unit(before, 192, 1)
        self.branch3x3_2 = Unit(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Unit(before, 192, 1)
        self.branch7x7x3_2 = row(192, 192)
        self.branch7x7x3_3 = column(192, 192)
        self.branch7x7x3_4 = Unit(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        square = self.branch3x3_2(self.branch3x3_1(x))
        factored = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([square, factored, F.max_pool2d(x, 3, stride=2)], dim=1)


class BlockE(nn.Module):
    """8x8, with 3x3 split into 1x3 beside 3x1. `maximum`: the pool of Mixed_7c, which the graph has by itself."""

    def __init__(self, before: int, *, maximum: bool) -> None:
        super().__init__()
        self.maximum = maximum
        self.branch1x1 = Unit(before, 320, 1)
        self.branch3x3_1 = Unit(before, 384, 1)
        self.branch3x3_2a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Unit(before, 448, 1)
        self.branch3x3dbl_2 = Unit(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Unit(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Unit(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Unit(before, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.maximum else averaged(x)
        return torch.cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(single),
                self.branch3x3_2b(single),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(pooled),
            ],
            dim=1,
        )


class Inception(nn.Module):
    """The network from images in [-1, 1] to pool3 and the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Unit(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = Unit(32, 32, 3)
        self.Conv2d_2b_3x3 = Unit(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = Unit(64, 80, 1)
        self.Conv2d_4a_3x3 = Unit(80, 192, 3)
        self.Mixed_5b = BlockA(192, 32)
        self.Mixed_5c = BlockA(256, 64)
        self.Mixed_5d = BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b = BlockC(768, 128)
        self.Mixed_6c = BlockC(768, 160)
        self.Mixed_6d = BlockC(768, 160)
        self.Mixed_6e = BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b = BlockE(1280, maximum=False)
        self.Mixed_7c = BlockE(2048, maximum=True)
        self.fc = nn.Linear(POOL3, LOGITS)

    def forward(self, x_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """pool3 (B, 2048) and the logits without their bias (B, 1008).

        Salimans et al.'s IS (2016) multiplies pool3 by the last layer's matrix and leaves the bias out; torch-fidelity
        and StyleGAN follow it, and so do we.
        """
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x_B3HW)))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        pool3 = x.mean(dim=(2, 3))
        return pool3, F.linear(pool3, self.fc.weight)


class InceptionExtractor:
    """pool3 (N, T, 2048) for FID and logits (N, T, 1008) for IS, of each frame.

    `how` is the resize: `tensorflow` is the graph's own and that of torch-fidelity, with pixels as (x - 128) / 128;
    `torch` is pytorch-fid's, with 2 x / 255 - 1. Numbers of one do not compare with numbers of the other.
    """

    name = "inception"
    unit: Literal["frame", "clip"] = "frame"
    widths: Mapping[str, int] = {"pool3": POOL3, "logits": LOGITS}
    shortest = 1

    def __init__(self, network: Inception, digest: str, device: torch.device, *, how: Resize = "tensorflow") -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.digest = digest
        self._device = device
        self._how = how
        self._type = network.fc.weight.dtype
        self.facts: Mapping[str, str] = {
            "network": "Inception v3 of the FID graph (2015-12-05)",
            "resize": f"{SIDE}x{SIDE} {IN_WORDS[how]}",
            "range": "(x - 128) / 128" if how == "tensorflow" else "2 x / 255 - 1",
            "features": "pool3; logits without bias",
        }

    def at_once(self, frames: int) -> int:
        """How many frames go through the network together, whatever a clip's `frames`."""
        return 64 if self._device.type == "cuda" else 16

    def prepared(self, frames_BHW3: Tensor) -> Tensor:
        """uint8 frames as the network takes them: (B, 3, 299, 299)."""
        x = frames_BHW3.to(self._device).movedim(-1, -3).to(self._type)
        if self._how == "tensorflow":
            return (resize(x, SIDE, self._how) - 128) / 128
        return resize(x / 255, SIDE, self._how) * 2 - 1

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        """ValueError for clips of another form. Frames go through the network in batches, whatever N and T are."""
        require_clips(clips_NTHW3, name=self.name)
        clips, frames = clips_NTHW3.shape[:2]
        with torch.no_grad(), exact_float32():
            results = in_batches(
                lambda part: self.network(self.prepared(part)),
                clips_NTHW3.flatten(0, 1),
                self.at_once(frames),
                tuple(self.widths.values()),
                self._device,
                self._type,
            )
        return {
            name: result.view(clips, frames, width)
            for result, (name, width) in zip(results, self.widths.items(), strict=True)
        }
