"""Overlays: letters over water are found; rocks, bars and short titles are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from curation.scores.overlays import INTERVAL, THRESHOLDS, Overlay
from tests.curation.score_cases import HEIGHT, U8, WIDTH, foam, land, score_of

LEAST = THRESHOLDS["overlay"]
RATE = 1 / INTERVAL
LETTER = (255, 255, 255)


def water(frames: int = 25, seed: int = 0) -> list[U8]:
    """Foam below, still land above, a dark rock in the water near the bottom."""
    rng = np.random.default_rng(seed)
    clip = []
    for _ in range(frames):
        picture = land(low=60, high=150)
        picture[70:] = foam(HEIGHT - 70, WIDTH, rng)
        cv2.ellipse(picture, (90, 160), (22, 9), 0, 0, 360, (40, 38, 36), -1, cv2.LINE_AA)
        clip.append(picture)
    return clip


def write(picture: U8, words: str, at: tuple[int, int], scale: float = 0.5, opacity: float = 1.0) -> U8:
    over = picture.copy()
    cv2.putText(over, words, (at[0] + 1, at[1] + 1), cv2.FONT_HERSHEY_DUPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    cv2.putText(over, words, at, cv2.FONT_HERSHEY_DUPLEX, scale, LETTER, 1, cv2.LINE_AA)
    return np.asarray(cv2.addWeighted(picture, 1 - opacity, over, opacity, 0), np.uint8)


def test_water_and_rocks_are_no_overlay() -> None:
    for seed in range(3):
        assert score_of(Overlay, water(seed=seed), RATE) < LEAST / 2


@pytest.mark.parametrize("at", [(200, 172), (8, 18), (220, 18)])
@pytest.mark.parametrize("opacity", [0.7, 1.0])
def test_words_are_found(at: tuple[int, int], opacity: float) -> None:
    clip = [write(picture, "NATURE TV", at, opacity=opacity) for picture in water()]
    assert score_of(Overlay, clip, RATE) > LEAST


def test_dark_words_on_a_bright_sky_are_found() -> None:
    clip = water()
    for picture in clip:
        picture[:60] = 235
        cv2.putText(picture, "2019", (250, 20), cv2.FONT_HERSHEY_DUPLEX, 0.5, (20, 20, 20), 1, cv2.LINE_AA)
    assert score_of(Overlay, clip, RATE) > LEAST


@pytest.mark.parametrize("radius", [9, 16])
def test_a_sign_is_found(radius: int) -> None:
    clip = water()
    for picture in clip:
        cv2.circle(picture, (280, 150), radius, (250, 250, 250), -1, cv2.LINE_AA)
        cv2.circle(picture, (280, 150), round(0.7 * radius), (200, 40, 40), -1, cv2.LINE_AA)
    assert score_of(Overlay, clip, RATE) > LEAST


def test_a_caption_of_five_seconds_is_found_and_one_of_a_second_is_not() -> None:
    def captioned(seconds: float) -> float:
        clip = water()
        frames = round(seconds * RATE)
        for index in range(5, 5 + frames):
            clip[index] = write(clip[index], "River sounds", (100, 172))
        return score_of(Overlay, clip, RATE)

    assert captioned(5) > LEAST
    assert captioned(1) < LEAST


def test_the_edge_of_a_bar_is_no_overlay() -> None:
    clip = water()
    for picture in clip:
        picture[:15] = 0
        picture[-15:] = 0
    assert score_of(Overlay, clip, RATE) < LEAST


def test_a_frame_of_another_size_is_left_out() -> None:
    clip = [write(picture, "NATURE TV", (200, 172)) for picture in water()]
    small = np.zeros((90, 160, 3), np.uint8)
    assert score_of(Overlay, [*clip, small], RATE) == score_of(Overlay, clip, RATE)


def test_one_frame_has_a_score() -> None:
    assert score_of(Overlay, [write(land(low=60, high=150), "NATURE TV", (200, 172))]) > LEAST
    assert score_of(Overlay, [land(low=60, high=150)]) == 0
