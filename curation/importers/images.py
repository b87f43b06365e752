"""Image files as arrays, exactly as they are stored: no turning by their metadata, no resizing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.errors import ErrorClass, StageError


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a JPEG, PNG or the like. Raises `StageError` (missing, corrupt)."""
    return _decoded(path, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)


def read_as_stored(path: Path) -> NDArray[np.generic]:
    """(H, W) or (H, W, channels) with the file's own channels and depth; colours as RGB. Raises `StageError`."""
    pixels: NDArray[np.generic] = _decoded(path, cv2.IMREAD_UNCHANGED)
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        return pixels[:, :, [2, 1, 0, *range(3, pixels.shape[2])]]
    return pixels


def read_frames(paths: Sequence[Path]) -> Iterator[NDArray[np.uint8]]:
    """The frames that these files hold, one at a time. Raises `StageError`, naming the file, also if sizes differ."""
    shape: tuple[int, ...] | None = None
    for path in paths:
        frame = read_rgb(path)
        if shape is not None and frame.shape != shape:
            raise StageError(
                ErrorClass.CORRUPT,
                f"{path.name} is {frame.shape[1]}x{frame.shape[0]}, the frames before it {shape[1]}x{shape[0]}",
            )
        shape = frame.shape
        yield frame


def _decoded(path: Path, flags: int) -> NDArray[np.uint8]:
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise StageError(ErrorClass.MISSING, f"{path.name}: {error.strerror or error}") from None
    if not data.size:
        raise StageError(ErrorClass.CORRUPT, f"{path.name}: the file is empty")
    if not _is_whole(data.tobytes()):
        raise StageError(ErrorClass.CORRUPT, f"{path.name}: the file is cut off")
    try:
        pixels = cv2.imdecode(data, flags)
    except cv2.error as error:
        raise StageError(ErrorClass.CORRUPT, f"{path.name}: {error.err}") from None
    if pixels is None:
        raise StageError(ErrorClass.CORRUPT, f"{path.name}: no image that can be read")
    return pixels  # type: ignore[return-value]


def _is_whole(data: bytes) -> bool:
    """Whether a JPEG or PNG has its end: the decoder fills what is missing with grey and says nothing."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" in data
    if data.startswith(b"\x89PNG"):
        return b"IEND" in data[-4096:]
    return True
