"""Open water: a sea against the light, and a mountain lake that mirrors its shore."""

from __future__ import annotations

import cv2
import numpy as np

from curation.demo.fields import F32, U8, Camera, PlaneSampler, WaveField, pyramid, spectral_noise, triple, u8
from curation.demo.land import (
    colour,
    paint_conifers,
    paint_hills,
    paint_rock,
    paint_sky,
    pick_palette,
    tone_map,
)
from curation.demo.scenes.base import Scene, uncover
from curation.demo.water import Water


class WaterScene(Scene):
    """Waves of two sizes on a plane, seen from the shore, with still rocks before them."""

    palettes: tuple[str, ...] = ("golden",)

    def open_water(self, horizon: float, *, eye: float, focal: float = 1.1) -> None:
        self.camera = Camera(
            width=self.width, height=self.height, horizon=horizon * self.height, focal=focal, eye=eye, pitch=2
        )
        self.palette = pick_palette(self.rng, self.palettes)
        self.above = int(0.9 * self.height)
        self.last = self.height  # row where the water ends

    def waves(
        self, *, patch: float, wind: float, slope: float, direction: float, ripple: float, texels: int = 256
    ) -> None:
        """A swell of `patch` metres and ripples of a fifth of it."""
        rows = (self.camera.first_row, self.last)
        self.right, self.ahead = self.camera.ground(rows)
        self.swell = WaveField(self.rng, patch=patch, wind=wind, slope=slope, direction=direction, texels=texels)
        small = patch / 5.3
        self.ripples = WaveField(
            self.rng,
            patch=small,
            wind=max(1.5, wind / 3),
            slope=ripple,
            direction=direction + 0.5,
            spread=1.0,
            texels=128,
        )
        self.on_swell = PlaneSampler(self.right / patch, self.ahead / patch, texels, 5)
        self.on_ripples = PlaneSampler(self.right / small, self.ahead / small, 128, 5)

    def slopes(self, t: float) -> F32:
        """(rows, W, 2)."""
        slopes = self.on_swell(pyramid(self.swell.slopes(t), 5))
        slopes += self.on_ripples(pyramid(self.ripples.slopes(t), 5))
        return slopes

    def set_still(self, land: F32, alpha: F32) -> None:
        """Keeps the tone-mapped land above the water and what stands before the water."""
        first = self.camera.first_row
        self.backdrop = tone_map(land, self.palette.exposure)
        self.clear = triple(1.0 - alpha[first : self.last])
        self.before = np.round(self.backdrop[first : self.last] * (1.0 - self.clear)).astype(np.uint8)
        self.moving[first : self.last] = alpha[first : self.last] < 0.98

    def finish(self, water: F32) -> U8:
        """The picture with this water (rows, columns, 3), linear, in it."""
        graded = u8(cv2.resize(tone_map(water, self.palette.exposure), (self.width, len(water))))
        picture = self.backdrop.copy()
        picture[self.camera.first_row : self.last] = uncover(graded, self.clear, self.before)
        return picture

    def rocks(self, picture: F32, alpha: F32, count: int, *, low: float, size: tuple[float, float]) -> None:
        """Boulders in the foreground, nearer ones larger, none in the middle of the picture."""
        for f in np.sort(self.rng.uniform(low, 1.05, count)):
            side = -1 if self.rng.random() < 0.5 else 1
            x = self.width * (0.5 + side * float(self.rng.uniform(0.16, 0.52)))
            r = float(self.rng.uniform(*size)) * self.height * (0.35 + 0.65 * (f - low) / (1.05 - low))
            paint_rock(
                picture, alpha, (x, f * self.height), (r * float(self.rng.uniform(1.0, 1.7)), r), self.palette, self.rng
            )


class Sea(WaterScene):
    """Waves towards the viewer under a low sun."""

    kind = "sea"
    palettes = ("golden", "dusk", "dawn")

    def build(self) -> None:
        self.open_water(float(self.rng.uniform(0.36, 0.46)), eye=float(self.rng.uniform(2.4, 4.0)))
        cam, rng = self.camera, self.rng
        sky = paint_sky(cam, self.palette, rng, above=self.above, clouds=float(rng.uniform(0.45, 0.75)))
        far = cam.horizon + self.above
        land = sky[: int(far) + 2]
        across = np.linspace(0, 1, self.width, dtype=np.float32)
        if rng.random() < 0.5:
            across = across[::-1]
        edge = float(rng.uniform(0.3, 0.6))
        paint_hills(
            land, far, self.palette, rng, layers=2, top=float(rng.uniform(0.10, 0.17)) * self.height, wooded=False,
            envelope=np.sqrt(np.clip(1 - across / edge, 0, 1)) - 0.12 * (across > edge),
        )  # fmt: skip
        self.water = Water(cam, land, above=self.above, deep=self.deep())
        self.waves(
            patch=float(rng.uniform(34, 52)), wind=float(rng.uniform(7, 10)), slope=float(rng.uniform(0.085, 0.12)),
            direction=float(rng.uniform(-2.2, -0.9)), ripple=0.055,
        )  # fmt: skip
        picture = np.zeros((self.height, self.width, 3), np.float32)
        rows = min(cam.first_row, len(sky) - self.above)
        picture[:rows] = sky[self.above : self.above + rows]
        alpha = np.zeros((self.height, self.width), np.float32)
        self.rocks(picture, alpha, int(rng.integers(4, 8)), low=0.80, size=(0.06, 0.15))
        self.set_still(picture, alpha)
        self.haze = triple(np.exp(-self.ahead / 260.0).astype(np.float32))
        self.veil = (1 - self.haze) * colour(self.palette.horizon) * np.float32(0.55)
        self.rate = float(rng.uniform(0.85, 1.1))

    def deep(self) -> tuple[float, float, float]:
        z = self.palette.zenith
        return 0.10 * z[0] + 0.004, 0.14 * z[1] + 0.018, 0.13 * z[2] + 0.022

    def paint(self, t: float) -> U8:
        slopes = self.slopes(t * self.rate)
        water = self.water.shade(slopes[..., 0], slopes[..., 1])
        return self.finish(water * self.haze + self.veil)


class Lake(WaterScene):
    """A mountain lake in a breeze: gusts ruffle the mirror image of the far shore."""

    kind = "lake"
    palettes = ("noon", "autumn", "dawn", "golden")

    def build(self) -> None:
        self.open_water(float(self.rng.uniform(0.40, 0.50)), eye=float(self.rng.uniform(1.6, 2.4)))
        cam, rng = self.camera, self.rng
        sky = paint_sky(cam, self.palette, rng, above=self.above, clouds=float(rng.uniform(0.4, 0.7)))
        far = cam.horizon + self.above
        paint_hills(
            sky, far, self.palette, rng, layers=1, top=float(rng.uniform(0.26, 0.33)) * self.height, wooded=False
        )
        paint_hills(sky, far, self.palette, rng, layers=2, top=float(rng.uniform(0.12, 0.18)) * self.height)
        for tall, veil in (((0.03, 0.05), 0.30), ((0.04, 0.075), 0.12)):
            paint_conifers(
                sky, lambda x: far, self.palette, rng,
                count=110, tall=(tall[0] * self.height, tall[1] * self.height), veil=veil,
            )  # fmt: skip
        self.water = Water(cam, sky, above=self.above, deep=(0.012, 0.035, 0.035))
        self.waves(
            patch=float(rng.uniform(16, 22)), wind=3.6, slope=float(rng.uniform(0.030, 0.042)),
            direction=float(rng.uniform(-2.6, -0.5)), ripple=0.034,
        )  # fmt: skip
        self.gusts = pyramid(spectral_noise((256, 256), rng, beta=1.6, low=2), 5)
        self.on_gusts = PlaneSampler(self.right / 70.0, self.ahead / 140.0, 256, 5)
        picture = np.zeros((self.height, self.width, 3), np.float32)
        picture[: cam.first_row] = sky[self.above : self.above + cam.first_row]
        alpha = np.zeros((self.height, self.width), np.float32)
        self.rocks(picture, alpha, int(rng.integers(3, 7)), low=0.84, size=(0.05, 0.12))
        self.set_still(picture, alpha)

    def paint(self, t: float) -> U8:
        gust = self.on_gusts(self.gusts, 0.020 * t, 0.012 * t)
        slopes = self.slopes(t)
        calm = np.clip(np.float32(0.85) + np.float32(0.55) * gust, 0.25, 2.2)
        return self.finish(self.water.shade(slopes[..., 0] * calm, slopes[..., 1] * calm))
