"""Frames parked on the disk, for what needs them twice or backwards: memory does not grow with the length of a video.

Shapes: T frames, H and W height and width.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray


class Spool:
    """Frames (H, W, 3) uint8 of one size in an unnamed file in `folder`; gone when closed, or when the process ends."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        self._shape: tuple[int, ...] = ()
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def append(self, frame_HW3: NDArray[np.uint8]) -> None:
        """Add a frame behind those that are there. OSError where the disk is full."""
        if self._count == 0:
            self._shape = frame_HW3.shape
        if frame_HW3.shape != self._shape or frame_HW3.dtype != np.uint8:
            raise ValueError(f"frames of a spool must all be {self._shape} uint8, not {frame_HW3.shape}")
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(frame_HW3).data)
        self._count += 1

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        if not 0 <= index < self._count:
            raise IndexError(f"frame {index} of {self._count}")
        size = int(np.prod(self._shape))
        self._file.seek(index * size)
        return np.frombuffer(self._file.read(size), np.uint8).reshape(self._shape)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[index] for index in range(self._count))
