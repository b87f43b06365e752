"""Label maps: 8-bit images whose values are classes. Read and written exactly, and resized as the frames beside them.

Shape letters: H height, W width.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from curation.decode import shape_within
from curation.errors import ErrorClass, StageError
from curation.probe import opened

Labels = NDArray[np.uint8]
GREY, PALETTE = 0, 3  # PNG's colour types


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """How a file's frames stand in it. `height` and `width` are upright: as turned for showing, pixels as stored."""

    height: int
    width: int
    rotation: int  # degrees counter-clockwise that the file asks for
    pixel_aspect: Fraction
    chroma: tuple[int, int]  # rows and columns of pixels that share a colour

    @property
    def shown(self) -> tuple[int, int]:
        """(height, width) with square pixels."""
        if self.rotation in (90, 270):
            return round(self.height * self.pixel_aspect), self.width
        return self.height, round(self.width * self.pixel_aspect)


def geometry(path: Path) -> Geometry:
    """Look at a file's first frame. Raises `StageError` (missing, unsupported, corrupt)."""
    with opened(path) as (container, stream):
        for frame in container.decode(stream):
            rotation = round(frame.rotation / 90) * 90 % 360
            height, width = frame.height, frame.width
            if rotation in (90, 270):
                height, width = width, height
            colour = frame.format
            return Geometry(
                height=height,
                width=width,
                rotation=rotation,
                pixel_aspect=stream.sample_aspect_ratio or Fraction(1),
                chroma=(8 // colour.chroma_height(8), 8 // colour.chroma_width(8)),
            )
    raise StageError(ErrorClass.CORRUPT, f"{path.name}: its first frame does not decode")


def fit_labels(labels: Labels, source: Geometry, *, size: int, fit: Literal["crop", "squash"]) -> Labels:
    """An upright (H, W) label map of a file's frame as (size, size), each value from its nearest pixel.

    The same crop as `curation.decode.Resizer` gives frames: in the stored orientation, on whole chroma samples.
    """
    stored = np.rot90(labels, -source.rotation // 90)
    if fit == "crop":
        height, width = stored.shape
        inner_height, inner_width = shape_within(height, width, 1 / source.pixel_aspect)
        rows, columns = source.chroma
        top = (height - inner_height) // 2 // rows * rows
        left = (width - inner_width) // 2 // columns * columns
        stored = stored[top : top + inner_height // rows * rows, left : left + inner_width // columns * columns]
    resized = cv2.resize(np.ascontiguousarray(stored), (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.ascontiguousarray(np.rot90(np.asarray(resized, np.uint8), source.rotation // 90))


def turned(labels: Labels, rotation: int) -> Labels:
    """A map made of stored frames, upright."""
    return np.ascontiguousarray(np.rot90(labels, rotation // 90))


def read_png(path: Path) -> Labels:
    """The values of an 8-bit grey or palette PNG, (H, W). Raises `StageError` (missing, unsupported, corrupt)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StageError(ErrorClass.MISSING, f"{path}: {error.strerror or error}") from None
    return decode_png(content, path.name)


def decode_png(content: bytes, name: str) -> Labels:
    """The values of an 8-bit grey or palette PNG, (H, W). Raises `StageError` (unsupported, corrupt) naming `name`."""
    head = content[:33]
    if len(head) < 33 or not head.startswith(b"\x89PNG\r\n\x1a\n") or head[12:16] != b"IHDR":
        raise StageError(ErrorClass.UNSUPPORTED, f"{name}: not a PNG image")
    width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
    if colour != PALETTE and (colour, depth) != (GREY, 8):
        raise StageError(
            ErrorClass.UNSUPPORTED, f"{name}: a label map has one 8-bit channel, or a palette; this one has not"
        )
    try:
        with av.open(io.BytesIO(content), "r", format="png_pipe") as container:
            for frame in container.decode(video=0):
                if not frame.is_corrupt and (frame.height, frame.width) == (height, width):
                    return _values(frame)
    except av.error.FFmpegError as error:
        raise StageError(ErrorClass.CORRUPT, f"{name}: does not decode ({error.strerror or error})") from None
    raise StageError(ErrorClass.CORRUPT, f"{name}: does not decode")


def _values(frame: av.VideoFrame) -> Labels:
    data = frame.planes[0]
    rows = np.frombuffer(memoryview(data), np.uint8).reshape(-1, data.line_size)
    return rows[: frame.height, : frame.width].copy()


def png_bytes(labels: Labels) -> bytes:
    """An (H, W) label map as an 8-bit grey PNG. The same map gives the same bytes."""
    done, data = cv2.imencode(".png", labels, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise StageError(ErrorClass.UNSUPPORTED, f"a label map of {labels.shape} cannot be written as PNG")
    return data.tobytes()
