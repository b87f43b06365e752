"""A stream coming down between wooded banks: carried ripples, foam behind the stones, a pebbled bed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import cv2
import numpy as np

from curation.demo.fields import F32, U8, PlaneSampler, halve, line_noise, pyramid, smoothstep, spectral_noise
from curation.demo.land import colour, paint_conifers, paint_hills, paint_rock, paint_sky
from curation.demo.scenes.base import flood, over
from curation.demo.scenes.sea import WaterScene
from curation.demo.water import Water


class River(WaterScene):
    """Water flows towards the viewer along the banks and around the stones."""

    kind = "river"
    palettes = ("noon", "autumn", "overcast", "golden")

    def build(self) -> None:
        rng = self.rng
        self.open_water(float(rng.uniform(0.30, 0.40)), eye=float(rng.uniform(1.5, 2.1)))
        cam = self.camera
        first = cam.first_row
        sky = paint_sky(cam, self.palette, rng, above=self.above, clouds=float(rng.uniform(0.4, 0.7)))
        far = cam.horizon + self.above
        paint_hills(sky, far, self.palette, rng, layers=3, top=float(rng.uniform(0.16, 0.26)) * self.height)
        picture = np.zeros((self.height, self.width, 3), np.float32)
        picture[:first] = sky[self.above : self.above + first]
        self.right, self.ahead = replace(cam, pitch=1).ground((first, self.height), farthest=150.0)
        bend, phase, side = rng.uniform(2.0, 4.5), rng.uniform(0, 6.28), rng.uniform(-0.8, 0.8)
        ahead = self.ahead
        middle = side + bend * (np.sin(ahead / 17.0 + phase) - np.sin(3.0 / 17.0 + phase)) * smoothstep(2, 26, ahead)
        half = float(rng.uniform(2.9, 3.8)) + 0.02 * ahead
        wobble = line_noise(1024, rng, beta=1.2, low=4)
        bank = np.abs(self.right - middle) - half
        bank = bank + 0.16 * wobble[(np.clip(ahead * 9, 0, 1023)).astype(np.int32)] * np.sign(self.right - middle)
        self.stones = self._place_stones(middle, half)
        land = self._paint_ground(bank)
        shore_alpha = smoothstep(-0.02, 0.05, bank)
        picture[first:] = land
        alpha = np.zeros((self.height, self.width), np.float32)
        alpha[first:] = shore_alpha
        self._plant(picture, alpha, middle, half)
        for x, z, r in sorted(self.stones, key=lambda s: -s[1]):
            self._put_rock(picture, alpha, x, z, r)
        mirrored = sky.copy()
        mirrored[self.above : self.above + first] = picture[:first]
        # Trees above the horizon stand in the mirror image; what hides them there is the far bank.
        self.water = Water(cam, mirrored, above=self.above, deep=(0.085, 0.085, 0.05))
        self._prepare_flow(middle, half, bank)
        self.set_still(picture, alpha)

    def _place_stones(self, middle: F32, half: F32) -> list[tuple[float, float, float]]:
        """Stones in the stream: (right, ahead, radius) in metres."""
        rng, stones = self.rng, []
        for _ in range(int(rng.integers(5, 10))):
            z = float(rng.uniform(4.0, 20.0))
            row = int(np.argmin(np.abs(self.ahead[:, 0] - z)))
            x = float(middle[row, 0] + rng.uniform(-0.85, 0.85) * half[row, 0])
            stones.append((x, z, float(rng.uniform(0.16, 0.42))))
        return stones

    def _paint_ground(self, bank: F32) -> F32:
        """Grassy banks with a stony edge: (rows, W, 3)."""
        rng = self.rng
        grass = pyramid(spectral_noise((512, 512), rng, beta=0.75, low=6), 6)
        patches = pyramid(spectral_noise((256, 256), rng, beta=1.7, low=2), 5)
        fine = PlaneSampler(self.right / 5.0, self.ahead / 9.0, 512, 6)(grass)
        broad = PlaneSampler(self.right / 22.0, self.ahead / 22.0, 256, 5)(patches)
        stony = (1 - smoothstep(0.0, 0.55, bank + 0.18 * broad + 0.1 * fine))[..., None]
        green = colour(self.palette.foliage) * 1.25 * np.maximum(1 + 0.42 * fine + 0.22 * broad, 0.12)[..., None]
        stone = colour(self.palette.rock) * np.maximum(0.9 + 0.45 * fine, 0.1)[..., None]
        light = colour(self.palette.ambient) * 0.5 + colour(self.palette.sun) * 0.85
        ground = (green * (1 - stony) + stone * stony) * light * (0.45 + 0.55 * smoothstep(0.0, 0.2, bank))[..., None]
        veil = (self.palette.haze * (1 - np.exp(-self.ahead / 80.0)))[..., None]
        return np.asarray(ground * (1 - veil) + 0.75 * colour(self.palette.horizon) * veil, np.float32)

    def _row(self, z: float) -> float:
        return self.camera.horizon + self.camera.eye * self.camera.focal * self.height / z

    def _foot(self, z: float, _: float) -> float:
        return self._row(z)

    def _column(self, x: float, z: float) -> float:
        return self.width / 2 + x * self.camera.focal * self.height / z

    def _plant(self, picture: F32, alpha: F32, middle: F32, half: F32) -> None:
        """Spruces on both banks, far ones first."""
        scale = self.camera.focal * self.height
        for z in np.geomspace(110.0, 11.0, 13):
            row = int(np.argmin(np.abs(self.ahead[:, 0] - z)))
            veil = float(0.75 * self.palette.haze * (1 - np.exp(-z / 60.0)))
            for sign in (-1.0, 1.0):
                inner = float(middle[row, 0] + sign * (half[row, 0] + 1.6 + 0.04 * z))
                outer = inner + sign * (4.0 + 0.32 * z)
                low, high = sorted((self._column(inner, z), self._column(outer, z)))
                before = picture.copy()
                paint_conifers(
                    picture, partial(self._foot, float(z)), self.palette, self.rng, count=int(self.rng.integers(2, 7)),
                    tall=(3.4 * scale / z, 8.5 * scale / z), veil=veil, span=(low, high),
                )  # fmt: skip
                np.maximum(alpha, (np.abs(picture - before).max(axis=2) > 1e-4).astype(np.float32), out=alpha)

    def _put_rock(self, picture: F32, alpha: F32, x: float, z: float, r: float) -> None:
        pixels = r * self.camera.focal * self.height / z
        centre = (self._column(x, z), self._row(z) + 0.1 * pixels)
        paint_rock(picture, alpha, centre, (1.25 * pixels, 0.85 * pixels), self.palette, self.rng, moss=0.2)

    def _prepare_flow(self, middle: F32, half: F32, bank: F32) -> None:
        rng = self.rng
        right, ahead, middle, half, bank = (halve(a) for a in (self.right, self.ahead, middle, half, bank))
        across = (right - middle) / half
        speed = float(rng.uniform(1.3, 1.9)) * np.clip(1.05 - across**2, 0.12, 1.0)
        turn = np.gradient(middle, axis=0) / np.minimum(np.gradient(ahead, axis=0), -1e-3)
        vx, vz = -speed * np.clip(turn, -0.8, 0.8), -speed
        riffles = line_noise(1024, rng, beta=1.0, low=6)[np.clip(ahead * 14, 0, 1023).astype(np.int32)]
        froth = 0.55 * smoothstep(-0.30, 0.0, bank) + 0.25 * smoothstep(0.5, 1.4, riffles)
        for x, z, r in self.stones:
            dx, dz = right - x, ahead - z
            d2 = np.maximum(dx**2 + dz**2, r * r)
            push = (1.2 * r) ** 2 * speed / d2
            vx = vx + push * 2 * dx * dz / d2  # a doublet: the flow parts before the stone and closes behind it
            vz = vz + push * (dz**2 - dx**2) / d2
            wake = np.exp(-((dx / (r * (1.1 + 0.35 * np.maximum(-dz, 0)))) ** 2)) * np.exp(
                -np.maximum(-dz, 0) / (3.2 * r + 0.6)
            )
            froth = (
                froth + 1.15 * wake * (dz < 0.6 * r) * (dz > -6) + 0.5 * np.exp(-((np.sqrt(d2) / r - 1.25) ** 2) / 0.06)
            )
        texture = spectral_noise((256, 256), rng, beta=1.55, low=3, stretch=(1.5, 1.0))
        sy, sx = np.gradient(texture)
        relief = np.stack([sx / sx.std(), sy / sy.std()], axis=-1).astype(np.float32)
        bubbles = spectral_noise((256, 256), rng, beta=0.95, low=5, stretch=(2.2, 1.0))
        self.texture = pyramid(np.dstack([relief, bubbles]), 5)
        flow = (np.asarray(vx, np.float32), np.asarray(vz, np.float32))
        big, small = 4.2, 1.5
        self.coarse = PlaneSampler(right / big, ahead / big, 256, 5, flow=(flow[0] / big, flow[1] / big))
        self.fine = PlaneSampler(right / small, ahead / small, 256, 5, flow=(flow[0] / small, flow[1] / small))
        self.rough = (float(rng.uniform(0.085, 0.11)) * (0.7 + 0.9 * np.clip(froth, 0, 1))).astype(np.float32)
        self.froth = np.clip(froth, 0, 1.4).astype(np.float32)
        pebbles = pyramid(spectral_noise((512, 512), rng, beta=0.9, low=12), 6)
        bed = PlaneSampler(right / 4.0, ahead / 4.0, 512, 6)(pebbles)
        self.glow = np.clip(1 + 0.38 * bed + 0.9 * smoothstep(-0.9, 0.0, bank), 0.3, 2.4).astype(np.float32)
        self.white = flood(right.shape, 0.62 * colour(self.palette.ambient) + 0.62 * colour(self.palette.sun))

    def paint(self, t: float) -> U8:
        coarse = cv2.split(self.coarse.carried(self.texture, t, 2.1))
        fine = cv2.split(self.fine.carried(self.texture, t + 0.4, 1.3))
        slope_x, slope_z = ((coarse[i] + np.float32(0.75) * fine[i]) * self.rough for i in (0, 1))
        water = self.water.shade(slope_x, slope_z, self.glow)
        bubbles = np.float32(0.55) * coarse[2] + np.float32(0.5) * fine[2]
        foam = smoothstep(0.82, 2.0, bubbles + np.float32(1.45) * self.froth) * np.float32(0.88)
        return self.finish(over(water, self.white, foam))
