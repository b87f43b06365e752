"""LPIPS (Zhang et al. 2018, arXiv 1801.03924), version 0.1 with AlexNet: a distance between two frames.

State-dict names and shapes are those of torchvision's `alexnet` for the backbone and of `lpips/weights/v0.1/alex.pth`
for the heads.

Shapes: B images, N clips, T frames, H and W the frames' height and width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modeling.metrics.extractors.batches import exact_float32, in_batches
from modeling.metrics.extractors.interface import require_clips

WIDTHS = (64, 192, 384, 256, 256)  # of the five ReLUs that are compared
SMALLEST = 31  # side that the second pool can still take
SHIFT = (-0.030, -0.088, -0.188)  # ImageNet's mean and deviation for colours in [-1, 1]
SCALE = (0.458, 0.448, 0.450)
FLOOR = 1e-10  # beside the norms


class Backbone(nn.Module):
    """AlexNet's convolutions under torchvision's names; the classifier of its file is not needed."""

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "0": nn.Conv2d(3, 64, 11, stride=4, padding=2),
            "3": nn.Conv2d(64, 192, 5, padding=2),
            "6": nn.Conv2d(192, 384, 3, padding=1),
            "8": nn.Conv2d(384, 256, 3, padding=1),
            "10": nn.Conv2d(256, 256, 3, padding=1),
        }
        self.features = nn.ModuleDict(layers)

    def forward(self, x_B3HW: Tensor) -> Iterator[Tensor]:
        """The five ReLUs' outputs, in turn."""
        x = x_B3HW
        for name, convolution in self.features.items():
            if name in ("3", "6"):
                x = F.max_pool2d(x, 3, stride=2)
            x = F.relu(convolution(x))
            yield x


class Heads(nn.Module):
    """A weight a channel for each of the five layers, as the published 1x1 convolutions without bias."""

    def __init__(self) -> None:
        super().__init__()
        for number, width in enumerate(WIDTHS):
            setattr(self, f"lin{number}", Head(width))

    def weight(self, number: int) -> Tensor:
        """(1, D, 1, 1)"""
        head: Head = getattr(self, f"lin{number}")
        return head.weight()


class Head(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        # The published file counts a dropout as model.0; it does nothing in evaluation.
        self.model = nn.ModuleDict({"1": nn.Conv2d(width, 1, 1, bias=False)})

    def weight(self) -> Tensor:
        (parameter,) = self.parameters()
        return parameter


class Lpips:
    """Distances (N, T) between the frames of two sets of clips; 0 for equal frames, and d(x, y) = d(y, x)."""

    name = "lpips"
    smallest = SMALLEST

    def __init__(self, backbone: Backbone, heads: Heads, digest: str, device: torch.device) -> None:
        self.backbone = backbone.to(device).eval().requires_grad_(False)
        self.heads = heads.to(device).eval().requires_grad_(False)
        self.digest = digest
        self._device = device
        weight = heads.weight(0)
        self._type = weight.dtype
        self._shift, self._scale = (
            torch.tensor(values, dtype=self._type, device=device).view(3, 1, 1) for values in (SHIFT, SCALE)
        )
        self.facts: Mapping[str, str] = {
            "network": "LPIPS 0.1, AlexNet",
            "resize": "none: frames as they are",
            "range": "[-1, 1]",
            "features": "five ReLUs, unit length a pixel, weighted squared differences, mean over the frame",
        }

    def distance(self, x_NTHW3: Tensor, y_NTHW3: Tensor) -> Tensor:
        """(N, T) float32 of uint8 clips. ValueError for other types, for unequal shapes, or for sides below 31."""
        for clips in (x_NTHW3, y_NTHW3):
            require_clips(clips, name=self.name)
        if x_NTHW3.shape != y_NTHW3.shape:
            raise ValueError(f"lpips compares clips of equal shape, not {(*x_NTHW3.shape,)} and {(*y_NTHW3.shape,)}")
        if min(x_NTHW3.shape[2:4]) < SMALLEST:
            raise ValueError(f"lpips needs frames of at least {SMALLEST}x{SMALLEST} pixels")
        with torch.no_grad(), exact_float32():
            (distances,) = in_batches(
                lambda pairs: (self._of_pairs(pairs)[:, None],),
                torch.stack([x_NTHW3, y_NTHW3], dim=2).flatten(0, 1),
                64 if self._device.type == "cuda" else 16,
                (1,),
                self._device,
                self._type,
            )
        return distances.view(x_NTHW3.shape[:2])

    def _of_pairs(self, pairs_B2HW3: Tensor) -> Tensor:
        x = pairs_B2HW3.to(self._device).flatten(0, 1).movedim(-1, -3).to(self._type) / 127.5 - 1
        total = torch.zeros(len(pairs_B2HW3), dtype=self._type, device=self._device)
        for number, features in enumerate(self.backbone((x - self._shift) / self._scale)):
            unit = features / (features.square().sum(dim=1, keepdim=True).sqrt() + FLOOR)
            difference = (unit[0::2] - unit[1::2]).square()
            total += (difference * self.heads.weight(number)).sum(dim=1).mean(dim=(1, 2))
        return total
