"""Sections: the ranges of a long video that are wanted alone, in the stream's own ticks, and the clips they become."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from curation.cutting.plan import ClipPlan, CutRecipe, exact, starts
from curation.probe import VideoInfo
from db.models import Section

WORTH_IT = Fraction(1, 2)  # of the video; where more than this is planned, the whole is fetched
TICK_TOLERANCE = Fraction(1, 1000)  # of a tick; seconds that went through a float miss theirs by less


@dataclass(frozen=True, kw_only=True)
class Range:
    """A wanted range, in seconds from the video's first frame; `end` is exclusive.

    A planned one keeps its length from its first frame on, as `cutting.plan` cuts clips; others end where they end.
    """

    index: int
    start: Fraction
    end: Fraction
    planned: bool = False

    def start_tick(self, first_pts: int, time_base: Fraction) -> int:
        """The first tick that may be a frame of it."""
        return first_pts + _ticks(self.start, time_base)

    def end_tick(self, start_pts: int, first_pts: int, time_base: Fraction) -> int:
        """The tick at which it ends (exclusive), given its first frame's."""
        if self.planned:
            return start_pts + round((self.end - self.start) / time_base)
        return first_pts + _ticks(self.end, time_base)


@dataclass(frozen=True, kw_only=True)
class Source:
    """What an opened video says of itself."""

    first_pts: int
    time_base: Fraction
    duration: Fraction  # of the video stream, s
    fps: float | None
    frames: int | None


def given_range(row: Section) -> Range:
    """The range of a section's row."""
    return Range(index=row.index, start=Fraction(row.start), end=Fraction(row.end))


def planned_ranges(duration: Fraction, recipe: CutRecipe) -> list[Range]:
    """The ranges that `curate cut` would cut; none where they are most of the video, which is then better had whole."""
    length = exact(recipe.length)
    begun = starts(duration, recipe)
    if len(begun) * length > WORTH_IT * duration:
        return []
    return [Range(index=index, start=start, end=start + length, planned=True) for index, start in enumerate(begun)]


def cut_settings(ranges: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """The cut recipe of a video whose clips are its sections: (start, end) in seconds from its first frame."""
    return {"kind": "cut", "version": 1, "sections": [list(each) for each in ranges]}


def section_clip(info: VideoInfo, wanted: Range, *, index: int, first_pts: int, own_file: bool) -> ClipPlan | None:
    """The clip of a section, from the frames of its file (or of the whole video's); None if it has none.

    `first_pts` is that of the video's first frame. The clip is `short` where the video ends before it.
    """
    low = int(np.searchsorted(info.pts, wanted.start_tick(first_pts, info.time_base)))
    if low == len(info.pts):
        return None
    start_pts = int(info.pts[low])
    wanted_end = wanted.end_tick(start_pts, first_pts, info.time_base)
    end_pts = min(wanted_end, info.end_pts)
    count = int(np.searchsorted(info.pts, end_pts)) - low
    if count < 1:
        return None
    frame = (info.end_pts - int(info.pts[0])) / len(info.pts)
    return ClipPlan(
        index=index,
        start_pts=start_pts,
        end_pts=end_pts,
        start=float((start_pts - first_pts) * info.time_base),
        end=float((end_pts - first_pts) * info.time_base),
        frame_count=count,
        short=wanted_end - end_pts > frame,
        section_index=wanted.index if own_file else None,
    )


def _ticks(seconds: Fraction, time_base: Fraction) -> int:
    """The first tick at or after a time."""
    position = seconds / time_base
    nearest = round(position)
    return nearest if abs(position - nearest) < TICK_TOLERANCE else math.ceil(position)
