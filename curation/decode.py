"""One way to frames: exactly those of a range, in order, decoded by one thread.

`decode` gives PyAV's own frames; `rgb` and `resized` give arrays. Shape letters: H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal

import av
import numpy as np
from av.filter import Graph
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from curation.errors import ErrorClass, StageError
from curation.probe import opened

Fit = Literal["crop", "squash", "pad"]
# Where seeking lands after the wanted frame, try again from this much earlier, then from the start.
SEEK_MARGINS_SECONDS = (0, 10)


def decode(path: Path, start_pts: int, end_pts: int) -> Iterator[av.VideoFrame]:
    """The frames with start_pts <= pts < end_pts, in order.

    Raises `StageError`: missing, unsupported, or corrupt where a frame of the range is damaged.
    """
    margins: list[int | None] = [*SEEK_MARGINS_SECONDS, None]
    for margin in margins:
        with opened(path) as (container, stream):
            if margin is not None:
                assert stream.time_base is not None
                container.seek(start_pts - round(margin / stream.time_base), stream=stream, backward=True)
            begun = False
            for frame in container.decode(stream):
                if frame.pts is None:
                    raise StageError(ErrorClass.CORRUPT, f"{path.name}: a frame has no time")
                if not begun and margin is not None and frame.pts > start_pts:
                    break  # landed too late
                begun = True
                if frame.pts >= end_pts:
                    return
                if frame.pts >= start_pts:
                    if frame.is_corrupt:
                        raise StageError(
                            ErrorClass.CORRUPT,
                            f"{path.name}: the frame at {float(frame.pts * (stream.time_base or 0)):.2f} s is damaged",
                        )
                    yield frame
            if begun:
                return


def rgb(path: Path, start_pts: int, end_pts: int) -> Iterator[NDArray[np.uint8]]:
    """The range's frames at source size: (H, W, 3) uint8 RGB, each valid until the next is asked for."""
    reformatter = VideoReformatter()
    for frame in decode(path, start_pts, end_pts):
        # PyAV takes all cores unless told otherwise.
        yield plane(reformatter.reformat(frame, format="rgb24", threads=1))


def resized(
    path: Path, start_pts: int, end_pts: int, *, height: int, width: int, fit: Fit = "crop"
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The range's frames as (pts, (height, width, 3) uint8 RGB), upright, resized inside the decoder's filter graph.

    `crop` scales the shorter side and cuts the middle out; `squash` distorts (as the thesis did); `pad` shows
    the whole frame between dark bars.
    """
    resizer = Resizer(height=height, width=width, fit=fit, pixel_aspect=pixel_aspect(path))
    for frame in decode(path, start_pts, end_pts):
        out = resizer.push(frame)
        assert out.pts is not None
        yield out.pts, plane(out)


class Resizer:
    """Crops, scales, turns and converts frames to RGB; made anew where a stream changes its size on the way."""

    def __init__(self, *, height: int, width: int, fit: Fit, pixel_aspect: Fraction = Fraction(1)) -> None:
        self._size = (height, width)
        self._pixel_aspect = pixel_aspect
        self._fit = fit
        self._graph: Graph | None = None
        self._key: tuple[int, int, str, int] | None = None

    def push(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame, resized."""
        rotation = round(frame.rotation / 90) * 90 % 360
        key = (frame.width, frame.height, frame.format.name, rotation)
        if self._graph is None or key != self._key:
            self._graph, self._key = self._build(frame, rotation), key
        self._graph.push(frame)
        out = self._graph.pull()
        assert isinstance(out, av.VideoFrame)
        return out

    def _build(self, frame: av.VideoFrame, rotation: int) -> Graph:
        height, width = self._size
        if rotation in (90, 270):  # sizes before turning
            height, width = width, height
        graph = Graph()
        graph.threads = 1  # as for decoding: workers share the cores, not frames
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 90000)
        )
        chain = [source]
        from_height, from_width = frame.height, frame.width
        to_height, to_width = height, width
        if self._fit == "crop":
            from_height, from_width = shape_within(
                frame.height, frame.width, Fraction(width, height) / self._pixel_aspect
            )
            chain.append(graph.add("crop", f"{from_width}:{from_height}"))
        elif self._fit == "pad":
            to_height, to_width = shape_within(height, width, Fraction(frame.width, frame.height) * self._pixel_aspect)
        # Area averages the source pixels that fall into one: right for shrinking only. Without full_chroma_int two
        # neighbours would share one colour; with it a frame costs 9% of its decode more.
        shrinking = from_height >= to_height and from_width >= to_width
        chain.append(
            graph.add("scale", f"{to_width}:{to_height}:flags={'area' if shrinking else 'bicubic'}+full_chroma_int")
        )
        chain.append(graph.add("format", "rgb24"))
        if (to_height, to_width) != (height, width):
            chain.append(graph.add("pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2:color=0x202020"))
        chain.extend(graph.add(*arguments) for arguments in TURNS[rotation])
        chain.append(graph.add("buffersink"))
        for one, other in pairwise(chain):
            one.link_to(other)
        graph.configure()
        return graph


# The file's rotation is counter-clockwise as stored; showing it upright turns by the same.
TURNS: dict[int, tuple[tuple[str, ...], ...]] = {
    0: (),
    90: (("transpose", "cclock"),),
    180: (("hflip",), ("vflip",)),
    270: (("transpose", "clock"),),
}


def shape_within(height: int, width: int, aspect: Fraction) -> tuple[int, int]:
    """The largest (height, width) inside the given one whose width to height is `aspect`."""
    if Fraction(width, height) > aspect:
        return height, max(1, round(height * aspect))
    return max(1, round(width / aspect)), width


def pixel_aspect(path: Path) -> Fraction:
    """How much wider than high a stored pixel is shown."""
    with opened(path) as (_, stream):
        return stream.sample_aspect_ratio or Fraction(1)


def plane(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """A packed RGB frame's pixels as an (H, W, 3) view."""
    data = frame.planes[0]
    rows = np.frombuffer(memoryview(data), np.uint8).reshape(-1, data.line_size)[: frame.height]
    pixels: NDArray[np.uint8] = rows[:, : frame.width * 3].reshape(frame.height, frame.width, 3)
    return pixels
