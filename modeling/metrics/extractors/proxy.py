"""The built-in proxy as an extractor: fixed random filters, for machines without weights.

Letters: N clips, T frames, H and W the frames' height and width.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from modeling.metrics.extractors.interface import require_clips
from modeling.metrics.proxy import FEATURES, LARGEST_SIDE, SEED, SHORTEST, VERSION, ProxyFeatures


class ProxyExtractor:
    """`features` (N, 64) float64 of clips of 4 frames and more. Its distances are proxy-FD, never FID or FVD."""

    name = "proxy"
    digest = f"version {VERSION}, seed {SEED}"
    unit: Literal["frame", "clip"] = "clip"
    widths: Mapping[str, int] = {"features": FEATURES}
    shortest = SHORTEST
    facts: Mapping[str, str] = {
        "network": f"three layers of random 3x3x3 filters, float64, version {VERSION}, seed {SEED}",
        "resize": f"larger sides averaged down to {LARGEST_SIDE}x{LARGEST_SIDE}, smaller ones as they are",
        "range": "[-1, 1]",
    }

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._network = ProxyFeatures().to(device)

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        """ValueError for clips of another form, or shorter than `shortest`, or with sides below 8."""
        require_clips(clips_NTHW3, name=self.name, shortest=self.shortest)
        if not len(clips_NTHW3):
            return {"features": torch.zeros((0, FEATURES), dtype=torch.float64, device=self._device)}
        video_NT3HW = clips_NTHW3.to(self._device).movedim(-1, -3).double() / 255
        features: Tensor = self._network(video_NT3HW)
        return {"features": features}
