"""Periodic noise and waves, sampled anywhere: what surfaces and land are textured with.

N side of a tile, T time, h and w rows and columns of what is sampled.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
TILE = 128  # side of a tile, texels


def _frequencies(side: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Cycles a tile to the right and downwards, and their length; the length of 0 is told as 1."""
    f = np.fft.fftfreq(side, 1 / side)
    fx, fy = np.meshgrid(f, f)
    length = np.hypot(fx, fy)
    length[0, 0] = 1.0
    return fx, fy, length


def noise_tile(rng: np.random.Generator, slope: float = 1.8, lowest: float = 1.0, stretch: float = 1.0) -> F32:
    """(N, N) periodic noise of mean 0 and deviation 1, its amplitude falling as frequency to the power `slope`.

    `lowest` suppresses what has fewer cycles a tile; `stretch` above 1 draws it out downwards.
    """
    fx, fy, _ = _frequencies(TILE)
    length = np.hypot(fx, fy * stretch)
    length[0, 0] = 1.0
    amplitude = length**-slope * (1 - np.exp(-((length / lowest) ** 4)))
    amplitude[0, 0] = 0.0
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((TILE, TILE))) * amplitude).real
    return np.asarray(noise / noise.std(), np.float32)


def wave_slopes(rng: np.random.Generator, times: NDArray[np.float64], *, peak: float, spread: float) -> F32:
    """(T, N, N, 2): slopes to the right and downwards of waves that travel by deep water's dispersion; deviation 1.

    `peak`: cycles a tile of the longest waves; `spread` from 0 (all one way) to 1 (all ways). `times` are in periods
    of those longest waves.
    """
    side = TILE // 2
    fx, fy, length = _frequencies(side)
    towards = rng.uniform(0, 2 * np.pi)
    along = (fx * np.cos(towards) + fy * np.sin(towards)) / length
    directed = np.clip(along, 0, 1) ** (2 + 10 * (1 - spread)) + 0.15 * spread
    amplitude = length**-2.3 * np.exp(-((peak / length) ** 2)) * directed * (length < side / 3)
    start = amplitude * np.exp(2j * np.pi * rng.random((side, side)))
    speed = 2 * np.pi * np.sqrt(length / peak)
    spectra = start * np.exp(-1j * times[:, None, None] * speed)
    slopes = np.stack([np.fft.ifft2(1j * f * spectra).real for f in (fx, fy)], axis=-1)
    small = np.asarray(slopes / slopes.std(), np.float32)
    return np.stack([cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_LINEAR) for tile in small])


def sample(tile: F32, x: F32, y: F32) -> F32:
    """A tile at (x, y), both (h, w) in texels, repeated without end: (h, w) or (h, w, C)."""
    # Seven times as fast as np.mod.
    wrapped = [np.asarray(each - TILE * np.floor(each * np.float32(1 / TILE)), np.float32) for each in (x, y)]
    padded = cv2.copyMakeBorder(tile, 0, 1, 0, 1, cv2.BORDER_WRAP)
    seen = cv2.remap(padded, wrapped[0], wrapped[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.float32)


def ridge(rng: np.random.Generator, x: F32, roughness: float, cycles: float) -> F32:
    """A line over x in [0, 1], of deviation about 1: octaves of sines with phases of their own."""
    line = np.zeros_like(x)
    for octave in range(6):
        frequency = cycles * 2**octave * rng.uniform(0.8, 1.2)
        line += np.float32(roughness**octave) * np.sin(2 * np.pi * (frequency * x + rng.random())).astype(np.float32)
    return line


def step(x: F32, low: float, high: float) -> F32:
    """0 below `low`, 1 above `high`, smooth between (smoothstep)."""
    part = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def mixed(one: F32, other: F32, part: F32) -> F32:
    """`one` where `part` is 0, `other` where it is 1: colours (..., 3), part (...)."""
    parts = cv2.merge([np.ascontiguousarray(part, np.float32)] * 3)  # faster than numpy's broadcast over 3
    return np.asarray(one + (other - one) * parts, np.float32)
