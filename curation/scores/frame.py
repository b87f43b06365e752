"""A frame as scorers see it: at source size and small, each picture made once and only if a scorer asks for it.

The small pictures of a decoded frame come straight from its YUV planes by area averaging, inside swscale: range,
bit depth and subsampling are its business, and it costs a fifth of OpenCV's area average of the RGB picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from curation.decode import decode, plane

SMALL = (90, 160)  # height, width of `small` and `luma`, whatever the source's shape
MEDIUM_WIDTH = 360  # of `medium`, which keeps the stored frame's shape; smaller sources stay as they are


class Frame(ABC):
    """One frame: `time` in seconds from the clip's first, by the file's own times (rates vary), and its pictures.

    Pictures are as stored (not turned upright), read-only, and valid until the next frame is asked for.
    """

    def __init__(self, time: float) -> None:
        self.time = time

    @property
    @abstractmethod
    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) RGB at source size."""

    @property
    @abstractmethod
    def small(self) -> NDArray[np.uint8]:
        """(90, 160, 3) RGB."""

    @property
    @abstractmethod
    def medium(self) -> NDArray[np.uint8]:
        """(h, w) luma in [0, 255], w at most 360 and h in proportion."""

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(90, 160) luma in [0, 255] of `small`."""
        return np.asarray(cv2.cvtColor(self.small, cv2.COLOR_RGB2GRAY), np.uint8)


class ArrayFrame(Frame):
    """A frame given as an array."""

    def __init__(self, rgb: NDArray[np.uint8], time: float) -> None:
        super().__init__(time)
        self._rgb = rgb

    @property
    def rgb(self) -> NDArray[np.uint8]:
        return self._rgb

    @cached_property
    def small(self) -> NDArray[np.uint8]:
        return _area(self._rgb, *SMALL)

    @cached_property
    def medium(self) -> NDArray[np.uint8]:
        height, width = medium_size(*self._rgb.shape[:2])
        return _area(np.asarray(cv2.cvtColor(self._rgb, cv2.COLOR_RGB2GRAY), np.uint8), height, width)


class DecodedFrame(Frame):
    """A frame as the decoder hands it out."""

    def __init__(self, frame: av.VideoFrame, time: float, converters: Converters) -> None:
        super().__init__(time)
        self._frame = frame
        self._converters = converters

    @cached_property
    def rgb(self) -> NDArray[np.uint8]:
        # PyAV takes all cores unless told otherwise.
        return plane(self._converters.rgb.reformat(self._frame, format="rgb24", threads=1))

    @cached_property
    def small(self) -> NDArray[np.uint8]:
        return plane(_shrink(self._converters.small, self._frame, *SMALL, "rgb24"))

    @cached_property
    def medium(self) -> NDArray[np.uint8]:
        height, width = medium_size(self._frame.height, self._frame.width)
        picture = _shrink(self._converters.medium, self._frame, height, width, "gray")
        data = picture.planes[0]
        return np.frombuffer(memoryview(data), np.uint8).reshape(-1, data.line_size)[:height, :width]


class Converters:
    """One converter a picture size: each keeps its tables from frame to frame."""

    def __init__(self) -> None:
        self.rgb = VideoReformatter()
        self.small = VideoReformatter()
        self.medium = VideoReformatter()


def frames(path: Path, start_pts: int, end_pts: int) -> Iterator[Frame]:
    """The frames with start_pts <= pts < end_pts, in order; each one's pictures are valid until the next.

    Raises `StageError` as `decode` does.
    """
    converters = Converters()
    first: int | None = None
    for frame in decode(path, start_pts, end_pts):
        assert frame.pts is not None and frame.time_base is not None
        first = frame.pts if first is None else first
        yield DecodedFrame(frame, float((frame.pts - first) * frame.time_base), converters)


def medium_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of `Frame.medium` for a source of this size."""
    if width <= MEDIUM_WIDTH:
        return height, width
    return max(1, round(height * MEDIUM_WIDTH / width)), MEDIUM_WIDTH


def _shrink(converter: VideoReformatter, frame: av.VideoFrame, height: int, width: int, form: str) -> av.VideoFrame:
    return converter.reformat(
        frame, width=width, height=height, format=form, interpolation=Interpolation.AREA, threads=1
    )


def _area(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
