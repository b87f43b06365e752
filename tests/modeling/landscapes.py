"""Photographs of our own rendering: a lake under mountains, a waterfall, clouds over a field. Shaded and textured.

python -m tests.modeling.landscapes FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float64]  # (H, W)
Picture = NDArray[np.uint8]  # (H, W, 3), RGB


def fractal(random: np.random.Generator, height: int, width: int, cell: float, stretch: float = 1.0) -> Plane:
    """Noise of many scales in [0, 1]: `cell` pixels the largest, `stretch` times as wide as high."""
    total, weight = np.zeros((height, width)), 0.0
    for octave in range(7):
        rows = max(2, round(height / cell * 2**octave) + 1)
        columns = max(2, round(width / cell / stretch * 2**octave) + 1)
        grid = random.random((min(rows, height), min(columns, width)))
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.55**octave
        weight += 0.55**octave
    total /= weight
    return np.clip((total - total.min()) / (total.max() - total.min()), 0, 1)


def ridge(random: np.random.Generator, width: int, base: float, tall: float, cell: float) -> Plane:
    """The height of a skyline above each column."""
    return base - tall * fractal(random, 2, width, cell)[0]


def mixed(low: tuple[int, int, int], high: tuple[int, int, int], share: Plane) -> NDArray[np.float64]:
    return np.asarray(low) + (np.asarray(high) - np.asarray(low)) * share[..., None]


def sky(random: np.random.Generator, height: int, width: int, cover: float) -> NDArray[np.float64]:
    """Blue that pales downwards, with clouds lit from above."""
    y = np.linspace(0, 1, height)[:, None] * np.ones((1, width))
    blue = mixed((66, 118, 190), (196, 218, 238), y)
    cloud = fractal(random, height, width, height / 2, 2.2)
    dense = np.clip((cloud - 1 + cover) / 0.25, 0, 1)
    lit = np.clip(0.75 + 2.5 * (cloud - np.roll(cloud, -height // 40, axis=0)), 0, 1)
    white = mixed((150, 156, 168), (252, 251, 248), lit)
    return blue + (white - blue) * dense[..., None]


def lake(height: int = 800, width: int = 1200) -> Picture:
    """Snowy mountains and a forest over a lake that mirrors them in ripples."""
    random = np.random.default_rng(1)
    shore = int(0.58 * height)
    y, x = np.mgrid[0:height, 0:width]
    picture = sky(random, height, width, 0.45)
    skyline = ridge(random, width, 0.5 * height, 0.42 * height, width / 2)
    relief = fractal(random, height, width, height / 5)
    slope = np.clip(0.5 + 9 * (relief - np.roll(relief, (6, -6), (0, 1))), 0, 1)
    rock = mixed((58, 66, 82), (150, 150, 152), slope)
    snow = mixed((168, 184, 212), (250, 250, 252), slope)
    high = np.clip((0.36 * height - y + 160 * (relief - 0.5)) / 30, 0, 1)[..., None]
    mountain = rock + (snow - rock) * high
    picture = np.where((y > skyline[None])[..., None], mountain, picture)
    trees = ridge(random, width, 0.56 * height, 0.09 * height, width / 6) - 14 * fractal(random, 2, width, 9)[0]
    leaves = fractal(random, height, width, 14)
    picture = np.where((y > trees[None])[..., None], mixed((16, 30, 22), (62, 86, 48), leaves), picture)
    depth = np.clip((y - shore) / (height - shore), 0, 1)
    waves = fractal(random, height, width, 26, 7.0) - 0.5
    row = np.clip(2 * shore - y + (6 + 70 * depth) * waves, 0, shore - 1).astype(int)
    column = np.clip(x + 14 * depth * waves, 0, width - 1).astype(int)
    mirrored = 0.72 * picture[row, column] + np.array([8, 24, 34])
    mirrored += (90 * np.clip(waves - 0.22, 0, 1) * (0.4 + depth))[..., None] * 3
    picture = np.where((y >= shore)[..., None], mirrored, picture)
    return _finished(random, picture)


def waterfall(height: int = 1200, width: int = 800) -> Picture:
    """A fall between wet rocks into a pool, ferns above."""
    random = np.random.default_rng(2)
    y, x = np.mgrid[0:height, 0:width]
    stone = fractal(random, height, width, 130)
    cracks = np.abs(fractal(random, height, width, 90, 0.6) - 0.5)
    light = np.clip(0.4 + 7 * (stone - np.roll(stone, (4, -4), (0, 1))) - 0.5 * np.exp(-cracks * 45), 0, 1)
    picture = mixed((24, 24, 24), (136, 126, 112), light)
    moss = np.clip((fractal(random, height, width, 70) - 0.55) * 5, 0, 1) * np.clip(1 - y / (0.75 * height), 0, 1)
    green = mixed((20, 44, 14), (104, 140, 54), fractal(random, height, width, 12))
    picture += (green - picture) * moss[..., None]
    centre = 0.5 * width + 40 * (fractal(random, height, 2, 300)[:, :1] - 0.5)
    half = (0.10 + 0.09 * y / height) * width + 26 * (fractal(random, height, 2, 60)[:, :1] - 0.5)
    pool = 0.8 * height
    strands = fractal(random, height, width, 16, 0.08)
    edge = np.clip((half - np.abs(x - centre)) / 18, 0, 1) * (y < pool + 20)
    picture += (mixed((150, 170, 184), (255, 255, 255), strands) - picture) * (edge * (0.65 + 0.35 * strands))[
        ..., None
    ]
    ripple = fractal(random, height, width, 24, 4.0)
    water = mixed((18, 46, 50), (120, 162, 164), ripple**2)
    picture += (water - picture) * np.clip((y - pool) / 12, 0, 1)[..., None]
    away = np.hypot((x - centre) / (0.34 * width), (y - pool) / (0.09 * height))
    foam = np.clip(1.15 - away, 0, 1) * (0.5 + 0.5 * fractal(random, height, width, 30))
    picture += (248 - picture) * np.clip(1.3 * foam, 0, 1)[..., None]
    return _finished(random, picture)


def field(height: int = 1000, width: int = 1000) -> Picture:
    """Clouds over a wheat field with a line of trees."""
    random = np.random.default_rng(3)
    horizon = int(0.62 * height)
    y, _ = np.mgrid[0:height, 0:width]
    picture = sky(random, height, width, 0.62)
    trees = ridge(random, width, horizon, 0.06 * height, width / 5) - 10 * fractal(random, 2, width, 7)[0]
    picture = np.where(
        (y > trees[None])[..., None],
        mixed((24, 40, 24), (84, 108, 58), fractal(random, height, width, 10)),
        picture,
    )
    depth = np.clip((y - horizon) / (height - horizon), 0, 1)
    near, far = fractal(random, height, width, 22, 0.5), fractal(random, height, width, 9, 4.0)
    straw = np.clip(far + (near - far) * depth, 0, 1)
    wheat = (
        mixed((112, 88, 36), (240, 214, 130), straw)
        * (0.75 + 0.35 * fractal(random, height, width, 320, 2.0))[..., None]
    )
    picture = np.where((y > horizon)[..., None], wheat, picture)
    return _finished(random, picture)


def _finished(random: np.random.Generator, picture: NDArray[np.float64]) -> Picture:
    """Slightly soft and grainy, as a lens and a sensor leave it."""
    soft = cv2.GaussianBlur(picture, (0, 0), 0.7) + random.normal(0, 2, picture.shape)
    return np.clip(soft, 0, 255).astype(np.uint8)


PHOTOGRAPHS: dict[str, Callable[[], Picture]] = {"lake": lake, "waterfall": waterfall, "field": field}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, render in PHOTOGRAPHS.items():
        cv2.imwrite(str(folder / f"{name}.png"), render()[..., ::-1])
