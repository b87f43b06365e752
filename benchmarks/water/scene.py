"""A landscape with water drawn by one number, and the clips that a fixed camera takes of it.

S side of the canvas, T time, R side of a clip's frames.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.water.fields import F32, mixed, noise_tile, ridge, sample, step
from benchmarks.water.land import DEEPS, GROUNDS, Sky, colour, draw_light, grid, ground, hills, rocks, trees
from benchmarks.water.surface import Fall, Plane, River, Surf, Waves

KINDS = {"sea": 0.22, "lake": 0.14, "river": 0.28, "fall": 0.18, "beach": 0.18}  # and their shares
SMALLEST_CANVAS = 96  # pixels: what is smaller is drawn larger and averaged
ROOM = 1.18  # canvas to frame: where a scene's other framings come from

U8 = NDArray[np.uint8]


def kind_of(seed: int) -> str:
    return str(np.random.default_rng((seed, 0)).choice(list(KINDS), p=list(KINDS.values())))


def render(seed: int, take: int, frames: int, side: int) -> U8:
    """(T, R, R, 3) sRGB: take number `take` of the scene that `seed` stands for.

    Takes of a scene share land, light and weather; each has its own framing, and its waves at another time.
    """
    inner = max(SMALLEST_CANVAS, 2 * side)
    inner += -inner % side
    picture = _Picture(seed, take, frames, round(inner * ROOM))
    rng = np.random.default_rng((seed, 2, take))
    zoom = rng.uniform(1.0, ROOM) if take else 1.0
    window = round(inner * zoom)
    left, top = (int(rng.integers(0, picture.side - window + 1)) for _ in range(2))
    exposure = np.float32(_exposure(picture.at(0)[top : top + window, left : left + window], rng))
    out = np.empty((frames, side, side, 3), np.uint8)
    for frame in range(frames):
        seen = picture.at(frame)[top : top + window, left : left + window] * exposure
        small = cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA)
        toned = small * (1 + small * np.float32(0.12)) / (1 + small)  # highlights roll off as film's do
        out[frame] = np.rint(255 * np.clip(toned * np.float32(1.55), 0, 1) ** np.float32(1 / 2.2))
    return out


def _exposure(picture: F32, rng: np.random.Generator) -> float:
    """As a camera would: towards a middle grey, not all the way."""
    middle = float(np.median(picture.mean(axis=-1)))
    return float((0.24 / max(middle, 0.01)) ** 0.75 * rng.uniform(0.8, 1.2))


def _ground(name: str) -> tuple[F32, F32, F32]:
    lit, dark, trees_ = GROUNDS[name]
    return colour(lit), colour(dark), colour(trees_)


class _Picture:
    """The canvas of one take: what is still is painted once, what moves at each frame."""

    def __init__(self, seed: int, take: int, frames: int, side: int) -> None:
        rng = np.random.default_rng((seed, 1))
        self.side, self.kind = side, kind_of(seed)
        self._light = light = draw_light(rng)
        self._deep = np.asarray(
            colour(DEEPS[int(rng.integers(len(DEEPS)))]) * rng.uniform(0.6, 1.8) * (0.35 + light.ambient), np.float32
        )
        self._ground = _ground(str(rng.choice(list(GROUNDS))))
        horizon = {"sea": rng.uniform(0.2, 0.5), "lake": rng.uniform(0.3, 0.55), "river": rng.uniform(0.12, 0.4)}.get(
            self.kind, rng.uniform(0.1, 0.35)
        )
        moment = np.random.default_rng((seed, 3, take))
        if self.kind == "fall":
            horizon = rng.uniform(0.62, 0.8)
        self._plane = Plane(side, horizon)
        self._sky = Sky(rng, light, horizon, side)
        self._hills = hills(rng, light, horizon, side, self._ground)
        if self.kind == "beach":
            self._ground = _ground(str(rng.choice(["sand", "sand", "basalt", "granite"])))
        self._plain = ground(rng, light, self._plane.x, self._plane.z, self._ground)
        self._front = self._objects(rng, horizon)
        calm = {"lake": rng.uniform(0.55, 0.95), "fall": rng.uniform(0.2, 0.5)}.get(self.kind, rng.uniform(0.0, 0.4))
        self._start = float(moment.uniform(0, 400))
        lit = light.ambient * 1.15 + 0.02 * light.strength * light.sun
        self._foam_colour = np.asarray(
            0.5 * lit + 0.55 * lit.mean(), np.float32
        )  # white takes on half of the light's tint
        self._river = River(rng, self._plane) if self.kind == "river" else None
        self._surf = Surf(rng, side, horizon) if self.kind == "beach" else None
        if self.kind == "fall":
            self._paint_cliff(rng, horizon)
        self._waves = None if self._river else Waves(moment, self._plane, frames, calm=calm)

    def _objects(self, rng: np.random.Generator, horizon: float) -> F32:
        """(S, S, 4): boulders, and sometimes a tree in front."""
        most = {"sea": 3, "lake": 3, "river": 7, "fall": 8, "beach": 3}[self.kind]
        places = []
        for _ in range(int(rng.integers(0, most + 1))):
            foot = horizon + (1 - horizon) * rng.uniform(0.12, 1.05)
            width = (foot - horizon) * rng.uniform(0.15, 0.6) + 0.02
            places.append((rng.uniform(-0.05, 1.05), foot, width))
        out = rocks(rng, self._light, self.side, places)
        if self.kind != "sea" and rng.random() < 0.3:
            tree = trees(rng, self._light, self.side, self._ground)
            out[..., :3] = mixed(out[..., :3], tree[..., :3], tree[..., 3])
            out[..., 3] = np.maximum(out[..., 3], tree[..., 3])
        return out

    def _paint_cliff(self, rng: np.random.Generator, horizon: float) -> None:
        """Rock from the top of the fall down to the pool, over the hills; the fall stands before it."""
        top = rng.uniform(0.02, 0.28)
        v, u = grid(self.side, self.side)
        self._fall = Fall(rng, self.side, top, horizon)
        base, dark, green = _ground(str(rng.choice(["basalt", "granite", "red rock"])))
        layers, moss = noise_tile(rng, slope=1.3, lowest=3, stretch=rng.choice([0.4, 2.5])), noise_tile(rng, slope=1.5)
        rough = sample(layers, u * 110, v * 110) + np.float32(0.5) * sample(layers, u * 290, v * 290)
        wall = mixed(dark * np.float32(0.45), base, step(rough, -1.8, 1.8))
        wall = mixed(
            wall,
            np.broadcast_to(green * np.float32(1.2), wall.shape),
            0.8 * step(sample(moss, u * 70, v * 70), 0.1, 1.2),
        )
        edge = top - 0.02 + 0.05 * ridge(rng, u[0], 0.6, 1.3) * step(np.abs(u[0] - 0.5), 0.05, 0.4)
        self._cliff = (
            (wall * self._light.ambient).astype(np.float32),
            step((v - edge[None]).astype(np.float32), -0.01, 0.02),
        )

    def at(self, frame: int) -> F32:
        """(S, S, 3) linear RGB."""
        surroundings = self._sky.at(self._start + frame)
        surroundings = mixed(surroundings, self._hills[..., :3], self._hills[..., 3])
        above = surroundings.shape[0] - self.side
        scene = np.ascontiguousarray(surroundings[above:])
        if self.kind == "fall":
            scene = self._with_fall(scene, frame)
            surroundings = np.concatenate([surroundings[:above], scene])
        water = self._water(surroundings, frame)
        plane = self._plane.covers
        scene = mixed(scene, water, plane)
        if self.kind == "fall":
            _, _, mist = self._fall.at(round(self._start) + frame)
            scene = mixed(scene, np.broadcast_to(self._foam_colour, scene.shape), mist)
        return mixed(scene, self._front[..., :3], self._front[..., 3])

    def _with_fall(self, scene: F32, frame: int) -> F32:
        white, covers, _ = self._fall.at(round(self._start) + frame)
        scene = mixed(scene, *self._cliff)
        falling = mixed(np.broadcast_to(self._deep * 2 + 0.2 * self._light.ambient, scene.shape),
                        np.broadcast_to(self._foam_colour, scene.shape), white)  # fmt: skip
        return mixed(scene, falling, covers)

    def _water(self, surroundings: F32, frame: int) -> F32:
        moving = self._river or self._waves
        slope_x, slope_z, foam = moving.at(round(self._start) + frame if self._river else frame)
        water = self._plane.shade(surroundings, slope_x, slope_z, self._deep)
        if self._surf is not None:
            covers, edge, wet = self._surf.at(round(self._start) + frame)
            sand = self._plain * (1 - np.float32(0.55) * wet)[..., None]
            water = mixed(water, np.broadcast_to(self._foam_colour, water.shape), np.maximum(foam, edge))
            return mixed(sand, water, covers)
        water = mixed(water, np.broadcast_to(self._foam_colour, water.shape), foam)
        if self._river is not None:
            land = self._plain * (1 - np.float32(0.5) * self._river.bank)[..., None]
            return mixed(land, water, self._river.covers)
        return water
