"""How water looks and moves: mirror rays off a sloped surface, foam, and what slopes it. Linear RGB.

A plane seen from above it: the row v below the horizon h lies at distance Z = 1 / (v - h) in units of which the
nearest row is about 2 away. S side of the canvas, N side of a tile.
"""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.water.fields import F32, TILE, mixed, noise_tile, sample, step, wave_slopes
from benchmarks.water.land import ABOVE, grid

LENS = np.float32(1.1)  # width of the frame at distance 1


class Plane:
    """The ground's and the water's plane under a fixed camera: coordinates of each pixel, and mirroring."""

    def __init__(self, side: int, horizon: float) -> None:
        v, u = grid(side, side)
        self.side, self.horizon = side, horizon
        self.below = np.clip(v - np.float32(horizon), 0.006, None)
        self.covers = step(v - np.float32(horizon), -0.002, 0.004)
        self.z = np.float32(1.0) / self.below
        self.x = (u - np.float32(0.5)) * LENS * self.z
        self._across, self._down = (u - np.float32(0.5)) * LENS, self.below * LENS

    def faded(self, texels: float, smallest: float) -> F32:
        """How much of a texture of `texels` a unit is left where a pixel is wider than `smallest` texels."""
        pixel = self.z * self.z * np.float32(texels / self.side)
        return np.asarray(1 / (1 + (pixel / np.float32(smallest)) ** 2), np.float32)

    def shade(self, surroundings: F32, slope_x: F32, slope_z: F32, deep: F32) -> F32:
        """(S, S, 3). `surroundings`: (rows, S, 3) from v = -ABOVE down to the horizon or beyond."""
        a, b = self._across, self._down
        q = 2 * (a * slope_x + b + slope_z) / (1 + slope_x**2 + slope_z**2)
        forward = np.maximum(1 - q * slope_z, np.float32(0.25))
        x = ((a - q * slope_x) / (forward * LENS) + np.float32(0.5)) * self.side - np.float32(0.5)
        risen = np.abs(q - b) / (forward * LENS)
        y = (np.float32(self.horizon + ABOVE) - risen) * self.side - np.float32(0.5)
        mirrored = cv2.remap(surroundings, x, np.maximum(y, 0), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        grazing = 1 - np.clip((b + a * slope_x + slope_z) / np.sqrt(1 + a * a + b * b), 0, 1)
        fresnel = np.float32(0.05) + np.float32(0.95) * grazing**4
        return mixed(np.broadcast_to(deep, mirrored.shape), mirrored, fresnel.astype(np.float32))


def gradient(tile: F32) -> F32:
    """(N, N, 2) slopes of a periodic height, of deviation 1."""
    slopes = np.stack([np.roll(tile, -1, axis) - np.roll(tile, 1, axis) for axis in (1, 0)], axis=-1)
    return np.asarray(slopes / slopes.std(), np.float32)


class Waves:
    """Wind waves on a sea or a lake: one tile of deep-water waves, met at two scales."""

    def __init__(self, rng: np.random.Generator, plane: Plane, frames: int, *, calm: float) -> None:
        peak = rng.uniform(2.0, 4.5)
        times = rng.uniform(0, 50) + np.arange(frames) * rng.uniform(0.05, 0.11)
        self._tiles = wave_slopes(rng, times, peak=peak, spread=rng.uniform(0.15, 0.9))
        length = rng.uniform(0.6, 1.4) * (0.7 if calm > 0.5 else 1.0)
        texels = TILE / peak / length
        self._scales = [(texels, 1.0), (texels * 2.7, 0.45)]
        self._fades = [plane.faded(each, 8.0) for each, _ in self._scales]
        self._steep = np.float32(0.16 * (1 - calm) + 0.07)
        self._plane = plane
        self._choppy = (1 - calm) * rng.uniform(0.4, 1.0) if rng.random() < 0.5 else 0.0
        self._foam = noise_tile(rng, slope=1.2, lowest=4)

    def at(self, frame: int) -> tuple[F32, F32, F32]:
        """Slopes to the right and away, and foam, (S, S) each."""
        total = np.zeros((*self._plane.z.shape, 2), np.float32)
        for number, ((texels, weight), fade) in enumerate(zip(self._scales, self._fades, strict=True)):
            tile = self._tiles[(frame + 7 * number) % len(self._tiles)] if number == 0 else self._tiles[frame]
            shift = np.float32(37 * number)
            total += sample(tile, self._plane.x * texels + shift, self._plane.z * texels) * (weight * fade)[..., None]
        crests = step(total[..., 1], 1.35, 2.3) * np.float32(self._choppy)
        total *= self._steep
        return total[..., 0], total[..., 1], crests


class River:
    """Water that runs along a bed over the plane: ripples and foam carried by the current, at speeds of their own."""

    def __init__(self, rng: np.random.Generator, plane: Plane) -> None:
        z = plane.z
        bend = rng.uniform(-0.10, 0.10) * (z - 2) + rng.uniform(0.1, 0.5) * np.sin(
            rng.uniform(0.4, 1.0) * z + rng.random() * 7
        )
        centre = bend - bend[-1, 0] + rng.uniform(-0.35, 0.35)
        half = np.float32(rng.uniform(0.35, 0.8)) * (1 + 0.2 * np.sin(rng.uniform(0.6, 1.6) * z + rng.random() * 7))
        off = (plane.x - centre) / half
        rough = sample(noise_tile(rng, slope=1.6, lowest=3), plane.x * 30, z * 30) * np.float32(0.07)
        self.covers = step(1 - np.abs(off) + rough, -0.03, 0.05) * plane.covers
        self.bank = step(1 - np.abs(off) + rough, -0.22, 0.0)
        self._n, self._s = off.astype(np.float32), z
        current = rng.uniform(0.9, 2.6)
        self._speed = np.float32(current * rng.choice([-1, 1], p=[0.75, 0.25]))
        self._rapid = float(np.clip((current - 1.0) / 1.6, 0, 1)) * rng.uniform(0.3, 1.0)
        self._ripples = gradient(noise_tile(rng, slope=2.0, lowest=3, stretch=0.6))
        self._streaks = noise_tile(rng, slope=1.5, lowest=4, stretch=rng.uniform(2.0, 4.0))
        self._texels = np.float32(rng.uniform(22, 40))
        self._fade = plane.faded(float(self._texels), 3.0)
        self._start = np.float32(rng.uniform(0, TILE))

    def at(self, frame: int) -> tuple[F32, F32, F32]:
        """Slopes across and along, and foam, (S, S) each."""
        moved = self._start + self._speed * np.float32(frame)
        n, s = self._n * self._texels, self._s * self._texels
        slopes = sample(self._ripples, n, s + moved)
        slopes = slopes + np.float32(0.7) * sample(self._ripples, n * 1.6 + 19, s * 1.6 + np.float32(1.1) * moved)
        slopes *= self._fade[..., None] * np.float32(0.10 + 0.12 * self._rapid)
        streaks = sample(self._streaks, n * 1.3 + 7, s + np.float32(1.0) * moved)
        streaks = streaks + np.float32(0.6) * sample(self._streaks, n * 2.4 + 3, s * 2 + np.float32(2.2) * moved)
        low = 1.5 - 1.5 * self._rapid
        foam = step(streaks, low, low + 1.1) * np.float32(0.25 + 0.6 * self._rapid)
        return slopes[..., 0], slopes[..., 1], foam * (0.35 + 0.65 * self._fade)


class Fall:
    """Falling water between two edges of a cliff: white streaks that quicken on their way, and mist at the foot."""

    def __init__(self, rng: np.random.Generator, side: int, top: float, foot: float) -> None:
        v, u = grid(side, side)
        wander = rng.uniform(-0.05, 0.05)
        down = np.clip((v - top) / (foot - top), 0, 1.2)
        centre = rng.uniform(0.3, 0.7) + wander * np.sin(3 * down)
        half = rng.uniform(0.07, 0.26) * (1 + rng.uniform(0.0, 0.5) * down)
        self._edges = noise_tile(rng, slope=1.6, lowest=3)
        off = (u - centre) / half + np.float32(0.12) * sample(self._edges, u * 90, v * 40)
        tall = step(v - np.float32(top), -0.01, 0.02) * step(np.float32(foot + 0.02) - v, -0.02, 0.03)
        self.covers = step(1 - np.abs(off).astype(np.float32), -0.02, 0.25) * tall
        self._x = ((u - centre) * rng.uniform(130, 220)).astype(np.float32)
        self._fallen = np.sqrt(down + np.float32(0.12)) * np.float32(rng.uniform(38, 60))
        self._speed = np.float32(rng.uniform(1.0, 2.0))
        self._streaks = noise_tile(rng, slope=1.5, lowest=4, stretch=rng.uniform(3.0, 6.0))
        self._veil = rng.uniform(-0.9, 0.3)
        self._start = np.float32(rng.uniform(0, TILE))
        spread = np.hypot((u - centre) / (half * 1.6), (v - foot) / 0.09)
        self._mist = np.exp(-(spread**2)).astype(np.float32) * np.float32(rng.uniform(0.5, 1.0))
        self._puffs = noise_tile(rng, slope=1.9, lowest=2)
        self._u, self._v = u, v

    def at(self, frame: int) -> tuple[F32, F32, F32]:
        """Whiteness of the fall, its cover, and the mist, (S, S) each."""
        moved = self._start + self._speed * np.float32(frame)
        streaks = sample(self._streaks, self._x, self._fallen - moved)
        streaks = streaks + np.float32(0.7) * sample(self._streaks, self._x * 1.9 + 11, self._fallen * 1.7 - 2 * moved)
        white = step(streaks, self._veil - 0.9, self._veil + 1.6)
        puffs = sample(self._puffs, self._u * 70 + moved * np.float32(0.3), self._v * 70 + moved)
        mist = self._mist * step(puffs, -1.6, 1.3)
        return white, self.covers * (0.55 + 0.45 * white), mist


class Surf:
    """A beach at the bottom of the frame: waves run up the sand with a white edge, and back."""

    def __init__(self, rng: np.random.Generator, side: int, horizon: float) -> None:
        self._v, self._u = grid(side, side)
        self._middle = horizon + (1 - horizon) * rng.uniform(0.5, 0.8)
        self._reach = rng.uniform(0.05, 0.12)
        self._tilt = rng.uniform(-0.25, 0.25)
        self._period = rng.uniform(28, 60)
        self._start = rng.uniform(0, 1)
        self._line = noise_tile(rng, slope=2.0, lowest=1)
        self._froth = noise_tile(rng, slope=1.3, lowest=4)
        self._shift = np.float32(rng.uniform(0, TILE))

    def at(self, frame: int) -> tuple[F32, F32, F32]:
        """Cover of the water, foam, and wetness of the sand, (S, S) each."""
        phase = 2 * np.pi * (frame / self._period + self._start)
        swing = np.float32(self._reach * np.sin(phase))
        drift = np.full_like(self._u[:1], np.float32(0.12 * frame) + self._shift)
        ragged = np.float32(0.025) * sample(self._line, self._u[:1] * 60, drift)
        shore = self._middle + self._tilt * (self._u - 0.5) + ragged
        edge = shore + swing
        covers = step(edge - self._v, -0.006, 0.012)
        behind = edge - self._v
        froth = sample(self._froth, self._u * 100, self._v * 100 - swing * 80 + np.float32(0.5 * frame))
        foam = np.exp(-np.clip(behind, 0, None) / 0.035) * step(froth, -1.4, 0.6)
        # Breakers roll in behind the edge: bands that travel towards the beach, broken along their length.
        roll = np.sin(2 * np.pi * (behind / 0.17 + frame / self._period))
        broken = sample(self._froth, self._u * 34, np.full_like(self._u, self._shift) + np.float32(0.3 * frame))
        breakers = step(roll + 0.35 * broken + 0.25 * froth, 0.75, 1.35) * np.exp(-np.clip(behind, 0, None) / 0.22)
        wet = np.exp(-np.clip(self._v - shore - self._reach * 0.8, 0, None) / 0.03)
        return covers, np.maximum(foam, 0.8 * breakers).astype(np.float32) * covers, wet.astype(np.float32)
