"""PSNR and SSIM against slow, literal twins."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modeling.metrics.psnr import psnr
from modeling.metrics.ssim import gaussian_window, ssim


def literal_ssim(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Wang et al. 2004, Eq. 13 to 16 in 8-bit units, window by window, for one (H, W) channel pair."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = x[top : top + 11, left : left + 11], y[top : top + 11, left : left + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            cov = (window * (a - mean_a) * (b - mean_b)).sum()
            values.append(
                (2 * mean_a * mean_b + c1) * (2 * cov + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
            )
    return float(np.mean(values))


@pytest.mark.parametrize("noise", [0.0, 3.0, 40.0])
def test_ssim_equals_its_literal_twin(noise: float) -> None:
    rng = np.random.default_rng(int(noise))
    y, x = np.mgrid[0:16, 0:23]
    first = 120 + 80 * np.sin(x / 3)[..., None] * np.cos(y / 4)[..., None] * np.array([1.0, 0.7, -0.5])
    images = np.rint(np.clip(np.stack([first, first + noise * rng.normal(size=first.shape)]), 0, 255))
    expected = np.mean([literal_ssim(images[0, ..., c], images[1, ..., c]) for c in range(3)])
    x_13HW, y_13HW = torch.from_numpy(images).movedim(-1, 1)[:, None] / 255
    assert float(ssim(x_13HW, y_13HW)) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(11, 20), st.integers(11, 20))
def test_ssim_is_symmetric_bounded_and_one_for_equals(seed: int, height: int, width: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.rand(2, 4, 3, height, width, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(ssim(x, y), ssim(y, x))
    assert (ssim(x, y) <= 1).all()
    torch.testing.assert_close(ssim(x, x), torch.ones(4, dtype=torch.float64))


def test_ssim_refuses_images_below_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(torch.zeros(3, 10, 20), torch.zeros(3, 10, 20))


def test_the_window_sums_to_one_and_is_symmetric() -> None:
    window = gaussian_window()
    assert float(window.sum()) == pytest.approx(1.0, abs=1e-15)
    torch.testing.assert_close(window, window.flip(0))
    assert float(window[6] / window[5]) == pytest.approx(math.exp(-1 / (2 * 1.5**2)))


def test_psnr_equals_its_literal_twin() -> None:
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (2, 5, 4, 3, 6, 7))
    x, y = torch.from_numpy(images).double() / 255
    values = psnr(x, y)
    assert values.shape == (5, 4)
    for i in range(5):
        for t in range(4):
            squares = [(int(a) - int(b)) ** 2 for a, b in zip(images[0, i, t].flat, images[1, i, t].flat, strict=True)]
            expected = 10 * math.log10(255**2 / (sum(squares) / len(squares)))
            assert float(values[i, t]) == pytest.approx(expected, rel=1e-12)


def test_psnr_of_equals_is_infinite_and_of_opposites_zero() -> None:
    assert float(psnr(torch.ones(3, 2, 2), torch.ones(3, 2, 2))) == math.inf
    assert float(psnr(torch.ones(3, 2, 2), torch.zeros(3, 2, 2))) == 0.0
