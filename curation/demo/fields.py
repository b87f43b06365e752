"""Periodic noise, wave spectra and perspective sampling: the fields all demo scenes are made of.

Everything is a pure function of a seed and a time, float32, and runs on one thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
GRAVITY = 9.81  # m/s^2


def f32(array: Any) -> F32:
    """Types what OpenCV gives back as float32; it keeps the type it was given, and its stubs do not say so."""
    return cast(F32, array)


def u8(array: Any) -> U8:
    """Types what OpenCV gives back as uint8."""
    return cast(U8, array)


def spectral_noise(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    beta: float = 2.0,
    low: float = 1.0,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> F32:
    """Periodic noise with amplitude spectrum |k|^-beta: (rows, columns), zero mean, unit deviation.

    `low` cuts waves longer than 1/low of the tile; `stretch` (rows, columns) lengthens features along an axis.
    """
    ky = np.fft.fftfreq(shape[0])[:, None] * shape[0] * stretch[0]
    kx = np.fft.rfftfreq(shape[1])[None, :] * shape[1] * stretch[1]
    k = np.sqrt(ky**2 + kx**2)
    amplitude = np.where(k >= low, np.maximum(k, 1e-6) ** -beta, 0.0)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * amplitude, s=shape)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def line_noise(length: int, rng: np.random.Generator, *, beta: float = 1.5, low: float = 1.0) -> F32:
    """One row of periodic noise: (length,), zero mean, unit deviation."""
    k = np.fft.rfftfreq(length) * length
    amplitude = np.where(k >= low, np.maximum(k, 1e-6) ** -beta, 0.0)
    field = np.fft.irfft(np.fft.rfft(rng.standard_normal(length)) * amplitude, n=length)
    return np.asarray((field - field.mean()) / field.std(), np.float32)


def smoothstep(low: float, high: float, x: Any) -> F32:
    """Hermite step from 0 at `low` to 1 at `high`."""
    s = np.clip((np.asarray(x, np.float32) - low) / (high - low), 0.0, 1.0)
    return np.asarray(s * s * (3.0 - 2.0 * s), np.float32)


def wrap_sample(texture: F32, x: F32, y: F32) -> F32:
    """Bilinear samples of a periodic texture at pixel coordinates; they must lie within +-32,000 pixels."""
    return f32(cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def triple(field: F32) -> F32:
    """(H, W) three times over: (H, W, 3), much faster to multiply with than a broadcast over the last axis."""
    return f32(cv2.merge([field, field, field]))


def halve(field: F32) -> F32:
    """Means of pairs of columns: (rows, W) to (rows, W / 2)."""
    return np.ascontiguousarray((field[:, ::2] + field[:, 1::2]) * np.float32(0.5))


def pyramid(texture: F32, levels: int) -> list[F32]:
    """The texture and its halvings by area: what a distant surface looks like without aliasing."""
    out = [texture]
    for _ in range(levels - 1):
        h, w = out[-1].shape[:2]
        out.append(f32(cv2.resize(out[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA)))
    return out


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A fixed pinhole camera over a plane: rows and columns in pixels, focal length in picture heights.

    `pitch`: width of a column in pixels; water is drawn at half the columns, as perspective stretches it sideways.
    """

    width: int
    height: int
    horizon: float  # row of the horizon, pixels from the top
    focal: float = 1.1
    eye: float = 2.0  # height over the plane, m
    pitch: int = 1

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 16:
            raise ValueError(f"a demo scene needs at least 16x16 pixels, not {self.width}x{self.height}")

    @property
    def columns(self) -> int:
        return self.width // self.pitch

    @property
    def first_row(self) -> int:
        """First row that lies wholly below the horizon."""
        return int(np.floor(self.horizon)) + 1

    def rays(self, rows: tuple[int, int]) -> tuple[F32, F32]:
        """Tangents of azimuth (1, columns) and of depression (rows, 1) of the pixels in these rows."""
        scale = self.focal * self.height
        across = ((np.arange(self.columns, dtype=np.float32) + 0.5) * self.pitch - self.width / 2)[None, :] / scale
        down = (np.arange(*rows, dtype=np.float32) + 0.5 - self.horizon)[:, None] / scale
        return np.asarray(across, np.float32), np.asarray(down, np.float32)

    def ground(self, rows: tuple[int, int], farthest: float = 400.0) -> tuple[F32, F32]:
        """Where the rays meet the plane: (rows, columns) metres to the right and metres ahead."""
        across, down = self.rays(rows)
        ahead = np.minimum(self.eye / np.maximum(down, 1e-4), farthest)
        return np.asarray(across * ahead, np.float32), np.asarray(
            np.broadcast_to(ahead, (len(ahead), self.columns)), np.float32
        )


class PlaneSampler:
    """Samples a periodic texture over a set of rows, each row at the level of detail its distance asks for."""

    def __init__(
        self, u: F32, v: F32, texels: int, levels: int, *, bias: float = -0.5, flow: tuple[F32, F32] | None = None
    ) -> None:
        """`u`, `v`: (rows, W) coordinates in tiles; `texels`: pixels a tile at level 0; `flow`: tiles a second."""
        self.shape = u.shape
        step_u = np.abs(np.diff(u, axis=1)).mean(axis=1) * texels
        step_v = np.abs(np.gradient(v.mean(axis=1))) * texels if len(v) > 1 else step_u
        # The geometric mean of both footprints: a full blur of the far rows would make a mirror of them.
        detail = np.clip(0.5 * np.log2(np.maximum(step_u * step_v, 1e-9)) + bias, 0, levels - 1)
        detail = np.maximum.accumulate(detail[::-1])[::-1]  # the farthest row may be clamped: it is no nearer for that
        self.flow: list[tuple[F32, F32]] = []
        self.bands: list[tuple[int, slice, F32, F32, F32, float]] = []
        for level in range(levels):
            # Levels blend over a fifth of their range only: most rows are sampled once.
            weight = np.clip((0.5 - np.abs(detail - level)) * 5.0 + 0.5, 0.0, 1.0).astype(np.float32)
            used = np.flatnonzero(weight)
            if not len(used):
                continue
            rows = slice(int(used[0]), int(used[-1]) + 1)
            side = texels >> level
            if flow is not None:
                self.flow.append((flow[0][rows] * np.float32(side), flow[1][rows] * np.float32(side)))
            self.bands.append(
                (
                    level,
                    rows,
                    weight[rows, None],
                    np.asarray(np.mod(u[rows] * side, side), np.float32),
                    np.asarray(np.mod(v[rows] * side, side), np.float32),
                    float(side),
                )
            )

    def __call__(self, levels: Sequence[F32], du: float = 0.0, dv: float = 0.0, drift: float = 0.0) -> F32:
        """Texture shifted by (du, dv) tiles and carried by the flow for `drift` s: (rows, W) or (rows, W, channels)."""
        channels = levels[0].shape[2:]
        out = np.zeros((*self.shape, *channels), np.float32)
        for i, (level, rows, weight, x, y, side) in enumerate(self.bands):
            at_x, at_y = x + np.float32(du * side % side), y + np.float32(dv * side % side)
            if drift:
                at_x -= self.flow[i][0] * np.float32(drift)
                at_y -= self.flow[i][1] * np.float32(drift)
            sampled = wrap_sample(levels[level], at_x, at_y)
            if len(channels):  # a broadcast over a short last axis would be ten times slower
                sampled.reshape(len(sampled), -1)[...] *= weight
            else:
                sampled *= weight
            out[rows] += sampled
        return out

    def carried(self, levels: Sequence[F32], t: float, period: float) -> F32:
        """The texture advected by the flow: two phases, each reset while it is invisible, blended at equal energy."""
        total: F32 | None = None
        energy = 0.0
        for phase in (0.0, 0.5):
            cycle = t / period + phase
            turn, part = int(np.floor(cycle)), cycle - np.floor(cycle)
            weight = 1.0 - abs(2.0 * part - 1.0)
            layer = self(levels, 0.377 * turn + 0.5 * phase, 0.619 * turn, (part - 0.5) * period)
            energy += weight * weight
            layer *= np.float32(weight)
            total = layer if total is None else total + layer
        assert total is not None
        total *= np.float32(1.0 / np.sqrt(energy))
        return total


class WaveField:
    """Deep-water waves on a periodic patch, by inverse FFT of a directional spectrum (Tessendorf 2001)."""

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        texels: int = 256,
        patch: float = 24.0,
        wind: float = 6.0,
        direction: float = 0.6,
        spread: float = 2.0,
        slope: float = 0.12,
    ) -> None:
        """`patch` in m, `wind` in m/s, `direction` in radians from the x axis, `slope`: deviation of the slopes."""
        self.texels, self.patch = texels, patch
        k1 = 2 * np.pi * np.fft.fftfreq(texels, d=patch / texels)
        kx, ky = np.meshgrid(k1, k1)
        k = np.hypot(kx, ky)
        k[0, 0] = 1.0
        longest = wind**2 / GRAVITY
        along = (kx * np.cos(direction) + ky * np.sin(direction)) / k
        power = np.exp(-1.0 / (k * longest) ** 2) / k**4 * np.abs(along) ** spread
        power *= np.where(along < 0, 0.07, 1.0) * np.exp(-((k * patch / texels * 0.8) ** 2))
        power[0, 0] = 0.0
        h0 = np.sqrt(power) * (rng.standard_normal(k.shape) + 1j * rng.standard_normal(k.shape))
        self._omega = np.repeat(np.sqrt(GRAVITY * k).astype(np.float32)[..., None], 2, axis=2)
        mirrored = np.roll(np.roll(h0[::-1, ::-1], 1, 0), 1, 1).conj()
        # h = h0 e^{iwt} + h0(-k)* e^{-iwt} = (h0 + m) cos wt + i (h0 - m) sin wt
        even, odd = h0 + mirrored, 1j * (h0 - mirrored)
        to_slope = 1j * kx - ky  # d/dx in the real part, d/dy in the imaginary part
        self._slope_even, self._slope_odd = self._pack(even * to_slope), self._pack(odd * to_slope)
        scale = np.float32(slope / max(float(self.slopes(0.0).std()), 1e-12))
        self._slope_even *= scale
        self._slope_odd *= scale

    @staticmethod
    def _pack(z: NDArray[Any]) -> F32:
        return np.stack([z.real, z.imag], axis=-1).astype(np.float32)

    def slopes(self, t: float) -> F32:
        """(N, N, 2): dh/dx and dh/dy at time t, s."""
        phase = self._omega * np.float32(t)
        spectrum = self._slope_even * np.cos(phase) + self._slope_odd * np.sin(phase)
        return f32(cv2.dft(spectrum, flags=cv2.DFT_INVERSE))
