"""Bilinear resizing, by either of the two conventions that the references differ in.

Letters: B images, C channels, H and W height and width, R the new side.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Resize = Literal["tensorflow", "torch"]

IN_WORDS: dict[Resize, str] = {
    "tensorflow": "bilinear, corner-anchored samples (TensorFlow 1 ResizeBilinear), no antialiasing",
    "torch": "bilinear, half-pixel centres (torch align_corners=False), no antialiasing",
}


def resize(x_BCHW: Tensor, side: int, how: Resize) -> Tensor:
    """(B, C, side, side), in the type of x.

    tensorflow: sample i lies at i * H / side, as in TensorFlow 1's ResizeBilinear without align_corners.
    torch: sample i lies at (i + 0.5) * H / side - 0.5.
    """
    if how == "torch":
        return F.interpolate(x_BCHW, size=(side, side), mode="bilinear", align_corners=False, antialias=False)
    # Across first: the rows are fewer before the other axis grows, and each pixel's arithmetic is that of the kernel.
    return _along(_along(x_BCHW, side, -1), side, -2)


def _along(x: Tensor, size: int, axis: int) -> Tensor:
    before = x.shape[axis]
    if before == size:
        return x
    # float32 positions, as the kernel has them.
    position = torch.arange(size, dtype=torch.float32) * torch.tensor(before / size, dtype=torch.float32)
    low = position.floor().long().clamp(max=before - 1)
    share = (position - low).to(x.dtype).to(x.device)
    shape = [1] * x.ndim
    shape[axis] = size
    at = x.index_select(axis, low.to(x.device))
    after = x.index_select(axis, (low + 1).clamp(max=before - 1).to(x.device))
    return at + (after - at) * share.view(shape)
