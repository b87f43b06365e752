"""PSNR and SSIM of clips against their true future, and how far samples move where the real clips move.

Letters: N clips, T frames that are scored, R side of the frames.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]  # (T, R, R, 3)
F64 = NDArray[np.float64]
BLOCK = 64  # clips whose maps are looked at together


def frame_summary(psnr_NT: F64, ssim_NT: F64 | None) -> dict[str, Any]:
    """Means over clips and frames. A frame equal to the truth has no finite PSNR: it is counted and left out.

    ssim_NT: None where the frames are too small for its window.
    """
    finite = np.isfinite(psnr_NT)
    return {
        "psnr": mean(psnr_NT[finite]),
        "ssim": None if ssim_NT is None else mean(ssim_NT.ravel()),
        "identical_frames": int((~finite).sum()),
        "psnr_per_frame": [mean(column[np.isfinite(column)]) for column in psnr_NT.T],
        "ssim_per_frame": None if ssim_NT is None else ssim_NT.mean(axis=0).tolist(),
    }


def mean(values: F64) -> float | None:
    return float(values.mean()) if values.size else None


def motion_map(clip_THW3: Clip, given: int = 1) -> F64:
    """Standard deviation over time of each pixel, the given frames left out, averaged over its channels: (R, R)."""
    deviation: F64 = clip_THW3[given:].astype(np.float64).std(axis=0).mean(axis=-1)
    return deviation


def pearson(x: F64, y: F64) -> float | None:
    """Pearson's correlation; None where one side does not vary, so that it is undefined.

    A block of rows at a time: maps of many clips stand on the disk.
    """
    blocks = [slice(start, start + BLOCK) for start in range(0, len(x), BLOCK)]
    centres = tuple(sum(float(part[block].sum()) for block in blocks) / part.size for part in (x, y))
    xx = xy = yy = 0.0
    for block in blocks:
        a, b = (part[block].ravel() - centre for part, centre in zip((x, y), centres, strict=True))
        xx, xy, yy = xx + float(a @ a), xy + float(a @ b), yy + float(b @ b)
    scale = math.sqrt(xx * yy)
    return xy / scale if scale > 0 else None


def motion_summary(samples_NRR: F64, real_NRR: F64) -> dict[str, Any]:
    """r over all pixels of all clips, and the mean of each clip's own r; None: undefined (nothing moves)."""
    each = [pearson(sample, real) for sample, real in zip(samples_NRR, real_NRR, strict=True)]
    defined = [r for r in each if r is not None]
    return {
        "r": pearson(samples_NRR, real_NRR),
        "r_mean_of_clips": sum(defined) / len(defined) if defined else None,
        "undefined_clips": len(each) - len(defined),
    }
