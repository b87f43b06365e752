"""How much clips move, where they should not, and how much of it flickers, in grey levels of 255.

Letters: N clips, T frames, H, W. Clips are (..., T, H, W, 3), 8-bit or any real type in [0, 255]; one value a clip.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STATIC_BELOW = (
    2.0  #   grey levels: a pixel whose real deviation over time is smaller hardly moves; coding noise is about 1
)
STATIC_WINDOW = 3  #    pixels on a side, over which that deviation is averaged
STATIC_SHARE = 0.01  #  of a clip's pixels: with fewer static ones there is no static region to speak of


def motion_amount(clips_NTHW3: Tensor) -> Tensor:
    """(N,) float64: mean |x_t+1 - x_t| over pixels, channels and steps. ValueError for fewer than 2 frames.

    Against the real: `bootstrap.ratio` of the samples' and the real clips' amounts; 1 is as much motion as there was.
    """
    clips = as_clips(clips_NTHW3, shortest=2)
    return clips.diff(dim=-4).abs().mean(dim=(-4, -3, -2, -1))


def flicker(clips_NTHW3: Tensor) -> Tensor:
    """(N,) float64: mean over pixels, channels and steps of the change that the next step takes back.

    min(|d_t|, |d_t+1|) where the steps d_t, d_t+1 have opposite signs, else 0: what alternates counts in full, what
    goes on in one direction not at all, at whatever speed. Against the real as `motion_amount`. ValueError for fewer
    than 3 frames.
    """
    steps = as_clips(clips_NTHW3, shortest=3).diff(dim=-4)
    before, after = steps.narrow(-4, 0, steps.shape[-4] - 1), steps.narrow(-4, 1, steps.shape[-4] - 1)
    taken_back = torch.minimum(before.abs(), after.abs()) * (before * after < 0)
    return taken_back.mean(dim=(-4, -3, -2, -1))


def static_mask(real_NTHW3: Tensor) -> Tensor:
    """(N, H, W) bool: where a real clip hardly moves, its deviation over time below `STATIC_BELOW` grey levels.

    The deviation is averaged over channels and a `STATIC_WINDOW` square. ValueError for fewer than 2 frames.
    """
    clips = as_clips(real_NTHW3, shortest=2)
    deviation = clips.std(dim=-4, correction=0).mean(dim=-1)
    H, W = deviation.shape[-2:]
    pad = STATIC_WINDOW // 2
    around = F.avg_pool2d(deviation.reshape(-1, 1, H, W), STATIC_WINDOW, 1, pad, count_include_pad=False)
    return around.view(deviation.shape) < STATIC_BELOW


def static_error(samples_NTHW3: Tensor, real_NTHW3: Tensor) -> Tensor:
    """(N,) float64: mean |sample - real| in the static regions of the real clip: motion added to a sky, and drift.

    NaN for a clip whose static regions are less than `STATIC_SHARE` of it. ValueError for clips of differing shapes.
    """
    samples, real = as_clips(samples_NTHW3, shortest=2), as_clips(real_NTHW3, shortest=2)
    if samples.shape != real.shape:
        raise ValueError(f"clips of {tuple(samples.shape)} are not of the same shape as {tuple(real.shape)}")
    mask = static_mask(real)
    error = (samples - real).abs().mean(dim=(-4, -1))
    share = mask.double().mean(dim=(-2, -1))
    mean = (error * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1))
    return mean.where(share >= STATIC_SHARE, torch.nan)


def as_clips(clips_NTHW3: Tensor, *, shortest: int) -> Tensor:
    """The clips in float64. ValueError unless (..., T, H, W, 3) of at least `shortest` frames, and finite."""
    shape = tuple(clips_NTHW3.shape)
    if len(shape) < 4 or shape[-1] != 3 or min(shape[-3:-1]) < 1:
        raise ValueError(f"clips must be (..., T, H, W, 3), not {shape}")
    if shape[-4] < shortest:
        raise ValueError(f"clips of at least {shortest} frames are needed; these have {shape[-4]}")
    clips = clips_NTHW3.detach().double()
    if clips_NTHW3.is_floating_point() and not bool(clips.isfinite().all()):
        raise ValueError("the clips hold values that are not finite")
    return clips
