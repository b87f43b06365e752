"""What is done to a shot's pictures: the faults, and the changes of light that are none. Functions of picture and time.

Shapes: (H, W, 3) uint8 RGB. `part` is how far something has gone, from 0 to 1.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
RAMPS = ("linear", "eased")
LOGO_TEXT = ("NATURE TV", "4K", "RELAX", "LIVE", "(c) 2019")
CAPTIONS = ("Iceland, Skogafoss", "Subscribe for more", "River sounds for sleeping", "Part 2 of 7", "www.example.org")


def ramp(name: str, part: float) -> float:
    """How far a transition has gone: evenly, or slow at both ends (smoothstep)."""
    part = min(max(part, 0.0), 1.0)
    return part if name == "linear" else part * part * (3 - 2 * part)


def blend(one: U8, other: U8, part: float) -> U8:
    """A dissolve, `part` of the way from one picture to the other."""
    return np.asarray(cv2.addWeighted(one, 1 - part, other, part, 0), np.uint8)


def towards(picture: U8, level: float, part: float) -> U8:
    """A fade, `part` of the way to an even grey of this level."""
    return np.asarray(cv2.convertScaleAbs(picture, alpha=1 - part, beta=part * level), np.uint8)


def lit(picture: U8, gain: NDArray[np.float64], gamma: float = 1.0) -> U8:
    """Another light: gain a channel and gamma, clipped as a camera does."""
    levels = 255 * (np.arange(256)[:, None] / 255) ** gamma * gain[None]
    table = np.clip(np.round(levels), 0, 255).astype(np.uint8)[None]
    return np.asarray(cv2.LUT(picture, table), np.uint8)


def bars(picture: U8, share: float, sides: str, level: int) -> U8:
    """Bars over `share` of the height ("rows") or of the width ("columns") at each of two sides."""
    out = picture.copy()
    turned = out if sides == "rows" else out.transpose(1, 0, 2)
    wide = round(share * turned.shape[0])
    turned[:wide] = level
    turned[-wide:] = level
    return out


def text(picture: U8, words: str, *, corner: tuple[float, float], scale: float, opacity: float, box: bool) -> U8:
    """Words at a place given by parts of the room that they leave."""
    (width, height), below = cv2.getTextSize(words, cv2.FONT_HERSHEY_DUPLEX, scale, 1)
    x = round(4 + corner[0] * max(picture.shape[1] - width - 8, 0))
    y = round(4 + height + corner[1] * max(picture.shape[0] - height - below - 8, 0))
    over = picture.copy()
    if box:
        cv2.rectangle(over, (x - 3, y - height - 3), (x + width + 3, y + below + 1), (20, 20, 24), -1)
    else:
        cv2.putText(over, words, (x + 1, y + 1), cv2.FONT_HERSHEY_DUPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(over, words, (x, y), cv2.FONT_HERSHEY_DUPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return blend(picture, over, opacity)


def emblem(picture: U8, *, corner: tuple[float, float], size: float, opacity: float) -> U8:
    """A round sign with a bar across, `size` of the height high."""
    radius = round(size * picture.shape[0] / 2)
    x = round(6 + radius + corner[0] * (picture.shape[1] - 2 * radius - 12))
    y = round(6 + radius + corner[1] * (picture.shape[0] - 2 * radius - 12))
    over = picture.copy()
    cv2.circle(over, (x, y), radius, (250, 250, 250), -1, cv2.LINE_AA)
    cv2.circle(over, (x, y), round(0.72 * radius), (200, 40, 40), -1, cv2.LINE_AA)
    cv2.rectangle(over, (x - radius // 2, y - radius // 6), (x + radius // 2, y + radius // 6), (250, 250, 250), -1)
    return blend(picture, over, opacity)


def moved(wide: U8, size: tuple[int, int], x: float, y: float, zoom: float = 1.0) -> U8:
    """The window of `size` (width, height) whose middle is at parts x, y of the room that a larger picture leaves."""
    width, height = size
    room_x, room_y = wide.shape[1] - width / zoom, wide.shape[0] - height / zoom
    matrix = np.array([[zoom, 0, -zoom * x * room_x], [0, zoom, -zoom * y * room_y]], np.float32)
    out = cv2.warpAffine(wide, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(out, np.uint8)


def swing(t: float, period: float, phase: float) -> float:
    """A smooth to and fro between 0 and 1."""
    return 0.5 - 0.5 * math.cos(2 * math.pi * (t / period + phase))
