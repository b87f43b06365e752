"""Waves running up a beach: breakers, bores with foam behind them, a swash edge and wet sand."""

from __future__ import annotations

import cv2
import numpy as np

from curation.demo.fields import F32, U8, PlaneSampler, f32, line_noise, pyramid, smoothstep, spectral_noise, triple
from curation.demo.land import colour, paint_hills, paint_sky
from curation.demo.scenes.base import flood, over
from curation.demo.scenes.sea import WaterScene
from curation.demo.water import Water


class Beach(WaterScene):
    """Each wave is a crest on its way to the shore; distance from the shore drives its height, foam and speed."""

    kind = "beach"
    palettes = ("noon", "golden", "dawn", "overcast")

    def build(self) -> None:
        rng = self.rng
        self.open_water(float(rng.uniform(0.24, 0.32)), eye=float(rng.uniform(2.6, 3.4)))
        cam = self.camera
        sky = paint_sky(cam, self.palette, rng, above=self.above, clouds=float(rng.uniform(0.4, 0.75)))
        across = np.linspace(0, 1, self.width, dtype=np.float32)[:: int(rng.choice([-1, 1]))]
        edge = float(rng.uniform(0.25, 0.5))
        paint_hills(
            sky, cam.horizon + self.above, self.palette, rng, layers=2,
            top=float(rng.uniform(0.07, 0.12)) * self.height,
            envelope=np.sqrt(np.clip(1 - across / edge, 0, 1)) - 0.12 * (across > edge),
        )  # fmt: skip
        green = 0.6 + 0.4 * float(self.palette.name == "noon")
        picture = np.zeros((self.height, self.width, 3), np.float32)
        picture[: cam.first_row] = sky[self.above : self.above + cam.first_row]
        first = cam.first_row
        self.right, self.ahead = cam.ground((first, self.height))
        shore = float(rng.uniform(7.2, 8.4)) + float(rng.uniform(-0.22, 0.22)) * self.right
        shore += 0.16 * line_noise(cam.columns, rng, beta=1.5, low=1)[None, :]
        out = np.asarray(self.ahead - shore, np.float32)
        dry, wet = self._paint_sand(sky)
        picture[first:] = np.repeat(dry, 2, axis=1)
        self.last = first + int(np.flatnonzero(out.max(axis=1) > -4.2)[-1]) + 1  # beyond it lies dry sand
        wet_rows = slice(0, self.last - first)
        self.out = np.ascontiguousarray(out[wet_rows])  # metres seaward of the mean shore line
        self.coarse_out = np.ascontiguousarray(self.out[:, ::4])
        self.dry, self.wet = (np.ascontiguousarray(sand[wet_rows]) for sand in (dry, wet))
        self.water = Water(cam, sky, above=self.above, deep=(0.02, 0.11 * green, 0.13 * green), rows=(first, self.last))
        self.waves(patch=15.0, wind=4.0, slope=0.04, direction=-1.6, ripple=0.035)
        self.period, self.rate = float(rng.uniform(5.0, 6.6)), float(rng.uniform(0.9, 1.1))
        self.delays = 0.42 * np.stack([line_noise(self.camera.columns, rng, beta=1.5) for _ in range(17)])
        self.runs = 1.55 + 0.45 * rng.standard_normal(17) + 0.30 * np.stack(
            [line_noise(self.camera.columns, rng, beta=1.25, low=2) for _ in range(17)], axis=1
        )  # fmt: skip
        lace = 1.0 - np.abs(spectral_noise((512, 512), rng, beta=1.25, low=7)) * 1.5
        bubbles = spectral_noise((512, 512), rng, beta=0.8, low=14)
        self.foam_texture = pyramid((0.75 * lace + 0.35 * bubbles).astype(np.float32), 6)
        self.on_foam = PlaneSampler(
            self.right / 7.0, self.ahead / 7.0, 512, 6, flow=(np.zeros_like(self.out), np.ones_like(self.out))
        )
        self.white = flood(self.out.shape, 0.66 * colour(self.palette.ambient) + 0.60 * colour(self.palette.sun))
        self.set_still(picture, np.zeros((self.height, self.width), np.float32))
        self.moving[first : self.last] &= ~np.repeat(self.out < -4.2, 2, axis=1)
        self.haze = triple(np.exp(-self.ahead / 240.0).astype(np.float32))
        self.veil = (1 - self.haze) * colour(self.palette.horizon) * np.float32(0.62)
        self.shallow = (1 + 1.7 * np.exp(-np.maximum(self.out, 0) / 5.0)).astype(np.float32)

    def _paint_sand(self, sky: F32) -> tuple[F32, F32]:
        """Dry and wet sand: (rows, columns, 3) each."""
        rng, palette = self.rng, self.palette
        grain = PlaneSampler(self.right / 3.0, self.ahead / 3.0, 512, 6)(
            pyramid(spectral_noise((512, 512), rng, beta=0.7, low=9), 6)
        )
        broad = PlaneSampler(self.right / 9.0, self.ahead / 14.0, 256, 5)(
            pyramid(spectral_noise((256, 256), rng, beta=1.6, low=2), 5)
        )
        light = colour(palette.ambient) * 0.55 + colour(palette.sun) * 0.62
        tint = np.array([0.60, 0.47, 0.32], np.float32)
        sand = tint * light * np.maximum(1 + 0.10 * grain + 0.09 * broad, 0.2)[..., None]
        first = self.camera.first_row
        mirror = sky[max(0, len(sky) - 1 - int(0.8 * self.height)) : len(sky) - 1].mean(axis=(0, 1))
        shine = (0.10 + 0.22 * smoothstep(self.height, first, np.arange(first, self.height)))[:, None, None]
        return np.asarray(sand, np.float32), np.asarray(sand * 0.46 + mirror * shine, np.float32)

    def _fronts(self, t: float) -> tuple[list[F32], F32, F32]:
        """Crests still at sea (metres out, (W,)), the swash front and the wet line: metres up the beach (W,)."""
        latest = int(np.floor(t / self.period))
        crests, swash, wet = (
            [],
            np.full(self.camera.columns, -0.6, np.float32),
            np.full(self.camera.columns, 0.3, np.float32),
        )
        for number in range(latest - 4, latest + 1):
            age = (t - number * self.period + self.delays[number % 17]).astype(np.float32)
            distance = 47.0 * np.exp(-age / 6.4) - 2.2
            crests.append(distance.astype(np.float32))
            landed = age - 19.0
            run = self.runs[:, number % 17].astype(np.float32)
            swash = np.maximum(swash, (run + 0.6) * (1 - ((landed / 4.4) - 1) ** 2) - 0.6)
        for number in range(latest - 9, latest - 2):
            since = (t - number * self.period + self.delays[number % 17]).astype(np.float32) - 19.0 - 4.4
            peak = np.where(since > 0, self.runs[:, number % 17] * np.exp(-np.maximum(since, 0) / 26.0), -1.0)
            wet = np.maximum(wet, peak.astype(np.float32))
        return crests, swash, np.maximum(wet, swash)

    def paint(self, t: float) -> U8:
        time = (t + 60.0) * self.rate
        crests, swash, wet_line = self._fronts(time)
        out = self.out
        sway = 0.45 * float(np.sin(2 * np.pi * time / self.period)) / 7.0
        foam = self.on_foam(self.foam_texture, 0.0, sway)
        coarse = self.coarse_out  # crests bend slowly along the shore: every fourth column will do
        face, white = np.zeros_like(coarse), np.zeros_like(coarse)
        for distance in (crest[::4] for crest in crests):
            lag = coarse - distance  # positive behind the crest, seaward
            tall = np.clip(0.10 + 0.5 * np.exp(-(((distance - 8.0) / 9.0) ** 2)), 0, 1) * smoothstep(
                -1.5, 3.0, distance
            )
            width = np.float32(0.5) + np.float32(0.055) * np.maximum(distance, np.float32(0))
            shape = lag * (np.float32(1.0) / width)
            # Steep shoreward face, long back: the slope of an uneven bump.
            fall_off = np.where(lag < 0, np.float32(-0.9), np.float32(-0.25))
            face += (np.float32(0.62) * tall) * shape * cv2.exp(shape * shape * fall_off)
            broken = smoothstep(11.0, 6.0, distance + 2.5 * self.delays[3][::4])
            length = np.where(
                lag > 0,
                np.float32(1.0) / (np.float32(0.7) + np.float32(0.10) * np.maximum(np.float32(10) - distance, 0)),
                np.float32(-5.0),
            )
            white += broken * cv2.exp(-lag * length)
        face = f32(cv2.resize(face, out.shape[::-1]))
        white = f32(cv2.resize(white, out.shape[::-1]))
        slope_x, slope_z = map(f32, cv2.split(self.slopes(t)))
        glow = self.shallow * (1 + np.float32(0.9) * np.clip(-face, -0.4, 1))
        water = self.water.shade(slope_x, slope_z - face, glow) * self.haze + self.veil
        past = out + swash  # metres behind the swash front
        sand = over(self.dry, self.wet, smoothstep(-0.15, 0.35, out + wet_line))
        depth = smoothstep(-0.02, 0.05, past) * (np.float32(0.25) + np.float32(0.75) * smoothstep(0.0, 3.2, past))
        surface = over(sand, water, depth)
        behind = np.maximum(past, np.float32(0))
        lace = cv2.exp(behind * np.float32(-1 / 1.5))
        cover = smoothstep(
            0.42, 1.15, foam * np.float32(0.50) + np.float32(0.95) * white + np.float32(0.85) * lace - np.float32(0.30)
        )
        rim = cv2.exp(np.abs(past - np.float32(0.06)) * np.float32(-1 / 0.07)) * smoothstep(
            -0.9, 0.5, foam + np.float32(0.5)
        )
        cover = np.maximum(cover, rim) * smoothstep(-0.06, 0.04, past) * np.float32(0.93)
        return self.finish(over(surface, self.white, cover))
