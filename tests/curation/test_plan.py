"""Where clips are cut: the plan's arithmetic and its promises, for any video and recipe."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.cutting.plan import CutRecipe, plan, starts
from curation.probe import VideoInfo


def video(pts: list[int], *, last: int, time_base: Fraction = Fraction(1, 1000)) -> VideoInfo:
    return VideoInfo(
        path=Path("a.mp4"),
        pts=np.array(pts, np.int64),
        end_pts=last,
        time_base=time_base,
        width=64,
        height=48,
        rotation=0,
        codec="h264",
    )


def constant(seconds: float, fps: int = 25, first: int = 0) -> VideoInfo:
    step = 1000 // fps
    count = round(seconds * fps)
    return video([first + step * i for i in range(count)], last=first + step * count)


@pytest.mark.parametrize(
    ("duration", "options", "expected"),
    [
        # By hand: usable 600 - 40 = 560, step max(15, 28) = 28, floor(550 / 28) + 1 = 20.
        (600, {}, [20 + 28 * i for i in range(20)]),
        # Usable 20, step 15, floor(10 / 15) + 1 = 1.
        (60, {}, [20]),
        # The demo: usable 47, step 12, floor(37 / 12) + 1 = 4.
        (57, {"margin": 5, "spacing": 2}, [5, 17, 29, 41]),
        # Too short for margins: they are dropped; usable 45, step 15, floor(35 / 15) + 1 = 3.
        (45, {}, [0, 15, 30]),
        (10, {}, [0]),
        (9.99, {}, []),
    ],
)
def test_starts_by_hand(duration: float, options: dict[str, float], expected: list[float]) -> None:
    assert starts(Fraction(str(duration)), CutRecipe(**options)) == expected


def test_a_video_shorter_than_a_clip_is_one_short_clip_from_its_start() -> None:
    (clip,) = plan(constant(3.2, first=400), CutRecipe())
    assert (clip.start, clip.end, clip.frame_count, clip.short) == (0, 3.2, 80, True)
    assert (clip.start_pts, clip.end_pts) == (400, 3600)


def test_times_are_exact_whatever_the_first_pts() -> None:
    clips = plan(constant(57, first=1234), CutRecipe(margin=5, spacing=2))
    assert [(clip.start, clip.end, clip.frame_count) for clip in clips] == [
        (5, 15, 250), (17, 27, 250), (29, 39, 250), (41, 51, 250)
    ]  # fmt: skip


def test_a_hole_in_the_video_gives_no_empty_clip() -> None:
    pts = [*range(0, 10_000, 40), *range(60_000, 70_000, 40)]
    clips = plan(video(pts, last=70_000), CutRecipe(margin=0, spacing=0))
    assert all(clip.frame_count > 0 for clip in clips)
    assert [clip.index for clip in clips] == list(range(len(clips)))


@given(
    gaps=st.lists(st.integers(1, 400), min_size=1, max_size=400),
    length=st.sampled_from([0.5, 1.0, 2.5, 10.0]),
    max_clips=st.integers(1, 25),
    margin=st.sampled_from([0.0, 0.7, 3.0]),
    spacing=st.sampled_from([0.0, 0.3, 2.0]),
)
def test_any_plan_keeps_its_promises(
    gaps: list[int], length: float, max_clips: int, margin: float, spacing: float
) -> None:
    pts = np.cumsum([0, *gaps]).tolist()
    info = video(pts, last=pts[-1] + 40)
    recipe = CutRecipe(length=length, max_clips=max_clips, margin=margin, spacing=spacing)
    clips = plan(info, recipe)
    assert 1 <= len(clips) <= max_clips
    assert clips == plan(info, recipe)
    for clip in clips:
        inside = [t for t in pts if clip.start_pts <= t < clip.end_pts]
        assert len(inside) == clip.frame_count > 0
        assert inside[0] == clip.start_pts
        assert clip.end_pts <= info.end_pts
    if info.duration < length:
        assert [clip.short for clip in clips] == [True]
    steady = max(gaps) <= spacing * 1000
    for one, other in pairwise(clips):
        assert one.start_pts < other.start_pts
        if steady:
            assert other.start_pts >= one.end_pts


@pytest.mark.parametrize("bad", [{"length": 0}, {"max_clips": 0}, {"margin": -1}, {"spacing": -0.1}])
def test_a_recipe_that_cannot_be_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a cut needs"):
        CutRecipe(**bad)
