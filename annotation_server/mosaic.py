"""The mosaic: one looping H.264 video of a batch's previews in a grid.

Frames are decoded, laid out and encoded one at a time in their own 4:2:0 planes, so memory does not grow with the
clips' length and no colour conversion is needed. A shorter clip starts again until the longest one ends.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

FPS = 10
CELL_WIDTH, CELL_HEIGHT = 160, 90
GAP = 4  # pixels between cells and around them; even, as 4:2:0 chroma needs
BACKGROUND = (25, 128, 128)  # Y, Cb, Cr
MAX_SECONDS = 60.0  # a longer clip is cut off in the mosaic: the grid is for clips of about 10 s
ENCODER = {"preset": "superfast", "crf": "23", "tune": "fastdecode"}

Plane = NDArray[np.uint8]


class MosaicError(Exception):
    """The video could not be encoded."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Where cells lie in the mosaic, in pixels. Columns stay the same for a short batch; rows go with it."""

    columns: int
    rows: int

    @classmethod
    def of(cls, size: int, positions: int) -> Geometry:
        """For batches of up to `size` clips, of which the last used position is `positions - 1`."""
        columns = math.isqrt(size - 1) + 1
        return cls(columns=columns, rows=max(1, -(-positions // columns)))

    @property
    def width(self) -> int:
        return self.columns * (CELL_WIDTH + GAP) + GAP

    @property
    def height(self) -> int:
        return self.rows * (CELL_HEIGHT + GAP) + GAP

    def corner(self, position: int) -> tuple[int, int]:
        """Left and top edge of a cell."""
        row, column = divmod(position, self.columns)
        return GAP + column * (CELL_WIDTH + GAP), GAP + row * (CELL_HEIGHT + GAP)


@dataclass(frozen=True, kw_only=True)
class Mosaic:
    """An encoded mosaic. `video` is None where no cell plays."""

    video: Path | None
    seconds: Mapping[int, float]  # position -> length of the clip's loop
    errors: Mapping[int, str]  # position -> why the preview does not play


def build(previews: Mapping[int, Path], geometry: Geometry, target: Path) -> Mosaic:
    """Lay out the previews (position -> file) and encode them into `target`, an MP4 file.

    Broken previews become `errors`, not exceptions. Raises `MosaicError` if the video cannot be encoded or written.
    """
    errors: dict[int, str] = {}
    seconds: dict[int, float] = {}
    for position, path in previews.items():
        try:
            seconds[position] = _count(path) / FPS
        except (OSError, av.FFmpegError, ValueError) as error:
            errors[position] = _why(error)
    if not seconds:
        return Mosaic(video=None, seconds={}, errors=errors)
    loops = {position: _loop(previews[position]) for position in seconds}
    canvas = _Canvas(geometry)
    part = target.with_suffix(".part")
    try:
        with av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=FPS, options=ENCODER)
            stream.width, stream.height, stream.pix_fmt = canvas.width, canvas.height, "yuv420p"
            for _ in range(round(max(seconds.values()) * FPS)):
                for position, loop in loops.items():
                    canvas.put(position, next(loop))
                container.mux(stream.encode(canvas.frame()))
            container.mux(stream.encode())
        part.replace(target)
    except (av.FFmpegError, OSError) as error:
        part.unlink(missing_ok=True)
        raise MosaicError(f"the batch's video could not be made in {target.parent}: {error}") from None
    return Mosaic(video=target, seconds=seconds, errors=errors)


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "the preview file is gone; make it again with: curate preview"
    if isinstance(error, OSError) and error.strerror:
        return f"the preview does not play: {error.strerror}"
    return f"the preview does not play: {str(error).splitlines()[0]}"


def _count(path: Path) -> int:
    """How many frames the mosaic shows of a preview; decodes all of them, so a broken one is found here."""
    frames = sum(1 for _ in _frames(path))
    if frames == 0:
        raise ValueError("it holds no frames")
    return frames


def _loop(path: Path) -> Iterator[tuple[Plane, Plane, Plane]]:
    while True:
        yield from (_planes(frame) for frame in _frames(path))


def _frames(path: Path) -> Iterator[av.VideoFrame]:
    """The preview's frames, one for each 1/FPS s: some left out or shown twice where it has another rate."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise ValueError("it holds no video")
        stream = container.streams.video[0]
        stream.thread_type = "NONE"  # threads cost more than they give at this size
        rate = float(stream.average_rate or FPS)
        shown = 0
        limit = round(MAX_SECONDS * FPS)
        for index, frame in enumerate(container.decode(stream)):
            while shown < limit and shown * rate < (index + 1) * FPS - 1e-6:
                yield frame
                shown += 1
            if shown >= limit:
                return


def _planes(frame: av.VideoFrame) -> tuple[Plane, Plane, Plane]:
    """Y (h, w), Cb and Cr (h/2, w/2) of a frame that fits into a cell, even-sized."""
    scale = min(CELL_WIDTH / frame.width, CELL_HEIGHT / frame.height)
    width, height = (max(2, 2 * round(side * scale / 2)) for side in (frame.width, frame.height))
    if (frame.width, frame.height, frame.format.name) != (width, height, "yuv420p"):
        frame = frame.reformat(width=width, height=height, format="yuv420p")
    # A plane is a buffer, though PyAV's types do not say so.
    y, cb, cr = (
        np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    return y, cb, cr


class _Canvas:
    """The mosaic's planes, filled cell by cell."""

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry
        # 4:2:0 wants even sizes; cells and gaps are even, so the geometry is.
        self.width, self.height = geometry.width, geometry.height
        shapes = ((self.height, self.width), *[(self.height // 2, self.width // 2)] * 2)
        self._planes = [np.full(shape, value, np.uint8) for shape, value in zip(shapes, BACKGROUND, strict=True)]

    def put(self, position: int, planes: tuple[Plane, Plane, Plane]) -> None:
        """Copy a clip's frame into the middle of its cell."""
        left, top = self._geometry.corner(position)
        height, width = planes[0].shape
        left += (CELL_WIDTH - width) // 4 * 2
        top += (CELL_HEIGHT - height) // 4 * 2
        for target, source, part in zip(self._planes, planes, (1, 2, 2), strict=True):
            rows, columns = source.shape
            target[top // part : top // part + rows, left // part : left // part + columns] = source

    def frame(self) -> av.VideoFrame:
        """The canvas as a frame for the encoder."""
        return av.VideoFrame.from_ndarray(
            np.concatenate([p.reshape(-1) for p in self._planes]).reshape(self.height * 3 // 2, self.width),
            format="yuv420p",
        )
