"""Foliage in the wind, close: layers of leaves over a blurred distance."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.demo.fields import F32, U8, Camera, f32, line_noise, spectral_noise, u8, wrap_sample
from curation.demo.land import colour, paint_hills, paint_sky, pick_palette, tone_map
from curation.demo.scenes.base import Scene, lay, layer

BOUGHS = 6
_LEAF = np.array(
    [(0, 0), (0.25, 0.16), (0.55, 0.19), (0.85, 0.08), (1, 0), (0.85, -0.08), (0.55, -0.19), (0.25, -0.16)]
)


@dataclass(frozen=True, kw_only=True)
class Bough:
    """A layer of leaves inside a rectangle of the picture, and where its wind comes from."""

    x0: int
    y0: int
    leaves: U8  # (rows, columns, 4), see `layer`
    x: F32
    y: F32
    sway: float  # pixels
    cell: F32  # (2, gy, gx) where in the wind texture its coarse grid lies


class Leaves(Scene):
    """Each bough is displaced by a smooth wind field, far boughs less than near ones."""

    kind = "leaves"

    def build(self) -> None:
        rng, h, w = self.rng, self.height, self.width
        self.palette = pick_palette(rng, ("noon", "golden", "autumn"))
        self.camera = Camera(width=w, height=h, horizon=0.66 * h, focal=1.0)
        picture = np.zeros((h, w, 3), np.float32)
        sky = paint_sky(self.camera, self.palette, rng, above=0, clouds=0.6)
        picture[: len(sky)] = sky
        picture[len(sky) :] = sky[-1]
        paint_hills(picture, 0.70 * h, self.palette, rng, layers=2, top=0.26 * h)
        low = int(0.70 * h)
        field = (
            colour(self.palette.foliage) * (0.6 * colour(self.palette.ambient) + 0.9 * colour(self.palette.sun)) * 1.5
        )
        patches = spectral_noise((h, w), rng, beta=1.4, low=2, stretch=(1.0, 3.0))[low:, :, None]
        picture[low:] = np.maximum(field * (1 + 0.35 * patches), 0.01)
        picture[:] = cv2.GaussianBlur(picture, (0, 0), 5.0 * self.unit)  # out of focus
        self.backdrop = tone_map(picture, self.palette.exposure)
        self.wind = f32(np.dstack([spectral_noise((256, 256), rng, beta=2.2, low=3) for _ in range(2)]))
        self.breeze = line_noise(512, rng, beta=1.2, low=8)
        side = float(rng.choice([0.0, 1.0]))
        boughs = (self._bough(i, side) for i in range(BOUGHS))
        self.boughs = [bough for bough in boughs if bough is not None]
        for bough in self.boughs:
            rows, columns = bough.x.shape
            self.moving[bough.y0 : bough.y0 + rows, bough.x0 : bough.x0 + columns] = True

    def _bough(self, number: int, side: float) -> Bough | None:
        """A bough, unless it hangs beside the picture."""
        rng, h, w = self.rng, self.height, self.width
        near = number / (BOUGHS - 1)
        paint, mask = u8(np.zeros((h, w, 3), np.uint8)), u8(np.zeros((h, w), np.uint8))
        ambient, sun = colour(self.palette.ambient), colour(self.palette.sun)
        green = colour(self.palette.foliage) * np.array([1.25, 1.25, 0.8], np.float32)
        # A crooked branch from the picture's edge, twigs from it, leaves along the twigs.
        from_side = number % 3 != 2
        start = np.array(
            [side * w if from_side else rng.uniform(0.1, 0.9) * w, rng.uniform(-0.05, 0.62) * h if from_side else -8]
        )
        heading = (
            (np.pi if side else 0.0) + rng.uniform(-0.2, 0.55) * (-1 if side else 1)
            if from_side
            else rng.uniform(1.0, 2.1)
        )
        length = float(rng.uniform(0.45, 0.8)) * w * (1.0 if from_side else 0.45)
        points, angles = [start], [heading]
        for _ in range(14):
            angles.append(angles[-1] + float(rng.normal(0.0, 0.12)))
            points.append(points[-1] + length / 14 * np.array([np.cos(angles[-1]), np.sin(angles[-1])]))
        wood = np.array([0.055, 0.04, 0.028]) * (ambient + 0.3 * sun) * (0.6 + near)
        bark = tone_map(wood.reshape(1, 1, 3).astype(np.float32))[0, 0].tolist()

        def stroke(a: NDArray[np.float64], b: NDArray[np.float64], thick: float) -> None:
            ends = [np.round(p * 16).astype(np.int32).tolist() for p in (a, b)]
            for target, value in ((paint, bark), (mask, 255)):
                cv2.line(target, ends[0], ends[1], value, max(1, round(thick)), cv2.LINE_AA, 4)

        size = (8.5 + 9.5 * near) * self.unit
        leaves = []
        for i in range(14):
            stroke(points[i], points[i + 1], (8 - 7 * i / 14) * (0.5 + 0.5 * near) * self.unit)
        for _ in range(int(54 - 20 * near)):
            i = int(rng.integers(2, 15))
            bend = angles[i] + float(rng.choice([-1, 1])) * float(rng.uniform(0.3, 1.1))
            at = points[i].copy()
            for step in range(int(rng.integers(5, 10))):
                bend += 0.10 * np.cos(bend) + float(rng.normal(0.0, 0.1))  # twigs droop
                onward = at + 0.62 * size * np.array([np.cos(bend), np.sin(bend)])
                stroke(at, onward, 1.2 * self.unit)
                at = onward
                turn = bend + (0.75 if step % 2 else -0.75) + float(rng.normal(0.1, 0.25))
                leaves.append((at, turn, size * float(rng.uniform(0.75, 1.3)), float(rng.random())))
        for at, angle, long, chance in sorted(leaves, key=lambda leaf: leaf[3]):
            lit = 0.12 + 1.1 * chance**1.5
            tint = green * np.array([1 + 0.8 * (chance > 0.93), 1.0, 1.0], np.float32)
            linear = tint * (0.42 * ambient + sun * lit) * (0.5 + 0.6 * near) + 0.12 * (1 - near) * colour(
                self.palette.horizon
            )
            shade = tone_map(linear.reshape(1, 1, 3).astype(np.float32), self.palette.exposure)[0, 0]
            rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            shape = _LEAF * np.array([1.0, float(rng.uniform(0.9, 1.7))]) * long
            outline = np.round((shape @ rotation + at) * 16).astype(np.int32)
            cv2.fillPoly(paint, [outline], shade.tolist(), cv2.LINE_AA, 4)
            cv2.fillPoly(mask, [outline], 255, cv2.LINE_AA, 4)
            half = np.round((np.vstack([_LEAF[:5]]) * np.array([1.0, 1.0]) * long @ rotation + at) * 16).astype(
                np.int32
            )
            cv2.fillPoly(paint, [half], np.clip(shade * 0.86, 0, 255).tolist(), cv2.LINE_AA, 4)
        paint = (paint * (mask[..., None] / 255.0)).astype(np.uint8)
        if near < 0.3:
            paint, mask = (u8(cv2.GaussianBlur(p, (0, 0), 1.4 * self.unit)) for p in (paint, mask))
        sway = (4.0 + 8.0 * near) * self.unit
        columns, rows = np.flatnonzero(mask.max(axis=0)), np.flatnonzero(mask.max(axis=1))
        if not len(columns):
            return None
        pad = int(3 * sway)
        x0, x1 = max(0, columns[0] - pad), min(w, columns[-1] + pad + 1)
        y0, y1 = max(0, rows[0] - pad), min(h, rows[-1] + pad + 1)
        y, x = np.mgrid[0 : y1 - y0, 0 : x1 - x0].astype(np.float32)
        grid_y, grid_x = np.mgrid[0 : max(2, (y1 - y0) // 8), 0 : max(2, (x1 - x0) // 8)].astype(np.float32)
        cell = np.stack([grid_x * 1.3 / self.unit + 37 * number, grid_y * 1.3 / self.unit + 61 * number])
        packed = layer(paint[y0:y1, x0:x1], mask[y0:y1, x0:x1])
        return Bough(
            x0=int(x0), y0=int(y0), leaves=packed, x=x, y=y, sway=sway, cell=cell.astype(np.float32),
        )  # fmt: skip

    def paint(self, t: float) -> U8:
        picture = self.backdrop.copy()
        strength = 0.75 + 0.35 * float(np.interp(np.mod(t * 6.0, 512), np.arange(512), self.breeze))
        for number, bough in enumerate(self.boughs):
            rows, columns = bough.x.shape
            blown = wrap_sample(
                self.wind, bough.cell[0] - np.float32(21 * t % 256), bough.cell[1] + np.float32(13 * t % 256)
            )
            blown += np.float32(0.6) * wrap_sample(
                self.wind,
                bough.cell[0] * np.float32(0.4) + np.float32(9 * t % 256) + 50 * number,
                bough.cell[1] * np.float32(0.4),
            )
            shift = cv2.resize(blown, (columns, rows), interpolation=cv2.INTER_LINEAR) * np.float32(
                bough.sway * strength
            )
            x, y = bough.x + shift[..., 0], bough.y + np.float32(0.6) * shift[..., 1]
            lay(picture[bough.y0 : bough.y0 + rows, bough.x0 : bough.x0 + columns], bough.leaves, x, y)
        return picture
