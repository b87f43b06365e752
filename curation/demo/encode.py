"""Frames to H.264 files, written whole or not at all, with the faults a file itself can have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from curation.demo.fields import U8, u8
from db.files import replacing

CLOCK = 90_000  # ticks a second of the written streams


def write_video(
    path: Path,
    frames: Iterable[tuple[float, U8]],
    *,
    size: tuple[int, int],
    fps: int,
    crf: int = 23,
    broken: bool = False,
) -> None:
    """(seconds, picture) pairs as an MP4 that starts with its index; the same pictures give the same bytes.

    `broken` overwrites the last 40% of the pictures' data: the file opens, its first frame decodes, its last does not.
    """
    with replacing(path) as partial:
        options = {"movflags": "+faststart", "fflags": "+bitexact"}
        with av.open(str(partial), "w", format="mp4", options=options) as container:
            stream = container.add_stream("libx264", rate=fps)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            stream.thread_count = 1
            stream.time_base = Fraction(1, CLOCK)
            context = stream.codec_context
            context.time_base = Fraction(1, CLOCK)
            context.options = {"preset": "superfast", "crf": str(crf), "threads": "1", "flags": "+bitexact"}
            context.gop_size = 2 * fps
            for seconds, picture in frames:
                planes = u8(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420))
                frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
                frame.pts, frame.time_base = round(seconds * CLOCK), Fraction(1, CLOCK)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if broken:
            _spoil(partial)


def _spoil(path: Path) -> None:
    """Noise over the last 40% of the file; the index stands at its beginning."""
    length = path.stat().st_size
    start = int(0.6 * length)
    with path.open("rb+") as file:
        file.seek(start)
        file.write(np.random.default_rng(length).bytes(length - start))


def irregular_times(seconds: float, fps: int, rng: np.random.Generator) -> list[float]:
    """Times of a phone's frames: intervals of 0.8 to 1.7 of the nominal one, now and then a dropped frame."""
    times, t = [], 0.0
    while t < seconds - 0.5 / fps:
        times.append(t)
        step = float(rng.choice([0.8, 0.9, 1.0, 1.1, 1.7], p=[0.2, 0.25, 0.3, 0.15, 0.1]))
        t += (step + 1.0 * (rng.random() < 0.02)) / fps
    return times


def reupload_frames(source: Path, size: tuple[int, int], crop: float) -> Iterator[tuple[float, U8]]:
    """The frames of `source` with `crop` of each side cut away, at another size."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        for frame in container.decode(stream):
            picture = frame.to_ndarray(format="rgb24", threads=1)
            dy, dx = int(crop * picture.shape[0]), int(crop * picture.shape[1])
            inner = picture[dy : picture.shape[0] - dy, dx : picture.shape[1] - dx]
            yield float(frame.time or 0.0), u8(cv2.resize(inner, size, interpolation=cv2.INTER_AREA))
