"""Near-black, near-white and frozen frames: shares that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scores import ArrayFrame, measure
from curation.scores.exposure import Exposure
from curation.scores.frozen import INTERVAL, THRESHOLDS, Frozen
from tests.curation.score_cases import HEIGHT, U8, WIDTH, foam, land, score_of, through

RATE = 1 / INTERVAL


@settings(deadline=None, max_examples=20)
@given(st.lists(st.sampled_from(["black", "white", "land"]), min_size=1, max_size=12))
def test_counts_dark_and_bright_frames(kinds: list[str]) -> None:
    rng = np.random.default_rng(0)
    pictures = {"black": rng.integers(0, 20, (90, 160, 3)), "white": rng.integers(238, 256, (90, 160, 3))}
    clip = [land(90, 160) if kind == "land" else pictures[kind].astype(np.uint8) for kind in kinds]
    values = through(Exposure(), clip, RATE).values()
    assert values == {name: pytest.approx(kinds.count(name) / len(kinds)) for name in ("black", "white")}


def test_a_night_with_lights_and_snow_with_trees_are_neither() -> None:
    night, snow = np.full((90, 160, 3), 8, np.uint8), np.full((90, 160, 3), 250, np.uint8)
    night[40:44, 20:120] = 180
    snow[40:50, 20:80] = 40
    assert through(Exposure(), [night, snow], RATE).values() == {"black": 0.0, "white": 0.0}


def noisy(picture: U8, rng: np.random.Generator, sigma: float = 2.0) -> U8:
    return np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20), st.integers(0, 99))
def test_the_longest_stretch(before: int, still: int, after: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    moving = [foam(HEIGHT, WIDTH, rng) for _ in range(before + after + 1)]
    clip = [
        noisy(picture, rng) for picture in (*moving[:before], *[moving[before]] * (still + 1), *moving[before + 1 :])
    ]
    expected = still / (len(clip) - 1) if len(clip) > 1 else 1.0
    assert score_of(Frozen, clip, RATE) == pytest.approx(expected)


def brook(rng: np.random.Generator, index: int) -> U8:
    """Still but for a small brook."""
    picture = land()
    picture[120:150, 100:160] = foam(30, 60, rng)
    return picture


def evening(rng: np.random.Generator, index: int) -> U8:
    """The light goes down, by a level each time."""
    return land() - np.uint8(index)


@pytest.mark.parametrize("scene", [brook, evening])
def test_slow_and_small_motion_is_not_frozen(scene: object) -> None:
    rng = np.random.default_rng(0)
    clip = [scene(rng, index) for index in range(30)]  # type: ignore[operator]
    assert score_of(Frozen, clip, RATE) <= THRESHOLDS["frozen"]


def test_a_clock_does_not_hide_a_frozen_picture() -> None:
    rng = np.random.default_rng(0)
    clip = [land() for _ in range(20)]
    for picture in clip:
        picture[4:16, 4:30] = foam(12, 26, rng)
    assert score_of(Frozen, clip, RATE) == 1.0


def test_times_count_and_not_frames() -> None:
    """A second without change, of ten, told by times that are not even."""
    rng = np.random.default_rng(0)
    scorer = Frozen()
    pushed = [ArrayFrame(foam(90, 160, rng), 0.5 * index) for index in range(18)]
    still = foam(90, 160, rng)
    pushed += [ArrayFrame(still, time) for time in (9.0, 9.25, 9.5, 10.0)]
    measure(pushed, [scorer])
    assert scorer.values()["frozen"] == pytest.approx(0.1)
