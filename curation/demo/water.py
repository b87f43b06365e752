"""Light on water: exact mirror rays of a sloped surface into the painted surroundings, Fresnel, and depth colour."""

from __future__ import annotations

import cv2
import numpy as np

from curation.demo.fields import F32, Camera, f32, triple
from curation.demo.land import Colour, colour


class Water:
    """A sloped surface seen by a fixed camera; gives linear RGB for the rows from `first` to `last`."""

    def __init__(
        self, camera: Camera, surroundings: F32, *, above: int, deep: Colour,
        rows: tuple[int, int] | None = None, shore: float | None = None,
    ) -> None:  # fmt: skip
        """`surroundings`: (above + rows to the horizon, W, 3), linear; `deep`: colour of the light from below.

        `shore`: row of the far bank where it is near: its mirror image starts there, not at the horizon.
        """
        self.rows = rows or (camera.first_row, camera.height)
        across, down = camera.rays(self.rows)
        self._across = np.ascontiguousarray(np.broadcast_to(across, (len(down), camera.columns)))
        self._down = np.ascontiguousarray(np.broadcast_to(down, self._across.shape))
        self._scale = np.float32(camera.focal * camera.height)
        self._scale_x = self._scale / np.float32(camera.pitch)
        self._centre = np.float32(camera.columns / 2 - 0.5)
        self._horizon = np.float32((camera.horizon if shore is None else 2 * shore - camera.horizon) + above - 0.5)
        self._slant = 1.0 / np.sqrt(1.0 + self._across**2 + self._down**2)
        # No wider than the water is drawn: half the memory to read from at random is half the time.
        narrow = (camera.columns, len(surroundings))
        self._surroundings = f32(cv2.resize(surroundings, narrow, interpolation=cv2.INTER_AREA))
        self._deep = colour(deep)

    def shade(self, slope_x: F32, slope_z: F32, glow: F32 | None = None) -> F32:
        """Slopes to the right and ahead, (rows, W) each; `glow` scales the light from below: (rows, W, 3) linear."""
        # Mirror ray r = d - 2 (d.n) n with d = (across, -down, 1) and n = (-slope_x, 1, -slope_z).
        facing = self._across * slope_x + self._down + slope_z
        q = 2.0 * facing / (1.0 + slope_x * slope_x + slope_z * slope_z)
        forward = np.maximum(1.0 - q * slope_z, np.float32(0.2))
        nearer = np.float32(1.0) / forward
        x = (self._across - q * slope_x) * (self._scale_x * nearer) + self._centre
        y = self._horizon - np.abs(q - self._down) * (self._scale * nearer)
        mirrored = f32(cv2.remap(self._surroundings, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101))
        grazing = np.float32(1.0) - np.minimum(np.maximum(facing * self._slant, np.float32(0.0)), np.float32(1.0))
        square = grazing * grazing
        fresnel = np.float32(0.02) + np.float32(0.98) * square * square * grazing
        mirrored *= triple(fresnel)
        below = np.float32(1.0) - fresnel
        if glow is not None:
            below *= glow
        mirrored += f32(cv2.merge([below * tint for tint in self._deep]))
        return mirrored
