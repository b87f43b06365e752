"""A meadow in the wind: gusts run through rows of grass before still hills."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from curation.demo.fields import F32, U8, Camera, spectral_noise
from curation.demo.land import colour, paint_conifers, paint_hills, paint_sky, pick_palette, tone_map
from curation.demo.scenes.base import Scene, lay, layer


@dataclass(frozen=True, kw_only=True)
class GrassRow:
    """One row of blades, rooted in one line: their picture and how far each of its lines may bend."""

    top: int  # row of the picture where its pictures begin
    blades: U8  # (rows, W + 2 margins, 4), see `layer`
    x: F32  # (rows, W) undisturbed columns
    y: F32
    bend: F32  # (rows, 1) 0 at the root, 1 at the tip
    reach: float  # pixels a gust of one deviation moves the tips
    depth: int  # row of the wind texture
    shine: float  # how much a gust lights the row
    wide: float  # wind texels a pixel


class Meadow(Scene):
    """Rows of blades from far to near, each bent by the same travelling gusts."""

    kind = "meadow"
    margin = 84

    def build(self) -> None:
        rng, h, w = self.rng, self.height, self.width
        self.palette = pick_palette(rng, ("noon", "golden", "dawn", "autumn"))
        horizon = float(rng.uniform(0.42, 0.50)) * h
        self.camera = Camera(width=w, height=h, horizon=horizon, focal=1.0)
        picture = np.zeros((h, w, 3), np.float32)
        sky = paint_sky(self.camera, self.palette, rng, above=0, clouds=float(rng.uniform(0.4, 0.7)))
        picture[: len(sky)] = sky
        paint_hills(picture, horizon + 0.03 * h, self.palette, rng, layers=3, top=float(rng.uniform(0.14, 0.24)) * h)
        paint_conifers(
            picture, lambda x: horizon + 0.035 * h, self.palette, rng, count=24, tall=(0.03 * h, 0.09 * h),
            veil=0.35 * self.palette.haze,
        )  # fmt: skip
        straw = float(rng.uniform(0.0, 1.0))
        green = colour(self.palette.foliage) * np.array([1.2, 1.15, 0.9], np.float32)
        self.tint = (1 - straw) * green + straw * np.array([0.30, 0.215, 0.075], np.float32)
        self.ears = straw > 0.45 or rng.random() < 0.5
        self.light = 0.55 * colour(self.palette.ambient) + 0.95 * colour(self.palette.sun)
        first = int(horizon + 0.03 * h)
        depth = (np.arange(first, h) - first)[:, None, None] / max(h - first, 1)
        ground = self.tint * self.light * (0.75 - 0.45 * depth)
        picture[first:] = np.maximum(
            ground * (1 + 0.12 * spectral_noise((h, w), rng, beta=0.8, low=12)[first:, :, None]), 0
        )
        self.backdrop = tone_map(picture, self.palette.exposure)
        self.wind = spectral_noise((256, 1024), rng, beta=1.75, low=3, stretch=(1.0, 1.6))
        self.flutter = spectral_noise((64, 1024), rng, beta=0.7, low=24)
        self.pace = float(rng.uniform(120, 170)) * float(rng.choice([-1, 1]))
        self.rows = [self._grow(f, first) for f in np.linspace(0.0, 1.0, 13)]
        self.moving[max(0, min(row.top for row in self.rows)) :] = True

    def _grow(self, f: float, first: int) -> GrassRow:
        rng, h, w, m = self.rng, self.height, self.width, self.margin
        tall = (0.030 + 0.30 * f**1.35) * h
        root = int(first + 4 * self.unit + (1.16 * h - first) * f**1.25)
        rows = int(tall * 1.12) + 2
        width = w + 2 * m
        paint, mask = np.zeros((rows, width, 3), np.uint8), np.zeros((rows, width), np.uint8)
        veil = self.palette.haze * 0.55 * (1 - f) ** 1.6
        far = 0.75 * colour(self.palette.horizon)
        shades = []
        for tone in np.linspace(0.35, 1.65, 24):
            linear = self.tint * self.light * tone * (1 - veil) + far * veil
            shades.append(tone_map(linear.reshape(1, 1, 3).astype(np.float32), self.palette.exposure)[0, 0].tolist())
        thick = max(1, round((0.6 + 2.6 * f) * self.unit))
        for _ in range(int(width * (1.15 - 0.72 * f) / max(self.unit, 0.2) ** 0.5)):
            x, length = float(rng.uniform(0, width)), tall * float(rng.uniform(0.5, 1.0))
            lean = float(rng.normal(0.0, 0.22)) * length
            tone = float(rng.normal(0.5, 0.21))
            sunk = rows - 1 - 0.2 * tall * float(rng.random())
            s = np.linspace(0, 1, 6)
            points = np.stack([x + lean * s**1.8, sunk - length * s * (1 - 0.12 * s)], axis=1)
            fixed = np.round(points * 16).astype(np.int32)
            for part in range(5):
                shade = shades[int(np.clip((tone - 0.30 + 0.11 * part) * 24, 0, 23))]
                wide = max(1, thick - part // 2) if part < 4 else 1
                for target, value in ((paint, shade), (mask, 255)):
                    cv2.line(target, fixed[part].tolist(), fixed[part + 1].tolist(), value, wide, cv2.LINE_AA, 4)
            if self.ears and tall > 14 and rng.random() < 0.38:
                tip, size = fixed[-1].tolist(), (max(16, int(7 * thick)), max(40, int(26 * thick)))
                angle = float(np.degrees(np.arctan2(lean * 1.8, length)))
                for target, value in ((paint, shades[min(23, int((tone + 0.35) * 24))]), (mask, 255)):
                    cv2.ellipse(target, tip, size, angle, 0, 360, value, -1, cv2.LINE_AA, 4)
        top = root - rows
        keep = slice(max(0, -top), max(1, min(rows, h - top)))
        y = np.arange(keep.start, keep.stop, dtype=np.float32)
        bend = np.clip((rows - 1 - y) / rows, 0, 1) ** 1.6
        return GrassRow(
            top=top + keep.start,
            blades=layer(paint, mask),
            x=np.broadcast_to(np.arange(w, dtype=np.float32) + m, (len(y), w)),
            y=np.ascontiguousarray(np.broadcast_to(y[:, None], (len(y), w))),
            bend=bend[:, None].astype(np.float32),
            reach=float(min(0.24 * tall, m / 3.2)),
            depth=int(f * 70),
            shine=0.07 + 0.16 * f,
            wide=1.0 / ((0.35 + 1.1 * f) * self.unit),
        )

    def paint(self, t: float) -> U8:
        picture = self.backdrop.copy()
        columns = np.arange(self.width, dtype=np.float32)
        texel = np.arange(1025)
        for number, row in enumerate(self.rows):
            at = np.mod(columns * np.float32(row.wide) - self.pace * t + 500.0, 1024)
            gust = np.interp(at, texel, np.append(self.wind[row.depth], self.wind[row.depth, 0]))
            quiver = self.flutter[(5 * number + int(t * 3)) % 64], self.flutter[(5 * number + int(t * 3) + 1) % 64]
            mix = t * 3 - np.floor(t * 3)
            shake = (quiver[0] * (1 - mix) + quiver[1] * mix)[
                np.mod(columns * 0.8 + 97 * number, 1024).astype(np.int32)
            ]
            lean = (np.clip(0.55 + gust, -1.0, 2.6) * np.sign(self.pace) + 0.16 * shake).astype(np.float32)
            x = row.x - row.bend * (row.reach * lean)[None, :]
            # Bent blades show their lit side; far away the gusts are only a shimmer.
            light = np.clip(1.0 + row.shine * gust, 0.7, 1.4).astype(np.float32)
            sheen = np.ascontiguousarray(np.broadcast_to(light[None, :, None], (len(x), self.width, 3)))
            lay(picture[row.top : row.top + len(x)], row.blades, x, row.y, sheen)
        return picture
