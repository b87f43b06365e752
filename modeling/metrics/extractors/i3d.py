"""The I3D of TensorFlow Hub (deepmind/i3d-kinetics-400/1), ported to torch: for FVD.

Carreira and Zisserman 2017 (arXiv 1705.07750), Inception v1 inflated, with TensorFlow's SAME padding. State-dict names
and shapes are those of VideoGPT's `i3d_pretrained_400.pt`; `torchscript.py` brings StyleGAN-V's archive into them.

FVD (Unterthiner et al. 2018, arXiv 1812.01717) is a Frechet distance over the 400 logits, averaged over time, before
the softmax. The references agree on this and differ in what the network is shown: the first code and StyleGAN-V
stretch frames to 224x224 (the first with TensorFlow 1's corner-anchored samples, in [-1, 1]; StyleGAN-V inside its
archive), VideoGPT brings the shorter side to 224, crops the centre and stays in [-0.5, 0.5]. Ours stretches to 224x224
with half-pixel centres, in [-1, 1], as TATS does.

Shapes: B or N clips, T frames, H and W the frames' height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.metrics.extractors.batches import exact_float32, in_batches
from modeling.metrics.extractors.interface import require_clips
from modeling.metrics.extractors.resize import IN_WORDS, resize

SIDE = 224
LOGITS = 400
SHORTEST = 9  # frames: three halvings, rounded up, must leave the two that the last pool averages
EPSILON = 1e-5  # of batch normalisation in VideoGPT's code; another file may say another
Triple = tuple[int, int, int]


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, so that ceil(size / stride) come out; the odd one after: TensorFlow's SAME."""
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def padded(x_BCTHW: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    pairs = [same_padding(size, k, s) for size, k, s in zip(x_BCTHW.shape[2:], kernel, stride, strict=True)]
    flat = [zeros for pair in reversed(pairs) for zeros in pair]
    return F.pad(x_BCTHW, flat) if any(flat) else x_BCTHW


class Unit(nn.Module):
    """A convolution with SAME padding; batch normalisation and ReLU, or a bias alone for the logits."""

    def __init__(
        self, before: int, after: int, kernel: Triple = (1, 1, 1), stride: Triple = (1, 1, 1), *, last: bool = False
    ) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.conv3d = nn.Conv3d(before, after, kernel, stride=stride, bias=last)
        self.bn = None if last else nn.BatchNorm3d(after, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3d(padded(x, self.kernel, self.stride))
        return x if self.bn is None else F.relu(self.bn(x), inplace=True)


def pooled(x: Tensor, kernel: Triple, stride: Triple) -> Tensor:
    """Maximum pooling with SAME padding. Zeros stand for minus infinity: after a ReLU no value is below them."""
    return F.max_pool3d(padded(x, kernel, stride), kernel, stride)


class Mixed(nn.Module):
    """Four branches beside each other: 1x1x1, two of 3x3x3 behind a bottleneck, and a pooled one."""

    def __init__(self, before: int, widths: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        one, inner_1, three_1, inner_2, three_2, pool = widths
        self.b0 = Unit(before, one)
        self.b1a, self.b1b = Unit(before, inner_1), Unit(inner_1, three_1, (3, 3, 3))
        self.b2a, self.b2b = Unit(before, inner_2), Unit(inner_2, three_2, (3, 3, 3))
        self.b3b = Unit(before, pool)

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.b0(x), self.b1b(self.b1a(x)), self.b2b(self.b2a(x))]
        return torch.cat([*branches, self.b3b(pooled(x, (3, 3, 3), (1, 1, 1)))], dim=1)


class I3D(nn.Module):
    """The network from clips in [-1, 1] to 400 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv3d_1a_7x7 = Unit(3, 64, (7, 7, 7), (2, 2, 2))
        self.Conv3d_2b_1x1 = Unit(64, 64)
        self.Conv3d_2c_3x3 = Unit(64, 192, (3, 3, 3))
        self.Mixed_3b = Mixed(192, (64, 96, 128, 16, 32, 32))
        self.Mixed_3c = Mixed(256, (128, 128, 192, 32, 96, 64))
        self.Mixed_4b = Mixed(480, (192, 96, 208, 16, 48, 64))
        self.Mixed_4c = Mixed(512, (160, 112, 224, 24, 64, 64))
        self.Mixed_4d = Mixed(512, (128, 128, 256, 24, 64, 64))
        self.Mixed_4e = Mixed(512, (112, 144, 288, 32, 64, 64))
        self.Mixed_4f = Mixed(528, (256, 160, 320, 32, 128, 128))
        self.Mixed_5b = Mixed(832, (256, 160, 320, 32, 128, 128))
        self.Mixed_5c = Mixed(832, (384, 192, 384, 48, 128, 128))
        self.logits = Unit(1024, LOGITS, last=True)

    def set_epsilon(self, epsilon: float) -> None:
        """Of every batch normalisation: it is no tensor, so a state dict does not carry it."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.eps = epsilon

    def forward(self, x_B3THW: Tensor) -> Tensor:
        """(B, 400), the mean over time. T must be 9 or more, H and W 193 or more; 224 is what it was trained on."""
        x = pooled(self.Conv3d_1a_7x7(x_B3THW), (1, 3, 3), (1, 2, 2))
        x = pooled(self.Conv3d_2c_3x3(self.Conv3d_2b_1x1(x)), (1, 3, 3), (1, 2, 2))
        x = pooled(self.Mixed_3c(self.Mixed_3b(x)), (3, 3, 3), (2, 2, 2))
        x = self.Mixed_4f(self.Mixed_4e(self.Mixed_4d(self.Mixed_4c(self.Mixed_4b(x)))))
        x = pooled(x, (2, 2, 2), (2, 2, 2))
        x = self.Mixed_5c(self.Mixed_5b(x))
        logits_BDTHW: Tensor = self.logits(F.avg_pool3d(x, (2, 7, 7), stride=1))
        return logits_BDTHW.mean(dim=(2, 3, 4))


class I3DExtractor:
    """logits (N, 400) of each clip."""

    name = "i3d"
    unit: Literal["frame", "clip"] = "clip"
    widths: Mapping[str, int] = {"logits": LOGITS}
    shortest = SHORTEST

    def __init__(self, network: I3D, digest: str, device: torch.device) -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.digest = digest
        self._device = device
        self._type = network.logits.conv3d.weight.dtype
        self.facts: Mapping[str, str] = {
            "network": "I3D, Kinetics-400, RGB (TensorFlow Hub's)",
            "resize": f"{SIDE}x{SIDE} {IN_WORDS['torch']}, stretched where not square",
            "range": "[-1, 1]",
            "features": "400 logits, mean over time, before the softmax",
            "batch normalisation": f"epsilon {_epsilon(network):g}",
        }

    def at_once(self, frames: int) -> int:
        """How many clips of so many frames go through the network together."""
        return max(1, (256 if self._device.type == "cuda" else 64) // frames)

    def prepared(self, clips_BTHW3: Tensor) -> Tensor:
        """uint8 clips as the network takes them: (B, 3, T, 224, 224)."""
        clips, frames = clips_BTHW3.shape[:2]
        x = clips_BTHW3.to(self._device).flatten(0, 1).movedim(-1, -3).to(self._type)
        x = resize(x, SIDE, "torch").view(clips, frames, 3, SIDE, SIDE).movedim(1, 2)
        return x / 127.5 - 1

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        """ValueError for clips of another form or shorter than 9 frames."""
        require_clips(clips_NTHW3, name=self.name, shortest=self.shortest)
        with torch.no_grad(), exact_float32():
            (logits,) = in_batches(
                lambda part: (self.network(self.prepared(part)),),
                clips_NTHW3,
                self.at_once(clips_NTHW3.shape[1]),
                (LOGITS,),
                self._device,
                self._type,
            )
        return {"logits": logits}


def _epsilon(network: I3D) -> float:
    bn = network.Conv3d_1a_7x7.bn
    return EPSILON if bn is None else bn.eps
