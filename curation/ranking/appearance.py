"""How a clip looks, as a few numbers: colour, light, edges and motion of its preview's frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

GRID = 3  # the luma's means are kept for GRID x GRID fields
HUES = 6
EVERY = 5  # of the preview's frames, which follow at 10 a second
NAMES = (
    *("red", "green", "blue", "luma deviation", "saturation", "dark share", "bright share"),
    *(f"hue {number}" for number in range(HUES)),
    *("edges", "edges at the top", "edges at the bottom", "edges at the sides"),
    *(f"light {row}{column}" for row in range(GRID) for column in range(GRID)),
    *("motion", "motion deviation", "largest change", "motion at the borders"),
)


class Appearance:
    """Gathers the numbers named in `NAMES` from a preview's frames, one push a frame."""

    def __init__(self) -> None:
        self._count = 0
        self._pictures: list[NDArray[np.float32]] = []
        self._changes: list[tuple[float, float]] = []  # mean change of luma from frame to frame: whole, borders
        self._before: NDArray[np.float32] | None = None

    def push(self, rgb: NDArray[np.uint8]) -> None:
        """Take a frame, (H, W, 3) uint8; every fifth one is looked at closely."""
        luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if self._before is not None:
            change = np.abs(luma - self._before)
            border = np.concatenate(
                [change[:8].ravel(), change[-8:].ravel(), change[:, :8].ravel(), change[:, -8:].ravel()]
            )
            self._changes.append((float(change.mean()), float(border.mean())))
        self._before = luma
        if self._count % EVERY == 0:
            self._pictures.append(_picture(rgb, luma))
        self._count += 1

    def values(self) -> NDArray[np.float32]:
        """(len(NAMES),) float32, all finite. Raises ValueError without frames."""
        if not self._pictures:
            raise ValueError("no frames")
        still = np.mean(self._pictures, axis=0)
        changes = np.array(self._changes or [(0.0, 0.0)])
        motion = [changes[:, 0].mean(), changes[:, 0].std(), changes[:, 0].max(), changes[:, 1].mean()]
        return np.concatenate([still, motion]).astype(np.float32)

    def packed(self) -> bytes:
        """`values` as the catalogue keeps them."""
        return self.values().astype("<f4").tobytes()


def unpack(stored: bytes | None) -> NDArray[np.float32] | None:
    """`values` from the catalogue; None where there are none, or those of another version."""
    if stored is None or len(stored) != 4 * len(NAMES):
        return None
    return np.frombuffer(stored, "<f4")


def _picture(rgb: NDArray[np.uint8], luma: NDArray[np.float32]) -> NDArray[np.float32]:
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    saturation = hsv[..., 1].astype(np.float32)
    # Hues weigh by their saturation: of grey pixels they mean nothing.
    hues = np.bincount(hsv[..., 0].ravel() * HUES // 180, saturation.ravel(), HUES)[:HUES] / max(saturation.sum(), 1.0)
    edges = np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))
    fifth = max(1, edges.shape[0] // 5)
    sides = max(1, edges.shape[1] // 8)
    light = cv2.resize(luma, (GRID, GRID), interpolation=cv2.INTER_AREA)
    return np.array(
        [
            *rgb.reshape(-1, 3).mean(0), luma.std(), saturation.mean(), (luma < 20).mean(), (luma > 235).mean(),
            *hues, edges.mean(), edges[:fifth].mean(), edges[-fifth:].mean(),
            (edges[:, :sides].mean() + edges[:, -sides:].mean()) / 2, *light.ravel(),
        ],
        np.float32,
    )  # fmt: skip
