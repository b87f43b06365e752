"""How frames stand in a shard: raw, or each frame a JPEG image of its own.

OpenCV is loaded with the first frame alone: it takes 0.1 s, and most commands touch no frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardError

Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Codec:
    """`quality`, from 1 to 100, is JPEG's. Chroma is kept whole (4:4:4).

    Small frames lose too much by 4:2:0: at 128x128 and quality 95 real footage came to a PSNR of 43.0 dB (35.2 at
    worst) with it and 45.0 (40.1) without, for 17% more bytes at the same speed.
    """

    name: Literal["raw", "jpeg"] = "raw"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.name not in ("raw", "jpeg"):
            raise ValueError(f"codec {self.name!r} is neither 'raw' nor 'jpeg'")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be from 1 to 100, not {self.quality}")

    def settings(self) -> dict[str, Any]:
        """As a recipe states it."""
        if self.name == "raw":
            return {"codec": "raw"}
        return {"codec": "jpeg", "quality": self.quality, "sampling": "4:4:4"}


RAW = Codec()


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A clip's frames as a shard holds them already, to be copied into another: a JPEG image each, of this shape."""

    images: tuple[bytes, ...]
    shape: tuple[int, int, int]  # (H, W, 3)


def encode_jpeg(frame: Frames, quality: int) -> bytes:
    """An (H, W, 3) RGB frame as a JPEG image. The same frame gives the same bytes."""
    import cv2

    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ShardError(f"a frame of {frame.shape[1]}x{frame.shape[0]} could not be encoded as JPEG")
    return data.tobytes()


def images(frames: Frames | Encoded, codec: Codec) -> list[bytes]:
    """(L, H, W, 3) frames as JPEG images."""
    if isinstance(frames, Encoded):
        return list(frames.images)
    return [encode_jpeg(frame, codec.quality) for frame in frames]


def decode_jpeg(data: Frames) -> Frames:
    """The frame of a JPEG image, (bytes,) uint8: (H, W, 3) RGB. Raises `ValueError` if it is none."""
    import cv2

    try:
        frame = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # nothing at all to decode
        frame = None
    if frame is None:
        raise ValueError("not a JPEG image")
    return np.asarray(frame, np.uint8)
