"""What stands still in a demo scene: sky, hills, trees, rocks and grass, painted once in linear light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from curation.demo.fields import F32, U8, Camera, line_noise, smoothstep, spectral_noise, u8, wrap_sample

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Palette:
    """Light of a time of day: linear RGB, directions as tangents (right of the axis, above the horizon)."""

    name: str
    zenith: Colour
    horizon: Colour
    sun: Colour
    sun_at: tuple[float, float]
    sun_power: float  # radiance of the disc over the sky's
    ambient: Colour
    haze: float  # 0 clear, 1 thick
    exposure: float = 1.0
    foliage: Colour = (0.10, 0.17, 0.045)
    rock: Colour = (0.20, 0.18, 0.16)


PALETTES: dict[str, Palette] = {
    p.name: p
    for p in (
        Palette(name="noon", zenith=(0.10, 0.26, 0.62), horizon=(0.62, 0.78, 0.92), sun=(1.0, 0.95, 0.86),
                sun_at=(0.5, 1.3), sun_power=30.0, ambient=(0.62, 0.72, 0.86), haze=0.45),
        Palette(name="golden", zenith=(0.17, 0.27, 0.48), horizon=(1.0, 0.56, 0.22), sun=(1.0, 0.60, 0.22),
                sun_at=(0.18, 0.16), sun_power=34.0, ambient=(0.62, 0.52, 0.45), haze=0.62,
                foliage=(0.15, 0.15, 0.035)),
        Palette(name="dawn", zenith=(0.18, 0.24, 0.50), horizon=(0.92, 0.52, 0.44), sun=(1.0, 0.62, 0.42),
                sun_at=(-0.25, 0.12), sun_power=20.0, ambient=(0.58, 0.52, 0.60), haze=0.75),
        Palette(name="dusk", zenith=(0.06, 0.07, 0.20), horizon=(0.80, 0.30, 0.20), sun=(1.0, 0.42, 0.20),
                sun_at=(0.05, 0.07), sun_power=26.0, ambient=(0.28, 0.24, 0.36), haze=0.55, exposure=1.25),
        Palette(name="overcast", zenith=(0.40, 0.45, 0.50), horizon=(0.70, 0.74, 0.77), sun=(0.85, 0.87, 0.9),
                sun_at=(0.1, 0.8), sun_power=0.4, ambient=(0.66, 0.70, 0.74), haze=0.85),
        Palette(name="autumn", zenith=(0.16, 0.33, 0.62), horizon=(0.80, 0.82, 0.80), sun=(1.0, 0.86, 0.66),
                sun_at=(-0.6, 0.7), sun_power=24.0, ambient=(0.66, 0.66, 0.68), haze=0.5,
                foliage=(0.34, 0.15, 0.03), rock=(0.22, 0.18, 0.14)),
    )
}  # fmt: skip


def pick_palette(rng: np.random.Generator, names: tuple[str, ...]) -> Palette:
    """One of the named palettes, its colours and its sun moved a little by the seed."""
    base = PALETTES[names[int(rng.integers(len(names)))]]

    def jitter(colour: Colour, amount: float = 0.1) -> Colour:
        r, g, b = (float(c * (1 + amount * rng.uniform(-1, 1))) for c in colour)
        return r, g, b

    side = float(rng.choice([-1.0, 1.0]))
    return replace(
        base,
        zenith=jitter(base.zenith),
        horizon=jitter(base.horizon, 0.06),
        foliage=jitter(base.foliage, 0.25),
        rock=jitter(base.rock, 0.15),
        sun_at=(side * base.sun_at[0] * float(rng.uniform(0.6, 1.5)), base.sun_at[1] * float(rng.uniform(0.8, 1.3))),
    )


def colour(c: Colour) -> F32:
    return np.asarray(c, np.float32)


_LEVEL = np.arange(256) / 255.0
# A mild S-curve of the print: deeper shadows, and with them more saturated colours.
_GRADE: U8 = np.round(255 * np.clip(_LEVEL + 0.26 * (_LEVEL - 0.42) * (4 * _LEVEL * (1 - _LEVEL)), 0, 1)).astype(
    np.uint8
)


def tone_map(linear: F32, exposure: float = 1.0) -> U8:
    """Film-like shoulder and a square-root transfer: linear RGB (H, W, 3) to uint8."""
    film = cv2.exp(linear * np.float32(-1.35 * exposure))
    np.subtract(np.float32(1.0), film, out=film)
    np.maximum(film, np.float32(0.0), out=film)
    cv2.sqrt(film, dst=film)
    return u8(cv2.LUT(cv2.convertScaleAbs(film, alpha=255.0), _GRADE))


def paint_sky(camera: Camera, palette: Palette, rng: np.random.Generator, *, above: int, clouds: float = 0.5) -> F32:
    """Sky from `above` rows over the picture's top down to the horizon row: (above + horizon, W, 3), HDR sun in it."""
    rows = above + camera.first_row
    scale = camera.focal * camera.height
    up = np.maximum((camera.horizon + above - np.arange(rows, dtype=np.float32) - 0.5)[:, None] / scale, 0.0)
    across = ((np.arange(camera.width, dtype=np.float32) + 0.5 - camera.width / 2) / scale)[None, :]
    rise = (1.0 - np.exp(-2.6 * up / np.sqrt(1 + across**2)))[..., None]
    sky = colour(palette.horizon) * (1 - rise) + colour(palette.zenith) * rise
    distance = np.hypot(across - palette.sun_at[0], up - palette.sun_at[1])
    strength = palette.sun_power / 30.0
    glow = strength * (0.75 * np.exp(-distance / 0.11) + 0.38 * np.exp(-distance / 0.45))
    if clouds > 0:
        cover = cloud_cover(across, up, rng, clouds)[..., None]
        lit = colour(palette.horizon) * 0.75 + colour(palette.sun) * (0.30 + 0.9 * glow[..., None])
        sky = sky * (1 - cover) + cover * np.minimum(lit, 1.6)
    sky = sky + glow[..., None] * colour(palette.sun)
    sky += (palette.sun_power * smoothstep(0.036, 0.024, distance))[..., None] * colour(palette.sun)
    return np.asarray(sky, np.float32)


def cloud_cover(across: F32, up: F32, rng: np.random.Generator, amount: float) -> F32:
    """Thin high clouds on a plane seen from below: opacity 0..1."""
    texture = spectral_noise((512, 512), rng, beta=1.75, low=2, stretch=(2.2, 1.0))
    ahead = 1.0 / (up + 0.13)
    x = np.mod(across * ahead * 90, 512).astype(np.float32)
    y = np.mod(np.broadcast_to(ahead * 120, x.shape), 512).astype(np.float32)
    density = smoothstep(0.9 - 1.4 * amount, 2.6 - 1.2 * amount, wrap_sample(texture, x, y))
    return np.asarray(0.85 * density * smoothstep(0.0, 0.10, up), np.float32)


def lit_relief(height: F32, towards: tuple[float, float], steep: float) -> F32:
    """Lambert shading 0..1 of a height field lit from the direction (right, up) of the picture."""
    gy, gx = np.gradient(height)
    nx, ny = -gx * steep, -gy * steep
    right, up = towards
    norm = np.sqrt(nx**2 + ny**2 + 1.0)
    length = float(np.sqrt(right**2 + up**2 + 0.36))
    return np.asarray(np.clip((nx * right - ny * up + 0.6) / (norm * length), 0, 1), np.float32)


def paint_hills(
    picture: F32, horizon: float, palette: Palette, rng: np.random.Generator, *, layers: int, top: float,
    wooded: bool = True, envelope: F32 | None = None,
) -> None:  # fmt: skip
    """Ranges of hills, far to near, in place; `top`: height of the highest in pixels over the row `horizon`.

    `envelope` (W,) scales the height along the picture: where it is negative there is no land.
    """
    rows, width = picture.shape[:2]
    y = np.arange(rows, dtype=np.float32)[:, None]
    haze = 0.75 * colour(palette.horizon) + 0.12 * colour(palette.zenith)
    towards = (float(np.sign(palette.sun_at[0])), 0.8)
    for layer in range(layers):
        near = (layer + 1) / layers
        tall = top * (1.0 - 0.62 * layer / max(layers - 1, 1)) * float(rng.uniform(0.85, 1.1))
        profile = line_noise(2 * width, rng, beta=1.55 if layer == 0 else 1.35, low=1.0)[:width]
        profile = (profile - profile.min()) / max(float(np.ptp(profile)), 1e-6)
        fringe = line_noise(2 * width, rng, beta=0.3, low=20)[:width] * (1.2 * near if wooded else 0.25)
        ridge = horizon - tall * (0.22 + 0.78 * profile) + fringe * width / 640
        if envelope is not None:
            ridge = horizon - tall * envelope * (0.45 + 0.55 * profile) + 0.5 * fringe
        inside = np.clip(y - ridge[None, :] + 0.5, 0, 1)[..., None]
        relief = spectral_noise((rows, width), rng, beta=1.9, low=4, stretch=(0.8, 1.0))
        relief = -np.abs(relief) if not wooded else relief
        light = lit_relief(relief, towards, 22.0 * rows / 360)
        if wooded:
            crowns = spectral_noise((rows, width), rng, beta=0.55, low=30)
            ground = colour(palette.foliage) * (0.85 + 0.30 * np.clip(crowns, -2, 2))[..., None]
            ground = ground * (1.0 + 0.25 * relief[..., None])
        else:
            ground = colour(palette.rock) * (1.0 + 0.2 * relief[..., None])
        shade = colour(palette.ambient) * 0.55 + colour(palette.sun) * (1.3 * light)[..., None]
        veil = palette.haze * (1.0 - 0.8 * near) + 0.12
        veil_rows = np.clip(
            veil + 0.22 * palette.haze * smoothstep(tall, 0, horizon - y)[..., None] * (1.1 - near), 0, 0.96
        )
        colours = np.maximum(ground, 0.004) * shade * (1 - veil_rows) + haze * veil_rows
        picture[:] = picture * (1 - inside) + colours * inside


def conifer(mask: U8, x: float, base: float, tall: float, rng: np.random.Generator) -> None:
    """One spruce as an anti-aliased silhouette, in place."""
    steps = max(5, int(tall / 4))
    left: list[tuple[float, float]] = []
    right: list[tuple[float, float]] = []
    for i in range(steps):
        f = (i + 1) / steps
        reach = 0.20 * tall * f**0.85
        row = base - tall * (1 - f)
        for side, points in ((-1, left), (1, right)):
            out = reach * float(rng.uniform(0.65, 1.15))
            points.append((x + side * out, row))
            points.append((x + side * out * 0.45, row - 0.01 * tall))
    outline = np.array([(x, base - tall), *right, *left[::-1]], np.float32)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)


def paint_conifers(
    picture: F32, base: Callable[[float], float], palette: Palette, rng: np.random.Generator,
    *, count: int, tall: tuple[float, float], veil: float, span: tuple[float, float] | None = None,
) -> None:  # fmt: skip
    """A line of spruces along `base(x)`, in place; `tall` in pixels, `veil` 0..1 is how much haze lies before them."""
    rows, width = picture.shape[:2]
    mask = np.zeros((rows, width), np.uint8)
    low, high = span or (-10.0, width + 10.0)
    for x in rng.uniform(low, high, count):
        conifer(mask, float(x), base(float(x)) + 2, float(rng.uniform(*tall)), rng)
    needles = spectral_noise((rows, width), rng, beta=0.5, low=20)
    haze = 0.75 * colour(palette.horizon) + 0.12 * colour(palette.zenith)
    shade = colour(palette.ambient) * 0.35 + colour(palette.sun) * 0.35
    tree = colour(palette.foliage) * 0.8 * shade * np.clip(1 + 0.5 * needles, 0.15, 2.4)[..., None]
    alpha = (mask.astype(np.float32) / 255)[..., None]
    picture[:] = picture * (1 - alpha) + alpha * (tree * (1 - veil) + haze * veil)


def paint_rock(
    picture: F32, alpha: F32, centre: tuple[float, float], radii: tuple[float, float], palette: Palette,
    rng: np.random.Generator, *, moss: float = 0.3,
) -> None:  # fmt: skip
    """A boulder sitting on the row `centre[1]`, in place, in `picture` (H, W, 3) and its opacity `alpha` (H, W)."""
    rows, width = picture.shape[:2]
    (cx, cy), (rx, ry) = centre, radii
    x0, x1 = max(0, int(cx - 1.5 * rx)), min(width, int(cx + 1.5 * rx) + 1)
    y0, y1 = max(0, int(cy - 1.6 * ry)), min(rows, int(cy + 0.5 * ry) + 1)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return
    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    u, v = (x - cx) / rx, (cy - y) / ry
    angle = np.arctan2(v, u)
    wobble = line_noise(256, rng, beta=1.3, low=2)
    edge = 1.0 + 0.10 * wobble[((angle / (2 * np.pi) + 0.5) * 255).astype(np.int32)]
    r = np.sqrt(u**2 + np.where(v < 0, 9.0, 1.0) * v**2) / edge
    inside = np.clip((1.0 - r) * min(rx, ry) / 1.5, 0, 1)
    side = 1 << int(np.ceil(np.log2(max(y1 - y0, x1 - x0, 16))))
    rough = spectral_noise((side, side), rng, beta=1.45, low=2)[: y1 - y0, : x1 - x0]
    dome = np.sqrt(np.clip(1.05 - r**2, 0, 1)) * min(rx, ry) * 0.7 + rough * min(rx, ry) * 0.09
    light = lit_relief(np.asarray(dome, np.float32), (float(np.sign(palette.sun_at[0])), 1.0), 1.0)
    ground = colour(palette.rock) * (1.0 + 0.22 * rough)[..., None]
    green = (moss * smoothstep(0.1, 1.0, rough + 1.2 * v))[..., None]
    ground = ground * (1 - green) + colour(palette.foliage) * 1.1 * green
    wet = 0.35 + 0.65 * smoothstep(0.0, 0.35, v)  # the foot is wet and dark
    shade = colour(palette.ambient) * 0.42 + colour(palette.sun) * (1.5 * light**1.4)[..., None]
    stone = np.maximum(ground, 0.004) * shade * wet[..., None]
    a = np.asarray(inside, np.float32)[..., None]
    picture[y0:y1, x0:x1] = picture[y0:y1, x0:x1] * (1 - a) + stone * a
    alpha[y0:y1, x0:x1] = np.maximum(alpha[y0:y1, x0:x1], a[..., 0])
