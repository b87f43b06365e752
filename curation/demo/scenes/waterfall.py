"""A waterfall over a mossy cliff into a pool, with spray at its foot."""

from __future__ import annotations

import cv2
import numpy as np

from curation.demo.fields import (
    F32,
    U8,
    Camera,
    PlaneSampler,
    WaveField,
    f32,
    line_noise,
    pyramid,
    smoothstep,
    spectral_noise,
    triple,
    wrap_sample,
)
from curation.demo.land import colour, lit_relief, paint_conifers, paint_rock, paint_sky, pick_palette, tone_map
from curation.demo.scenes.base import Scene, flood, over, uncover
from curation.demo.water import Water


class Waterfall(Scene):
    """Streaks fall with gravity's acceleration; the pool's waves spread from where they strike."""

    kind = "waterfall"

    def build(self) -> None:
        rng, h, w = self.rng, self.height, self.width
        self.palette = pick_palette(rng, ("noon", "overcast", "autumn"))
        self.camera = Camera(width=w, height=h, horizon=0.42 * h, focal=1.1, eye=2.4, pitch=2)
        self.lip, self.foot = float(rng.uniform(0.10, 0.18)) * h, float(rng.uniform(0.64, 0.70)) * h
        self.first = int(self.foot)
        self.centre = float(rng.uniform(0.36, 0.64)) * w
        self.half = float(rng.uniform(0.085, 0.15)) * w
        picture = self._paint_cliff()
        self._prepare_fall()
        alpha = np.zeros((h, w), np.float32)
        surroundings = picture[: self.first + 1].copy()
        sheet = np.exp(-(((np.arange(w) - self.centre) / self.half) ** 4))[None, :, None]
        surroundings[int(self.lip) :] = (
            surroundings[int(self.lip) :] * (1 - 0.8 * sheet) + 0.8 * sheet * self.white * 0.7
        )
        self.water = Water(
            self.camera, surroundings, above=0, deep=(0.03, 0.10, 0.085), rows=(self.first, h), shore=self.foot
        )
        self._prepare_pool()
        before = picture.copy()
        for _ in range(int(rng.integers(9, 14))):
            x = float(rng.uniform(0, w))
            if abs(x - self.centre) < 1.5 * self.half:
                continue
            r = float(rng.uniform(0.025, 0.055)) * h
            paint_rock(
                before, alpha, (x, self.foot + float(rng.uniform(0.2, 0.9)) * r), (1.6 * r, r), self.palette, rng
            )
        for f in np.sort(rng.uniform(0.86, 1.05, 5)):
            x = float(rng.choice([rng.uniform(0, 0.34), rng.uniform(0.66, 1.0)])) * w
            r = float(rng.uniform(0.07, 0.14)) * h
            paint_rock(before, alpha, (x, f * h), (1.5 * r, r), self.palette, rng, moss=0.6)
        self.backdrop = tone_map(picture, self.palette.exposure)
        self.clear = triple(1.0 - alpha)
        self.before = np.round(tone_map(before, self.palette.exposure) * (1.0 - self.clear)).astype(np.uint8)
        c0, c1 = self.columns
        self.linear_fall = np.ascontiguousarray(picture[int(self.lip) : self.first, c0:c1])
        self.moving[self.first :] = alpha[self.first :] < 0.98
        self.moving[int(self.lip) - 2 : self.first, c0:c1] |= alpha[int(self.lip) - 2 : self.first, c0:c1] < 0.98

    def _paint_cliff(self) -> F32:
        rng, h, w = self.rng, self.height, self.width
        sky = paint_sky(self.camera, self.palette, rng, above=0, clouds=0.5)
        picture = np.zeros((h, w, 3), np.float32)
        picture[: len(sky)] = sky
        picture[len(sky) :] = sky[-1]
        base = self.lip + 0.02 * h
        edge = line_noise(2 * w, rng, beta=1.4, low=2)[:w] * 0.035 * h - 0.05 * h
        x = np.arange(w, dtype=np.float32)
        notch = np.exp(-(((x - self.centre) / (1.3 * self.half)) ** 4))
        top = base + edge * (1 - notch) - 0.012 * h
        paint_conifers(
            picture, lambda v: float(top[int(np.clip(v, 0, w - 1))]) + 4, self.palette, rng,
            count=70, tall=(0.07 * h, 0.19 * h), veil=0.18 * self.palette.haze,
        )  # fmt: skip
        y = np.arange(h, dtype=np.float32)[:, None]
        inside = np.clip(y - top[None, :] + 0.5, 0, 1)
        side = 1 << int(np.ceil(np.log2(max(h, w))))
        cracks = spectral_noise((side, side), rng, beta=1.35, low=5, stretch=(1.9, 1.0))[:h, :w]
        ledges = spectral_noise((side, side), rng, beta=1.3, low=5, stretch=(1.0, 3.2))[:h, :w]
        height = -np.abs(cracks) * 5.0 - np.abs(ledges) * 3.4 + cracks * 1.4
        light = lit_relief(
            np.asarray(height * self.unit, np.float32), (0.7 * float(np.sign(self.palette.sun_at[0])), 0.8), 1.0
        )
        moss = smoothstep(0.2, 1.3, spectral_noise((side, side), rng, beta=1.5, low=3)[:h, :w] + 0.9 * light + 0.3)[
            ..., None
        ]
        texture = spectral_noise((side, side), rng, beta=0.6, low=30)[:h, :w]
        stone = colour(self.palette.rock) * np.maximum(0.8 + 0.25 * cracks + 0.18 * texture, 0.05)[..., None]
        green = colour(self.palette.foliage) * np.maximum(0.9 + 0.5 * texture, 0.1)[..., None]
        wet = 1 - 0.6 * np.exp(-(((x - self.centre) / (2.0 * self.half)) ** 2))[None, :, None]
        shade = colour(self.palette.ambient) * 0.30 + colour(self.palette.sun) * (1.05 * light**1.5)[..., None]
        deepen = (1 - 0.45 * smoothstep(self.lip, self.foot, y))[..., None]
        cliff = (stone * (1 - 0.75 * moss) + green * 0.75 * moss) * shade * wet * deepen
        return over(picture, np.asarray(cliff, np.float32), np.asarray(inside, np.float32))

    def _prepare_fall(self) -> None:
        rng, h, w = self.rng, self.height, self.width
        spray = 2.6 * self.half
        self.columns = max(0, int(self.centre - spray)), min(w, int(self.centre + spray))
        c0, c1 = self.columns
        top = int(self.lip)
        y, x = np.mgrid[top : self.first, c0:c1].astype(np.float32)
        drop = np.maximum(y - self.lip, 0) / (self.foot - self.lip)
        warp = spectral_noise((256, 256), rng, beta=1.8, low=2)
        bend = cv2.resize(warp, (c1 - c0, self.first - top)) * 0.022
        widen = 0.72 + 0.28 * drop + 0.12 * smoothstep(0.35, 0.5, drop)
        u = (x - self.centre) / (self.half * widen) + bend
        # y = v0 s + g s^2 / 2 solved for the time of fall s: the texture moves evenly in s, so it speeds up in y.
        v0, g = 0.28, 0.95
        seconds = (np.sqrt(v0 * v0 + 2 * g * drop) - v0) / g
        self.fall_u = (u * 150 + 256).astype(np.float32)
        self.fall_v = (seconds * 330).astype(np.float32)
        strands = line_noise(512, rng, beta=1.1, low=4)[np.clip(u * 110 + 256, 0, 511).astype(np.int32)]
        self.body = (1.35 - 1.75 * np.abs(u) ** 3 + 0.42 * strands + 0.25 * drop).astype(np.float32)
        self.body[np.abs(u) > 1.25] = -4.0
        self.streaks = spectral_noise((512, 512), rng, beta=1.05, low=3, stretch=(5.0, 1.0))
        self.white = 0.70 * colour(self.palette.ambient) + 0.62 * colour(self.palette.sun)
        self.bright = flood(y.shape, self.white)
        self.spray = flood(y.shape, self.white * 0.86)
        self.dim = 0.33 * colour(self.palette.ambient) * np.array([0.85, 1.0, 1.08], np.float32)
        self.dim = flood(y.shape, self.dim)
        rise = np.maximum(self.foot - y, 0) / (0.24 * h)
        near = np.exp(-(((x - self.centre) / (1.15 * self.half)) ** 2) - rise**1.3)
        self.mist = (near * 1.1 * (1 - smoothstep(0.75, 1.0, np.abs(x - self.centre) / spray))).astype(np.float32)
        self.mist_x = (x[::2, ::2] * 0.55 / self.unit).astype(np.float32)  # soft: half size will do
        self.mist_y = (y[::2, ::2] * 0.8 / self.unit).astype(np.float32)
        self.puffs = spectral_noise((256, 256), rng, beta=1.7, low=3)
        self.rate = float(rng.uniform(0.85, 1.15))

    def _prepare_pool(self) -> None:
        rows = (self.first, self.height)
        right, ahead = self.camera.ground(rows)
        centre = (self.centre - self.width / 2) / (self.camera.focal * self.height) * ahead[0, 0]
        away = np.hypot(right - centre, ahead - ahead[0, 0])
        self.away = away.astype(np.float32)
        safe = np.maximum(away, 0.3)
        self.out_x, self.out_z = (
            ((right - centre) / safe).astype(np.float32),
            ((ahead - ahead[0, 0]) / safe).astype(np.float32),
        )
        self.stir = (0.10 * np.exp(-away / 3.0)).astype(np.float32)
        self.chop = (0.45 + 1.5 * np.exp(-away / 3.5)).astype(np.float32)
        self.foam = flood(away.shape, self.white * 0.9)
        self.waves = WaveField(self.rng, patch=9.0, wind=3.0, slope=0.055, direction=-1.57, spread=1.0)
        self.on_waves = PlaneSampler(right / 9.0, ahead / 9.0, 256, 5)
        scale_x = (self.half / (self.camera.focal * self.height)) * ahead[0, 0]
        self.froth = (1.9 * np.exp(-((away / (1.25 * scale_x)) ** 2)) + 0.45 * np.exp(-away / 2.2)).astype(np.float32)
        bubbles = spectral_noise((256, 256), self.rng, beta=1.0, low=5)
        self.bubbles = pyramid(bubbles, 5)
        drift = 0.7 / (1 + 0.35 * away)
        self.on_bubbles = PlaneSampler(
            right / 2.6,
            ahead / 2.6,
            256,
            5,
            flow=(np.asarray(self.out_x * drift / 2.6), np.asarray(self.out_z * drift / 2.6)),
        )

    def paint(self, t: float) -> U8:
        time = t * self.rate
        picture = self.backdrop.copy()
        top, (c0, c1) = int(self.lip), self.columns
        slow = wrap_sample(self.streaks, self.fall_u, self.fall_v - np.float32(330 * time % 512))
        fast = wrap_sample(
            self.streaks,
            self.fall_u * np.float32(1.9) + 91,
            self.fall_v * np.float32(1.25) - np.float32(440 * time % 512),
        )
        flow = 0.62 * slow + 0.55 * fast
        opaque = smoothstep(-0.10, 1.3, self.body + 0.75 * flow)
        bright = smoothstep(-1.5, 2.3, flow + 0.25 * self.body)
        sheet = over(self.dim, self.bright, bright)
        fall = over(self.linear_fall, sheet, opaque)
        puff = wrap_sample(self.puffs, self.mist_x + np.float32(9 * time), self.mist_y + np.float32(26 * time % 256))
        puff += wrap_sample(
            self.puffs,
            self.mist_x * np.float32(1.7) - np.float32(12 * time),
            self.mist_y * np.float32(1.6) + np.float32(47 * time % 256),
        )
        puff = f32(cv2.resize(puff, self.mist.shape[::-1]))
        fall = over(fall, self.spray, np.clip(self.mist * (np.float32(0.62) + np.float32(0.30) * puff), 0, 0.93))
        picture[top : self.first, c0:c1] = tone_map(fall, self.palette.exposure)
        slope_x, slope_z = cv2.split(self.on_waves(pyramid(self.waves.slopes(t), 5)))
        ring = np.sin(self.away * np.float32(5.2) - np.float32(6.4 * t)) * self.stir
        water = self.water.shade(slope_x * self.chop + ring * self.out_x, slope_z * self.chop + ring * self.out_z)
        foam = smoothstep(0.75, 1.9, self.on_bubbles.carried(self.bubbles, t, 2.4) * np.float32(0.45) + self.froth)
        pool = tone_map(over(water, self.foam, foam * np.float32(0.85)), self.palette.exposure)
        picture[self.first :] = cv2.resize(pool, (self.width, len(pool)), interpolation=cv2.INTER_LINEAR)
        return uncover(picture, self.clear, self.before)
