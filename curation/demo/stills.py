"""Single frames out of videos, and the panels of a run's sample video: what the overview shows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from curation.demo.fields import U8, u8

SAMPLE_GAP = 4  # pixels between the panels of a sample video
SAMPLE_COLUMNS = 3  # input, generated, real


def still(path: Path, seconds: float, *, width: int = 320) -> U8 | None:
    """The first frame at or after `seconds`, scaled to `width`: (h, width, 3) RGB; None where none can be decoded."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if stream.time_base is not None and seconds > 0:
                container.seek(int(seconds / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time is not None and frame.time >= seconds - 1e-6:
                    height = max(2, round(width * frame.height / frame.width))
                    picture = frame.to_ndarray(format="rgb24", threads=1)
                    return u8(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA))
    except (av.FFmpegError, IndexError):  # not a video, no picture stream, or spoilt data
        return None
    return None


def read_frames(path: Path) -> U8:
    """All frames of a short video: (T, h, w, 3) RGB; raises ValueError where it is none."""
    try:
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24", threads=1) for frame in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise ValueError(f"{path} is not a video ({error})") from error
    if not frames:
        raise ValueError(f"{path} is not a video: no frame decodes")
    return u8(np.stack(frames))


@dataclass(frozen=True, kw_only=True)
class SampleRow:
    """One held-out clip of a sample video: the input (S, S, 3), generated and real frames (T, S, S, 3), uint8 RGB."""

    given: U8
    generated: U8
    real: U8


def read_sample(path: Path) -> list[SampleRow]:
    """The rows of a run's `samples/step-*.mp4`: input, generated and real clip side by side, a row a clip.

    Raises ValueError where the file is no such video.
    """
    frames = read_frames(path)
    height, width = frames.shape[1:3]
    pitch = (width + SAMPLE_GAP) // SAMPLE_COLUMNS
    side, rows = pitch - SAMPLE_GAP, (height + SAMPLE_GAP) // pitch
    if side < 8 or rows < 1:
        raise ValueError(f"{path} is not a sample video: {width}x{height} holds no row of {SAMPLE_COLUMNS} panels")

    def panel(row: int, column: int) -> U8:
        y, x = row * pitch, column * pitch
        return u8(frames[:, y : y + side, x : x + side])

    return [SampleRow(given=panel(r, 0)[0], generated=panel(r, 1), real=panel(r, 2)) for r in range(rows)]


def spread(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` indices spread evenly over `count`, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
