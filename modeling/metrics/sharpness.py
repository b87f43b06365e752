"""Blur that spreads over a clip: places that had detail in its first frame and have lost it (the thesis's Fig. 4.7).

Letters: N clips, T frames, H, W; G windows a clip. Clips are (..., T, H, W, 3), 8-bit or any real type in [0, 255].
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modeling.metrics.motion import as_clips

WINDOWS = 8  #    windows along the shorter side, half overlapping: what moves a little stays within its window
DETAILED = 1.0  # grey levels: a first frame's window with less has nothing to lose
LOST = 0.5  #     of its detail, below which a window counts as blurred
TAIL = 0.25  #    of the frames, the last ones, by which the spread is judged
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def detail(clips_NTHW3: Tensor) -> Tensor:
    """(N, T, G) float64: mean |Laplacian| of the luminance in each window, in grey levels.

    ValueError for frames smaller than 3x3 pixels.
    """
    clips = as_clips(clips_NTHW3, shortest=1)
    luma = clips @ torch.tensor(LUMA, dtype=torch.float64, device=clips.device)
    leading, (H, W) = luma.shape[:-2], luma.shape[-2:]
    if min(H, W) < 3:
        raise ValueError(f"detail needs frames of at least 3x3 pixels, not {H}x{W}")
    x = luma.reshape(-1, 1, H, W)
    inner = 4 * x[..., 1:-1, 1:-1] - x[..., :-2, 1:-1] - x[..., 2:, 1:-1] - x[..., 1:-1, :-2] - x[..., 1:-1, 2:]
    side = max(1, min(inner.shape[-2:]) // WINDOWS)
    means = F.avg_pool2d(inner.abs() / 4, side, stride=max(1, side // 2))
    return means.flatten(1).view(*leading, -1)


def blurred_share(clips_NTHW3: Tensor) -> Tensor:
    """(N, T) float64: of the windows with detail in frame 0, the share that has lost more than half of it by frame t.

    NaN for a clip whose first frame has no detail. Clips begin with their input frame.
    """
    details = detail(clips_NTHW3)
    first = details[..., :1, :]
    detailed = first >= DETAILED
    blurred = (details < LOST * first) & detailed
    return blurred.sum(dim=-1) / detailed.sum(dim=-1).double()


def blur_spread(samples_NTHW3: Tensor, real_NTHW3: Tensor) -> Tensor:
    """(N,): the share blurred in the last quarter of the sample, less that of the real clip; 0 is no more blur than it.

    The two may differ in length: each one's share is of its own last quarter. NaN where a share is.
    """
    return _tail(blurred_share(samples_NTHW3)) - _tail(blurred_share(real_NTHW3))


def _tail(share_NT: Tensor) -> Tensor:
    T = share_NT.shape[-1]
    return share_NT[..., T - max(1, round(TAIL * T)) :].mean(dim=-1)
