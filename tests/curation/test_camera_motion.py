"""Camera motion: moves of known speed, and still cameras before which all sorts of things move."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scores.camera import INTERVAL, THRESHOLDS, CameraMotion, common_shift
from tests.curation.score_cases import HEIGHT, U8, WIDTH, foam, land, score_of

RATE = 1 / INTERVAL
LEAST = THRESHOLDS["camera_motion"]
WIDE = cv2.resize(land(HEIGHT, WIDTH, seed=3), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)


def window(x: float, y: float, zoom: float = 1.0) -> U8:
    """What a camera sees of `WIDE` from (x, y), pixels from its middle."""
    left, top = WIDTH * 1.5 + x - WIDTH / 2 / zoom, HEIGHT * 1.5 + y - HEIGHT / 2 / zoom
    matrix = np.array([[zoom, 0, -zoom * left], [0, zoom, -zoom * top]], np.float32)
    return np.asarray(cv2.warpAffine(WIDE, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR), np.uint8)


@pytest.mark.parametrize("speed", [0.01, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("way", [(1, 0), (-1, 0), (0, 1), (0.6, -0.8)])
def test_a_moving_camera_is_measured_in_widths_a_second(speed: float, way: tuple[float, float]) -> None:
    seconds = min(4.0, 0.35 / speed)
    times = np.arange(0, seconds, INTERVAL)
    clip = [window(*(speed * WIDTH * t * np.array(way))) for t in times]
    assert score_of(CameraMotion, clip, RATE) == pytest.approx(speed, rel=0.15)


def test_a_zoom_and_a_shaking_hand_are_motion() -> None:
    zooming = [window(0, 0, 1 + 0.08 * t) for t in np.arange(0, 4, INTERVAL)]
    assert score_of(CameraMotion, zooming, RATE) > LEAST
    rng = np.random.default_rng(0)
    assert score_of(CameraMotion, [window(*rng.normal(0, 4, 2)) for _ in range(12)], RATE) > LEAST


def test_a_pan_of_a_second_and_a_half_is_found_in_a_still_clip() -> None:
    times = np.arange(0, 8, INTERVAL)
    clip = [window(0.08 * WIDTH * np.clip(t - 3, 0, 1.5), 0) for t in times]
    assert score_of(CameraMotion, clip, RATE) > 0.06


def river(rng: np.random.Generator, index: int) -> U8:
    """Foam in the lower 60%, the rest stands still."""
    picture = land()
    picture[72:] = foam(HEIGHT - 72, WIDTH, rng)
    return picture


def clouds(rng: np.random.Generator, index: int) -> U8:
    """The upper 70% drifts evenly, as clouds do; the land below stays."""
    picture = land()
    picture[:126] = window(6.0 * index, 0)[:126]
    return picture


def stream(rng: np.random.Generator, index: int) -> U8:
    """A band across flows as one; both banks stay."""
    picture = land()
    picture[50:120] = window(9.0 * index, 0)[50:120]
    return picture


def sea(rng: np.random.Generator, index: int) -> U8:
    """Nothing but water."""
    return foam(HEIGHT, WIDTH, rng)


def dawn(rng: np.random.Generator, index: int) -> U8:
    """The light comes up."""
    return np.asarray(cv2.convertScaleAbs(land(), alpha=0.5 + 0.04 * index), np.uint8)


def cuts(rng: np.random.Generator, index: int) -> U8:
    """Another picture twice a second."""
    return land(seed=index)


def noise(rng: np.random.Generator, index: int) -> U8:
    """A dark, empty picture with a sensor's noise."""
    return rng.integers(10, 14, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.mark.parametrize("scene", [river, clouds, stream, sea, dawn, cuts, noise])
def test_a_still_camera_scores_low(scene: Callable[[np.random.Generator, int], U8]) -> None:
    rng = np.random.default_rng(5)
    assert score_of(CameraMotion, [scene(rng, index) for index in range(16)], RATE) < LEAST / 2


def test_too_little_to_compare_is_no_motion() -> None:
    assert score_of(CameraMotion, [land()]) == 0
    assert score_of(CameraMotion, [land(), land()]) == 0


@settings(deadline=None, max_examples=25)
@given(st.integers(-30, 30), st.integers(-16, 16), st.integers(0, 50))
def test_shifts_of_whole_pixels(x: int, y: int, seed: int) -> None:
    wide = land(90 + 40, 160 + 80, seed=seed)[..., 0].astype(np.float32)
    one, other = wide[20:110, 40:200], wide[20 - y : 110 - y, 40 - x : 200 - x]
    before = one.copy()
    found = common_shift(one, other, 90 / 160)
    assert np.array_equal(one, before)
    # Less than a few levels of difference is not told from standing still.
    expected = np.hypot(x, y) / 160
    assert found == pytest.approx(expected, abs=0.002) or (np.hypot(x, y) < 2 and found == 0)
