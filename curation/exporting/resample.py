"""A clip's frames on an even time grid: which source frame each output frame shows, in exact rationals.

Output frame k stands at `start + k / fps` and shows the newest source frame that has begun by then, as a player would.
Shape letters: L output frames of a clip, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.decode import Fit, resized
from curation.errors import ErrorClass, StageError


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The output times of one clip. `fps` is None where all source frames are kept as they are (native)."""

    start_pts: int
    end_pts: int  # exclusive
    time_base: Fraction  # s
    frame_count: int  # source frames in the range
    fps: Fraction | None

    def __post_init__(self) -> None:
        if self.end_pts <= self.start_pts or self.frame_count < 1:
            raise ValueError(f"an empty clip: pts {self.start_pts} to {self.end_pts}, {self.frame_count} frames")
        if self.time_base <= 0 or (self.fps is not None and self.fps <= 0):
            raise ValueError(f"time base {self.time_base} and fps {self.fps} must be positive")

    @property
    def duration(self) -> Fraction:
        """Seconds."""
        return (self.end_pts - self.start_pts) * self.time_base

    @property
    def tolerance(self) -> Fraction:
        """Seconds that a frame may begin late: containers round times to ticks.

        The clip's start and the frame's time are each off by half a tick at most, together one. A tick that is long
        beside a frame (AVI: one a frame) is no rounding, so an eighth of a frame is the most.
        """
        return _tolerance(self.duration, self.time_base, self.frame_count)

    @cached_property
    def length(self) -> int:
        """L: the number of output frames, those that stand before the clip's end; 10 s at 25 fps give 250."""
        if self.fps is None:
            return self.frame_count
        return _length(self.end_pts - self.start_pts, self.time_base, self.frame_count, self.fps)

    @property
    def rate(self) -> float:
        """Output frames a second; the source's average where all frames are kept."""
        return float(self.fps if self.fps is not None else self.frame_count / self.duration)

    def first_at(self, pts: int) -> int:
        """The first output frame, from 0 to L, that may show a source frame of this time."""
        step, late, denominator = self._whole_numbers
        return min(max(0, -((late - (pts - self.start_pts) * step) // denominator)), self.length)

    @cached_property
    def _whole_numbers(self) -> tuple[int, int, int]:
        """`ceil((ticks * time_base - tolerance) * fps)` over a common denominator: asked for each source frame."""
        assert self.fps is not None
        step, late = self.time_base * self.fps, self.tolerance * self.fps
        denominator = math.lcm(step.denominator, late.denominator)
        return int(step * denominator), int(late * denominator), denominator


def _tolerance(duration: Fraction, time_base: Fraction, frame_count: int) -> Fraction:
    return min(time_base, duration / frame_count / 8)


@lru_cache(maxsize=10_000)  # a plan asks for all clips at once, and most are of one shape
def _length(ticks: int, time_base: Fraction, frame_count: int, fps: Fraction) -> int:
    duration = ticks * time_base
    return max(1, math.ceil((duration - _tolerance(duration, time_base, frame_count)) * fps))


def shown(pts: Sequence[int], grid: Grid) -> NDArray[np.int64]:
    """Which of a clip's source frames, whose times are `pts` in order, each output frame shows: (L,), from 0."""
    if grid.fps is None:
        return np.arange(len(pts), dtype=np.int64)
    first = np.array([grid.first_at(one) for one in pts], np.int64)
    return np.maximum(np.searchsorted(first, np.arange(grid.length), side="right") - 1, 0)


def fill(frames: Iterable[tuple[int, NDArray[np.uint8]]], grid: Grid, out: NDArray[np.uint8]) -> int:
    """Put source frames, (pts, (H, W, 3)) in order, on the grid: `out` is (L, H, W, 3) uint8.

    Returns how many source frames came; each may be reused by its maker once the next is asked for. Where fewer came
    than the grid counts, `out` is not whole.
    """
    came = done = 0
    length = len(out)
    for pts, frame in frames:
        if grid.fps is None:
            if came < length:
                out[came] = frame
        else:
            # All output frames before this one's time are settled: they show what came last.
            settled = grid.first_at(pts)
            if came and settled > done:
                out[done + 1 : settled] = out[done]
                done = settled
            if done < length:
                out[done] = frame
        came += 1
    if grid.fps is not None and came:
        out[done + 1 :] = out[done : done + 1]
    return came


def read_clip(path: Path, grid: Grid, *, size: int, fit: Fit) -> NDArray[np.uint8]:
    """Decode a clip of a file on its grid: (L, size, size, 3) uint8 RGB.

    Raises `StageError`; corrupt also where the file no longer gives the frames that were counted when it was cut.
    """
    try:
        out = np.empty((grid.length, size, size, 3), np.uint8)
    except MemoryError:
        message = f"{path.name}: {grid.length} frames of {size}x{size} do not fit into memory; export a smaller --size"
        raise StageError(ErrorClass.UNSUPPORTED, message) from None
    frames = resized(path, grid.start_pts, grid.end_pts, height=size, width=size, fit=fit)
    came = fill(frames, grid, out)
    if came != grid.frame_count:
        raise StageError(
            ErrorClass.CORRUPT,
            f"{path.name}: {came} of the {grid.frame_count} frames from {float(grid.start_pts * grid.time_base):.2f} s "
            "on could be decoded; cut the video again",
        )
    return out
