"""Label maps of a clip's first frame (section 4.5): checked, and as the channels that a generator takes.

A pixel's label is its class: 0 stands still and has no channel, 1 to M have one each. A motion mask is M = 1.
Shapes: B clips, M mask classes, H and W height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def one_hot(labels_BHW: Tensor, classes: int, device: torch.device) -> Tensor:
    """Labels (B, H, W) uint8 as float32 channels (B, classes, H, W) on `device`: channel m is 1 where label m + 1 is.

    ValueError for a label above `classes`.
    """
    highest = int(labels_BHW.max())
    if highest > classes:
        raise ValueError(f"a mask of {classes} classes has labels 0 (still) to {classes}, not {highest}")
    channels_M11 = torch.arange(1, classes + 1, device=device)[:, None, None]
    return (labels_BHW.to(device, non_blocking=True)[:, None] == channels_M11).to(torch.float32)
