"""Where to cut: a deterministic plan of clips for a video, in exact times (thesis, section 3.9)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from curation.probe import VideoInfo


@dataclass(frozen=True, kw_only=True)
class CutRecipe:
    """How videos are cut. Seconds, but for `max_clips`."""

    length: float = 10.0  # of a clip
    max_clips: int = 20  # of a video
    margin: float = 20.0  # left out at the start and at the end, where the video is long enough
    spacing: float = 5.0  # at least, between clips

    def __post_init__(self) -> None:
        if self.length <= 0 or self.max_clips < 1 or self.margin < 0 or self.spacing < 0:
            raise ValueError("a cut needs length > 0, max-clips >= 1, margin >= 0 and spacing >= 0")

    def settings(self) -> dict[str, Any]:
        """As stored and hashed."""
        return {"kind": "cut", "version": 1, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class ClipPlan:
    """One clip: frames with start_pts <= pts < end_pts; `start` and `end` in seconds from the video's first frame."""

    index: int
    start_pts: int
    end_pts: int
    start: float
    end: float
    frame_count: int
    short: bool = False
    section_index: int | None = None  # of the video's sections, whose file holds it; None: the video's one file


def starts(duration: Fraction, recipe: CutRecipe) -> list[Fraction]:
    """Start times in seconds, spread evenly; none for a video shorter than a clip."""
    length, spacing = exact(recipe.length), exact(recipe.spacing)
    if duration < length:
        return []
    margin = exact(recipe.margin)
    if duration - 2 * margin < length:
        margin = Fraction(0)
    usable = duration - 2 * margin
    step = max(length + spacing, usable / recipe.max_clips)
    count = min(recipe.max_clips, math.floor((usable - length) / step) + 1)
    return [margin + index * step for index in range(count)]


def plan(video: VideoInfo, recipe: CutRecipe) -> list[ClipPlan]:
    """The clips of a video. A video shorter than a clip is one clip from its start, flagged `short`."""
    first = int(video.pts[0])
    ranges = [_range(video, start, exact(recipe.length)) for start in starts(video.duration, recipe)]
    short = not ranges
    if short:
        ranges = [(first, video.end_pts)]
    clips: list[ClipPlan] = []
    for start_pts, end_pts in ranges:
        low, high = np.searchsorted(video.pts, [start_pts, end_pts])
        if high == low:  # a hole in a video of variable frame rate
            continue
        clips.append(
            ClipPlan(
                index=len(clips),
                start_pts=start_pts,
                end_pts=end_pts,
                start=float(video.seconds(start_pts)),
                end=float(video.seconds(end_pts)),
                frame_count=int(high - low),
                short=short,
            )
        )
    return clips


def _range(video: VideoInfo, start: Fraction, length: Fraction) -> tuple[int, int]:
    """From the first frame at or after `start`; the end is exact to the tick."""
    first = int(video.pts[0])
    wanted = first + math.ceil(start / video.time_base)
    position = min(int(np.searchsorted(video.pts, wanted)), len(video.pts) - 1)
    start_pts = int(video.pts[position])
    return start_pts, min(start_pts + round(length / video.time_base), video.end_pts)


def exact(seconds: float) -> Fraction:
    """0.2 is meant as 1/5, not as the float just above it, which would miss a frame."""
    return Fraction(str(seconds))
