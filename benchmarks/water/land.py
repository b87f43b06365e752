"""What stands still: sky, hills, trees, ground, rocks, in a light and in colours of their own. Linear RGB.

u to the right and v downwards in [0, 1] over the frame; the sky is painted up to a frame's height above it, since
water mirrors it. S side of the frame in pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.water.fields import F32, TILE, mixed, noise_tile, ridge, sample, step

ABOVE = 1.0  # frame heights of sky above the frame

# (zenith, horizon, sun) as sRGB bytes, and the sun's strength: from noon to night's edge.
SKIES = {
    "noon": ((58, 112, 196), (170, 205, 235), (255, 246, 228), 9.0),
    "haze": ((128, 156, 186), (206, 214, 216), (255, 244, 224), 4.0),
    "overcast": ((120, 128, 138), (176, 182, 188), (200, 204, 210), 0.6),
    "storm": ((58, 66, 80), (126, 136, 142), (170, 180, 190), 0.4),
    "golden": ((96, 132, 176), (250, 206, 138), (255, 196, 110), 12.0),
    "sunset": ((70, 72, 130), (246, 138, 84), (255, 140, 60), 14.0),
    "dusk": ((30, 38, 84), (184, 112, 138), (255, 150, 120), 3.0),
    "dawn": ((108, 140, 190), (246, 200, 196), (255, 210, 180), 8.0),
}
# (lit ground, its dark spots, trees) as sRGB bytes.
GROUNDS = {
    "meadow": ((112, 142, 62), (70, 96, 40), (38, 66, 34)),
    "autumn": ((150, 118, 60), (104, 72, 38), (150, 76, 30)),
    "heath": ((128, 110, 84), (88, 70, 70), (60, 70, 50)),
    "sand": ((208, 184, 140), (170, 142, 100), (92, 104, 60)),
    "snow": ((226, 232, 240), (160, 174, 194), (52, 66, 70)),
    "basalt": ((88, 86, 84), (52, 52, 54), (48, 64, 44)),
    "granite": ((158, 150, 142), (108, 102, 98), (44, 62, 42)),
    "red rock": ((176, 108, 74), (126, 72, 50), (82, 92, 52)),
}
DEEPS = ((10, 44, 58), (14, 58, 62), (34, 66, 52), (52, 60, 44), (20, 36, 62), (30, 80, 88), (70, 72, 60), (12, 28, 36))


def colour(rgb: tuple[int, int, int]) -> F32:
    """An sRGB colour as linear light."""
    return np.asarray((np.array(rgb) / 255) ** 2.2, np.float32)


@dataclass(frozen=True)
class Light:
    """Time of day: colours (linear), and where the sun stands."""

    zenith: F32
    horizon: F32
    sun: F32
    strength: float
    sun_u: float
    sun_height: float  # above the horizon, frame heights

    @property
    def ambient(self) -> F32:
        """What still land is lit by."""
        tinted = 0.5 * self.zenith + 0.55 * self.horizon + 0.035 * self.strength * self.sun
        return np.asarray(0.65 * tinted + 0.35 * tinted.mean(), np.float32)


def draw_light(rng: np.random.Generator) -> Light:
    zenith, horizon, sun, strength = SKIES[str(rng.choice(list(SKIES)))]
    gain = rng.uniform(0.75, 1.25)
    tint = rng.uniform(0.9, 1.1, 3)
    zenith_, horizon_ = (np.asarray(colour(rgb) * gain * tint, np.float32) for rgb in (zenith, horizon))
    return Light(
        zenith_, horizon_, colour(sun), strength * rng.uniform(0.6, 1.3), rng.uniform(-0.1, 1.1), rng.uniform(0.08, 0.8)
    )


class Sky:
    """Gradient, sun and clouds from v = -ABOVE down to the horizon; clouds drift where they have a wind."""

    def __init__(self, rng: np.random.Generator, light: Light, horizon: float, side: int) -> None:
        v, self._u = grid(side, round(side * (1 + ABOVE)), top=-ABOVE)
        height = np.clip((horizon - v) / 0.9, 0, 1)
        self._base = mixed(light.horizon, light.zenith, height ** np.float32(0.7))
        distance = np.hypot(self._u - light.sun_u, v - (horizon - light.sun_height))
        glow = 0.10 * np.exp(-distance / 0.25) + 1.0 * np.exp(-((distance / 0.07) ** 2))
        self._base += (light.strength * glow)[..., None].astype(np.float32) * light.sun
        self._tile = noise_tile(rng, slope=1.7, lowest=1.2)
        self._cover = rng.uniform(-0.6, 1.6)
        self._near = np.clip(1 / (height + 0.12), 0, 7) * TILE * 0.09 * rng.uniform(0.7, 1.5)
        self._strength = step(height, 0.0, 0.12) * np.float32(rng.uniform(0.5, 0.95))
        self._cloud = np.asarray(0.75 * light.ambient + 0.3 * light.horizon + 0.02 * light.strength * light.sun)
        self.wind = float(rng.uniform(0.3, 1.2) * rng.choice([-1, 1])) if rng.random() < 0.35 else 0.0
        self._start = rng.uniform(0, TILE)
        self._still: F32 | None = None

    def at(self, time: float) -> F32:
        """(rows, S, 3) at a time in frames."""
        if self.wind:
            return self._drawn(time)
        if self._still is None:
            self._still = self._drawn(0.0)
        return self._still

    def _drawn(self, time: float) -> F32:
        x = (self._u - 0.5) * self._near * 2 + np.float32(self._start + self.wind * time)
        thickness = sample(self._tile, x, self._near * np.float32(3))
        cover = step(thickness, self._cover, self._cover + 1.1) * self._strength
        shade = np.float32(1.0) - np.float32(0.25) * step(thickness, self._cover + 0.8, self._cover + 2.4)
        return mixed(self._base, self._cloud * shade[..., None], cover)


def grid(columns: int, rows: int, top: float = 0.0) -> tuple[F32, F32]:
    """v and u, both (rows, columns), of pixels whose side is 1 / columns, from v = `top` on."""
    v, u = np.mgrid[0:rows, 0:columns].astype(np.float32)
    return (v + np.float32(0.5)) / columns + np.float32(top), (u + np.float32(0.5)) / columns


def hills(rng: np.random.Generator, light: Light, horizon: float, side: int, far: tuple[F32, F32, F32]) -> F32:
    """(rows of the sky, S, 4): ridges behind the water, farther ones paler, and a line of trees; the last is cover."""
    v, u = grid(side, round(side * (1 + ABOVE)), top=-ABOVE)
    out = np.zeros((*v.shape, 4), np.float32)
    texture = noise_tile(rng, slope=1.2, lowest=3)
    ridges = int(rng.integers(1, 4))
    tall = rng.uniform(0.03, 0.28)
    for number in range(ridges):
        nearness = (number + 1) / ridges
        line = tall * (1.15 - 0.75 * nearness) + 0.35 * tall * ridge(rng, u[0], 0.52, rng.uniform(0.5, 1.6)) * 0.6
        cover = step(v - (horizon - np.clip(line, 0.004, None))[None], -0.006, 0.006)
        ground, dark, _ = far
        spots = step(sample(texture, u * 160 + 40 * number, v * 260), -0.6, 1.2)
        painted = mixed(ground, dark, spots) * light.ambient
        haze = np.full(v.shape, np.float32(0.72 * (1 - nearness) + 0.12))
        painted = mixed(painted, np.broadcast_to(light.horizon * 0.85, painted.shape), haze)
        _over(out, painted, cover)
    if rng.random() < 0.7:
        height = rng.uniform(0.012, 0.11)
        line = height * (0.65 + 0.25 * ridge(rng, u[0], 0.75, rng.uniform(3, 9)))
        cover = step(v - (horizon - np.clip(line, 0.002, None))[None], -0.005, 0.005)
        leaves = step(sample(texture, u * 420, v * 420), -1.0, 1.4)
        painted = mixed(far[2] * np.float32(0.7), far[2] * np.float32(1.9), leaves) * light.ambient
        _over(out, painted, cover)
    return out


def _over(out: F32, painted: F32, cover: F32) -> None:
    """Paint over `out` (..., 4) in place."""
    out[..., :3] += (painted - out[..., :3]) * cover[..., None]
    out[..., 3] = np.maximum(out[..., 3], cover)


def ground(rng: np.random.Generator, light: Light, x: F32, z: F32, colours: tuple[F32, F32, F32]) -> F32:
    """(S, S, 3): a plain seen in perspective, at plane coordinates (x, z)."""
    texture = noise_tile(rng, slope=1.1, lowest=2)
    spots = sample(texture, x * 26, z * 26) * np.float32(0.75)
    fine = sample(texture, x * 90 + 31, z * 90) / (1 + 0.6 * z)
    painted = mixed(colours[0], colours[1], step(spots + 0.6 * fine, -1.1, 1.1))
    tufts = step(sample(texture, x * 55 + 71, z * 40 + 13), 0.9, 1.6)
    painted = mixed(painted, np.broadcast_to(colours[2], painted.shape), tufts * np.float32(0.7))
    far = 1 - np.exp(-0.05 * z)
    return mixed(painted * light.ambient, np.broadcast_to(light.horizon * 0.8, painted.shape), 0.5 * far)


def rocks(rng: np.random.Generator, light: Light, side: int, places: list[tuple[float, float, float]]) -> F32:
    """(S, S, 4): boulders at (u, v of the foot, width), lit from the sun's side, dark and wet at the foot."""
    v, u = grid(side, side)
    out = np.zeros((side, side, 4), np.float32)
    base, dark, _ = GROUNDS[str(rng.choice(["basalt", "granite", "red rock", "basalt"]))]
    texture = noise_tile(rng, slope=1.3, lowest=3)
    for centre, foot, width in sorted(places, key=lambda place: place[1]):
        tall = width * rng.uniform(0.4, 0.9)
        x, y = (u - centre) / (width / 2), (foot - v) / tall
        angle = np.arctan2(y, x)
        bumps = 1 + 0.13 * ridge(rng, (angle / (2 * np.pi)).astype(np.float32), 0.55, float(rng.integers(1, 4))) * 0.8
        inside = 1 - np.hypot(x, np.where(y > 0, y, 3.5 * y)) / np.clip(bumps, 0.5, 1.6)
        cover = step(inside.astype(np.float32), -0.02, 0.06)
        towards = np.sign(light.sun_u - centre + 1e-3)
        lit = step(
            (0.55 * x * towards + 0.9 * y + 0.35 * sample(texture, u * 300, v * 300)).astype(np.float32), -0.2, 1.0
        )
        painted = mixed(colour(dark) * np.float32(0.45), colour(base) * np.float32(1.15), lit) * light.ambient
        _over(out, painted.astype(np.float32), cover)
    return out


def trees(rng: np.random.Generator, light: Light, side: int, colours: tuple[F32, F32, F32]) -> F32:
    """(S, S, 4): a tree or bush that frames the picture from one side or from above."""
    v, u = grid(side, side)
    out = np.zeros((side, side, 4), np.float32)
    texture = noise_tile(rng, slope=1.2, lowest=4)
    left = rng.random() < 0.5
    across = u if left else 1 - u
    reach, lowest = rng.uniform(0.12, 0.34), rng.uniform(0.35, 0.75)
    trunk = step(-np.abs(across - rng.uniform(0.0, 0.1) - 0.05 * v), -0.02, -0.012)
    _over(out, np.broadcast_to(colour((62, 48, 38)) * light.ambient, (*out.shape[:2], 3)), trunk)
    shape = reach * (1 - (v / lowest) ** 2) + 0.05 * sample(texture, u * 130, v * 130) - across
    leaves = sample(texture, u * 260 + 50, v * 260)
    painted = mixed(colours[2] * np.float32(0.5), colours[2] * np.float32(1.7), step(leaves, -1.2, 1.4)) * light.ambient
    _over(out, painted, step(shape.astype(np.float32), -0.01, 0.02))
    return out
