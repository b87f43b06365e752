"""Clouds drifting over hills, as a time lapse sees them."""

from __future__ import annotations

import cv2
import numpy as np

from curation.demo.fields import U8, Camera, f32, smoothstep, spectral_noise, triple
from curation.demo.land import colour, paint_conifers, paint_hills, paint_sky, pick_palette, tone_map
from curation.demo.scenes.base import Scene, over, uncover


class Clouds(Scene):
    """Two noise layers drift at different speeds, so that the clouds boil as they travel; lit from the sun's side."""

    kind = "clouds"

    def build(self) -> None:
        rng, h, w = self.rng, self.height, self.width
        self.palette = pick_palette(rng, ("noon", "golden", "dusk", "autumn"))
        horizon = float(rng.uniform(0.74, 0.84)) * h
        self.camera = Camera(width=w, height=h, horizon=horizon, focal=0.85)
        picture = np.zeros((h, w, 3), np.float32)
        clear = paint_sky(self.camera, self.palette, rng, above=0, clouds=0.0)
        picture[: len(clear)] = clear
        picture[len(clear) :] = clear[-1]
        land = picture.copy()
        paint_hills(land, horizon + 0.06 * h, self.palette, rng, layers=4, top=float(rng.uniform(0.20, 0.30)) * h)
        paint_conifers(land, lambda x: 0.985 * h, self.palette, rng, count=26, tall=(0.05 * h, 0.15 * h), veil=0.05)
        self.rows = min(h, int(horizon + 0.06 * h))
        land_alpha = (np.abs(land - picture).max(axis=2) > 1e-5).astype(np.float32)
        land_alpha[self.rows :] = 1.0
        self.sky = np.ascontiguousarray(picture[: self.rows])
        self.backdrop = tone_map(land, self.palette.exposure)
        self.clear = triple(1.0 - land_alpha[: self.rows])
        self.before = np.round(self.backdrop[: self.rows] * (1.0 - self.clear)).astype(np.uint8)
        self.moving[: self.rows] = land_alpha[: self.rows] < 0.5
        self._prepare_layers()

    def _prepare_layers(self) -> None:
        rng = self.rng
        low = spectral_noise((512, 512), rng, beta=1.95, low=3, stretch=(1.0, 1.0))
        fine = spectral_noise((512, 512), rng, beta=1.35, low=9)
        sx, sy = self.palette.sun_at
        step = (int(np.sign(-sx) * 5) or 5, 7 if sy < 0.5 else 4)
        self.low = np.dstack([low, low - np.roll(low, step, axis=(1, 0))]).astype(np.float32)
        self.fine = np.dstack([fine, fine - np.roll(fine, (step[0] // 2, step[1] // 2), axis=(1, 0))]).astype(
            np.float32
        )
        half = (self.width // 2, self.rows // 2)
        scale = self.camera.focal * self.height
        across = ((np.arange(half[0], dtype=np.float32) + 0.5) * 2 - self.width / 2) / scale
        up = np.maximum((self.camera.horizon - (np.arange(half[1], dtype=np.float32) + 0.5) * 2) / scale, 0.0)
        ahead = 1.0 / (up + 0.16)
        size = float(self.rng.uniform(62, 88))
        self.x = (across[None, :] * ahead[:, None] * size + 256).astype(np.float32)
        self.y = np.repeat((ahead * size * 1.1)[:, None], half[0], axis=1).astype(np.float32)
        self.fade = smoothstep(0.0, 0.16, up)[:, None] * np.ones((1, half[0]), np.float32)
        heading, pace = float(rng.uniform(-0.5, 0.5)), float(rng.uniform(18, 28))
        direction = float(rng.choice([-1, 1]))
        self.drift = (direction * pace * np.cos(heading), abs(pace * np.sin(heading)) + 4.0)
        self.cut = float(rng.uniform(-0.25, 0.15))
        distance = np.hypot(across[None, :] - sx, up[:, None] - sy)
        near_sun = np.exp(-distance / 0.45)[..., None] * min(1.0, self.palette.sun_power / 24)
        low_sun = 1.0 if sy < 0.35 else 0.0
        ambient, sun = colour(self.palette.ambient), colour(self.palette.sun)
        self.bright = (0.66 * ambient + sun * (0.55 + 1.0 * near_sun)).astype(np.float32)
        base = 0.30 * ambient + 0.08 * sun + (0.14 * low_sun) * colour(self.palette.horizon)
        self.dark = np.ascontiguousarray(np.broadcast_to(base, self.bright.shape)).astype(np.float32)

    def paint(self, t: float) -> U8:
        dx, dy = self.drift
        shift = (np.float32(dx * t % 512), np.float32(dy * t % 512))
        low = cv2.remap(self.low, self.x + shift[0], self.y + shift[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        warp = low[..., 1] * np.float32(9.0)
        fine = cv2.remap(
            self.fine, self.x * np.float32(1.35) + np.float32(1.5 * dx * t % 512) + warp,
            self.y * np.float32(1.35) + np.float32(1.9 * dy * t % 512) + warp,
            cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP,
        )  # fmt: skip
        density = low[..., 0] + np.float32(0.36) * fine[..., 0] - np.float32(self.cut)
        light = np.float32(2.3) * low[..., 1] + np.float32(0.42) * fine[..., 1]
        alpha = smoothstep(-0.05, 0.85, density) * self.fade
        # Thick parts hide the sun, edges towards it glow.
        lit = np.clip(
            np.float32(0.80) + np.float32(0.55) * light - np.float32(0.32) * np.maximum(density, 0), 0, np.float32(1.25)
        )
        clouds = over(self.dark, self.bright, f32(lit))
        size = (self.width, self.rows)
        opaque = f32(cv2.resize(alpha * np.float32(0.96), size))
        sky = over(self.sky, f32(cv2.resize(clouds, size)), opaque)
        picture = self.backdrop.copy()
        picture[: self.rows] = uncover(tone_map(sky, self.palette.exposure), self.clear, self.before)
        return picture
