"""Rain on a lake among misty hills: rings on the water, streaks in the air."""

from __future__ import annotations

import cv2
import numpy as np

from curation.demo.fields import F32, U8, PlaneSampler, f32, pyramid, triple, u8
from curation.demo.land import colour, paint_conifers, paint_hills, paint_sky
from curation.demo.scenes.sea import WaterScene
from curation.demo.water import Water

TILE, TEXELS, AGES, LIFE = 9.0, 512, 24, 0.95  # metres, pixels, sprites, seconds
REACH = 26  # pixels: half the side of a ring's sprite
CYCLE = 61.0  # seconds after which the same drops fall again


class Rain(WaterScene):
    """Drops fall by a fixed timetable; each makes a ring that spreads and fades."""

    kind = "rain"
    palettes = ("overcast",)

    def build(self) -> None:
        rng = self.rng
        self.open_water(float(rng.uniform(0.38, 0.48)), eye=float(rng.uniform(1.5, 2.0)))
        cam, h = self.camera, self.height
        sky = paint_sky(cam, self.palette, rng, above=self.above, clouds=0.55)
        far = cam.horizon + self.above
        paint_hills(sky, far, self.palette, rng, layers=3, top=float(rng.uniform(0.22, 0.32)) * h)
        for low, high, veil in ((0.04, 0.08, 0.5), (0.07, 0.13, 0.22)):
            paint_conifers(sky, lambda x: far + 1, self.palette, rng, count=80, tall=(low * h, high * h), veil=veil)
        self.water = Water(cam, sky, above=self.above, deep=(0.014, 0.026, 0.028))
        self.waves(patch=14.0, wind=2.8, slope=0.046, direction=float(rng.uniform(-2.4, -0.7)), ripple=0.030)
        self.on_rings = PlaneSampler(self.right / TILE, self.ahead / TILE, TEXELS, 5, bias=-0.8)
        self.sprites = self._rings()
        drops = int(TILE * TILE * CYCLE * float(rng.uniform(2.2, 3.4)))
        self.born = np.sort(rng.uniform(0, CYCLE, drops))
        self.place = rng.integers(0, TEXELS, (drops, 2))
        self.strong = rng.uniform(0.4, 1.0, drops).astype(np.float32)
        picture = np.zeros((h, self.width, 3), np.float32)
        picture[: cam.first_row] = sky[self.above : self.above + cam.first_row]
        alpha = np.zeros((h, self.width), np.float32)
        self.rocks(picture, alpha, int(rng.integers(3, 6)), low=0.84, size=(0.06, 0.13))
        self.set_still(picture, alpha)
        self.streaks = [self._streaks(count, long) for count, long in ((520, 13), (200, 26))]
        self.moving[:] = True  # streaks cross the whole picture
        self.veil_tint = colour(self.palette.horizon) * np.float32(0.62)
        self.haze = triple(np.exp(-self.ahead / 130.0).astype(np.float32))
        self.veil = (1 - self.haze) * self.veil_tint

    def _rings(self) -> F32:
        """Slopes of rings of growing age: (AGES, 2 REACH, 2 REACH, 2)."""
        y, x = np.mgrid[-REACH:REACH, -REACH:REACH].astype(np.float32) + 0.5
        r = np.hypot(x, y)
        out = []
        for age in (np.arange(AGES) + 0.5) / AGES:
            radius = REACH * 0.82 * age**0.8 + 0.5
            wave = np.cos((r - radius) * 2 * np.pi / 5.2) * np.exp(-(((r - radius) / 4.2) ** 2))
            slope = 0.62 * (1 - age) ** 1.3 * wave / (1 + 0.03 * r)
            out.append(np.stack([slope * x / r, slope * y / r], axis=-1))
        return np.asarray(out, np.float32)

    def _streaks(self, count: int, long: int) -> U8:
        """A sheet of falling streaks that repeats downwards: (2 H, W, 3) brightness to add."""
        h, w = self.height, self.width
        sheet = np.zeros((h, w), np.uint8)
        lean = float(self.rng.uniform(-0.16, 0.16))
        for _ in range(int(count * w * h / (640 * 360))):
            x, y = float(self.rng.uniform(0, w)), float(self.rng.uniform(0, h))
            span = long * self.unit * float(self.rng.uniform(0.6, 1.4))
            for wrap in (0, h):
                a = np.round(np.array([x, y - wrap]) * 16).astype(int).tolist()
                b = np.round(np.array([x + lean * span, y + span - wrap]) * 16).astype(int).tolist()
                cv2.line(sheet, a, b, int(self.rng.integers(20, 58)), 1, cv2.LINE_AA, 4)
        soft = cv2.GaussianBlur(sheet, (0, 0), 0.6)
        return u8(np.concatenate([cv2.merge([soft] * 3)] * 2))

    def _drop_slopes(self, t: float) -> F32:
        """(TEXELS, TEXELS, 2) of all rings alive at t."""
        now = (t % CYCLE) + CYCLE
        padded = np.zeros((TEXELS + 2 * REACH, TEXELS + 2 * REACH, 2), np.float32)
        for lap in (0.0, CYCLE):
            first, last = np.searchsorted(self.born + lap, (now - LIFE, now))
            for i in range(first, last):
                age = int((now - lap - self.born[i]) / LIFE * AGES)
                y, x = self.place[i]
                padded[y : y + 2 * REACH, x : x + 2 * REACH] += self.sprites[min(age, AGES - 1)] * self.strong[i]
        for axis in (0, 1):
            body = np.moveaxis(padded, axis, 0)
            body[REACH : 2 * REACH] += body[TEXELS + REACH :]
            body[TEXELS : TEXELS + REACH] += body[:REACH]
        return np.ascontiguousarray(padded[REACH:-REACH, REACH:-REACH])

    def paint(self, t: float) -> U8:
        slopes = self.slopes(t)
        slopes += self.on_rings(pyramid(self._drop_slopes(t), 5))
        slope_x, slope_z = map(f32, cv2.split(slopes))
        picture = self.finish(self.water.shade(slope_x, slope_z) * self.haze + self.veil)
        for sheet, speed in zip(self.streaks, (820.0, 1350.0), strict=True):
            down = self.height - 1 - int(speed * self.unit * t) % self.height
            picture = u8(cv2.add(picture, sheet[down : down + self.height]))
        return picture
