"""How a clip looks, as a few numbers: colour, light, edges and motion of its preview's frames.

What stands still is told from what moves by the mean picture over time: a logo's edges stay in it, those of water and
of all that a moving camera sees blur away.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

GRID = 3  # the luma's means, and the mean picture's edges, are kept for GRID x GRID fields
HUES = 6
SMALL = (16, 9)  # width, height
EDGES = SMALL[0] * SMALL[1]  # cells of the mean picture's edges, finely
STEPS = 6.0  # levels of their square roots that are kept a unit; a Sobel filter gives up to 1443
EVERY = 5  # of the preview's frames, which follow at 10 a second
PLACES = (
    *("top left", "top", "top right", "left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)
NAMES = (
    *("red", "green", "blue", "luma deviation", "saturation", "dark share", "bright share"),
    *(f"hue {number}" for number in range(HUES)),
    "edges",
    *(f"light at the {place}" for place in PLACES),
    *(f"still edges at the {place}" for place in PLACES),
    "steadiness",  # of the edges, how much stays in the mean picture
    "difference from begin to end",
    *("motion", "motion deviation", "largest change", "motion at the borders", "jump"),
)
RATIOS = tuple(  # of these, twice as much means the same at any level
    name for name in NAMES if "edges" in name or name in NAMES[NAMES.index("difference from begin to end") :]
)


class Appearance:
    """Gathers the numbers named in `NAMES` from a preview's frames, one push a frame."""

    def __init__(self) -> None:
        self._count = 0
        self._pictures: list[NDArray[np.float32]] = []
        self._sum = np.zeros(0, np.float32)  # of the luma of the frames looked at closely
        self._small: list[NDArray[np.float32]] = []  # those, small and in colour
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
            self._sum = luma + self._sum if self._sum.size else luma
            self._small.append(cv2.resize(rgb, SMALL, interpolation=cv2.INTER_AREA).astype(np.float32))
        self._count += 1

    def values(self) -> NDArray[np.float32]:
        """(len(NAMES),) float32, all finite. Raises ValueError without frames."""
        if not self._pictures:
            raise ValueError("no frames")
        still = np.mean(self._pictures, axis=0)
        lasting = _edges(self._mean())
        steadiness = lasting.mean() / max(float(still[NAMES.index("edges")]), 1e-3)
        third = -(-len(self._small) // 3)
        drift = np.abs(np.mean(self._small[:third], axis=0) - np.mean(self._small[-third:], axis=0)).mean()
        changes = np.array(self._changes or [(0.0, 0.0)])
        whole = changes[:, 0]
        motion = [whole.mean(), whole.std(), whole.max(), changes[:, 1].mean(), whole.max() / (np.median(whole) + 0.1)]
        return np.concatenate([still, _fields(lasting), [steadiness, drift], motion]).astype(np.float32)

    def edges(self) -> NDArray[np.uint8]:
        """(EDGES,) how strong the edges are that stay in the mean picture, by cells, as `STEPS` x square root."""
        cells = cv2.resize(_edges(self._mean()), SMALL, interpolation=cv2.INTER_AREA).ravel()
        return np.asarray(np.minimum(np.round(STEPS * np.sqrt(cells)), 255), np.uint8)

    def packed(self) -> bytes:
        """`values` and `edges` as the catalogue keeps them."""
        return self.values().astype("<f4").tobytes() + self.edges().tobytes()

    def _mean(self) -> NDArray[np.float32]:
        return (self._sum / len(self._pictures)).astype(np.float32)


def unpack(stored: bytes | None) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | None:
    """`values` and `edges` from the catalogue; None where there are none, or those of another version."""
    if stored is None or len(stored) != 4 * len(NAMES) + EDGES:
        return None
    return np.frombuffer(stored, "<f4", len(NAMES)), np.frombuffer(stored, np.uint8, offset=4 * len(NAMES))


def _picture(rgb: NDArray[np.uint8], luma: NDArray[np.float32]) -> NDArray[np.float32]:
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    saturation = hsv[..., 1].astype(np.float32)
    # Hues weigh by their saturation: of grey pixels they mean nothing.
    hues = np.bincount(hsv[..., 0].ravel() * HUES // 180, saturation.ravel(), HUES)[:HUES] / max(saturation.sum(), 1.0)
    return np.array(
        [
            *rgb.reshape(-1, 3).mean(0), luma.std(), saturation.mean(), (luma < 20).mean(), (luma > 235).mean(),
            *hues, _edges(luma).mean(), *_fields(luma),
        ],
        np.float32,
    )  # fmt: skip


def _edges(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0), cv2.Sobel(luma, cv2.CV_32F, 0, 1))


def _fields(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(plane, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32).ravel()
