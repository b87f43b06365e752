"""Frames to a video file that gives exactly the same frames back, at exactly the same times.

FFV1 (RFC 9043) in RGB, every frame a key frame; in MP4, whose clock, unlike Matroska's
milliseconds, holds any rational frame rate exactly. The same frames give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from curation.errors import ErrorClass, StageError
from db.files import replacing

SUFFIX = ".mp4"
SMALLEST, LARGEST = 8, 8192  # pixels of a side; shards begin at 8 too
CODEC_OPTIONS = {"level": "3", "slices": "4", "g": "1"}


def write_lossless(path: Path, frames: Iterable[NDArray[np.uint8]], fps: Fraction) -> int:
    """Write (H, W, 3) uint8 RGB frames, all of one size, and put the file in its place. Returns how many there were.

    Raises `StageError`: corrupt if there is no frame or they differ in size, unsupported if they are too small or
    large; and `OSError` where the file cannot be written.
    """
    count = 0
    height = width = 0
    with replacing(path) as partial, av.open(str(partial), "w", format="mp4", options=_EXACT) as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.pix_fmt = "bgr0"
        stream.options = dict(CODEC_OPTIONS)
        stream.thread_count = 1
        stream.time_base = stream.codec_context.time_base = 1 / fps
        for pixels in frames:
            if count == 0:
                height, width = pixels.shape[:2]
                check_size(height, width)
                stream.height, stream.width = height, width
            elif pixels.shape[:2] != (height, width):
                raise StageError(
                    ErrorClass.CORRUPT,
                    f"frame {count + 1} is {pixels.shape[1]}x{pixels.shape[0]}, those before {width}x{height}",
                )
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = count, 1 / fps
            container.mux(stream.encode(frame))
            count += 1
        if count == 0:
            raise StageError(ErrorClass.CORRUPT, "no frames")
        container.mux(stream.encode(None))
    return count


_EXACT = {"fflags": "+bitexact", "movflags": "+faststart"}


def check_size(height: int, width: int) -> None:
    """Raise `StageError` (unsupported) if no video is made of frames of this size."""
    if not (SMALLEST <= height <= LARGEST and SMALLEST <= width <= LARGEST):
        raise StageError(
            ErrorClass.UNSUPPORTED, f"frames of {width}x{height}; from {SMALLEST} to {LARGEST} pixels a side are taken"
        )


def read_fps(text: str) -> Fraction:
    """`25`, `29.97` or `30000/1001` as frames a second. Raises `ValueError` if it is none above 0 and at most 1000."""
    try:
        fps = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{text!r} is no frame rate such as 25 or 30000/1001") from None
    if not 0 < fps <= 1000:
        raise ValueError(f"a frame rate must be above 0 and at most 1000, not {text}")
    return fps
