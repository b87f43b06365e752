"""Letterbox: known bars over moving pictures, and dark pictures that have none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation.demo.encode import write_video
from curation.probe import probe
from curation.scores import measure
from curation.scores.frame import frames
from curation.scores.letterbox import THRESHOLDS, Letterbox, bars
from tests.curation.score_cases import HEIGHT, U8, WIDTH, foam, land, score_of

sizes = st.one_of(st.just(0), st.integers(8, 40))


def barred(picture: U8, top: int, bottom: int, left: int, right: int, level: int, rng: np.random.Generator) -> U8:
    out = picture.copy()
    height, width = out.shape[:2]
    mask = np.ones((height, width), bool)
    mask[top : height - bottom, left : width - right] = False
    out[mask] = np.clip(level + rng.integers(-2, 3, (int(mask.sum()), 3)), 0, 255)
    return out


@settings(deadline=None, max_examples=40)
@given(sizes, sizes, sizes, sizes, st.integers(0, 30), st.integers(0, 1000))
def test_finds_bars_of_any_sides(top: int, bottom: int, left: int, right: int, level: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    clip = [barred(foam(HEIGHT, WIDTH, rng), top, bottom, left, right, level, rng) for _ in range(4)]
    brightest = np.max([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in clip], axis=0)
    found = bars(brightest)
    assert np.abs(np.array(found) - (top, bottom, left, right)).max() <= 1
    share = 1 - (HEIGHT - top - bottom) * (WIDTH - left - right) / (HEIGHT * WIDTH)
    assert score_of(Letterbox, clip, fps=2.5) == pytest.approx(share, abs=0.02)


@settings(deadline=None, max_examples=200)
@given(arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.sampled_from([0, 3, 30, 200])))
def test_a_picture_is_always_left(brightest: U8) -> None:
    top, bottom, left, right = bars(brightest)
    assert min(top, bottom, left, right) >= 0
    assert top + bottom < brightest.shape[0]
    assert left + right < brightest.shape[1]
    lamp = np.zeros((100, 160), np.uint8)
    lamp[50] = 255
    assert bars(lamp) == (0, 0, 0, 0)


def night() -> list[U8]:
    """A dark sky with stars, brighter towards hills that are black and uneven."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    sky = 2 + 26 * (y / HEIGHT) ** 2
    hills = y > 130 + 12 * np.sin(x / 31) + 6 * np.sin(x / 7)
    stars = rng.random((HEIGHT, WIDTH)) < 0.001
    picture = np.where(hills, 1.0, sky + 150 * stars)
    return [np.repeat(np.clip(picture + rng.normal(0, 1, picture.shape), 0, 255)[..., None], 3, 2).astype(np.uint8)] * 4


def evening() -> list[U8]:
    """A black shore in front of a bright sea, its edge uneven by more than a bar's is."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    shore = y > 150 + 8 * np.sin(x / 23) + 3 * np.sin(x / 5)
    return [np.where(shore[..., None], np.uint8(2), land(seed=seed)) for seed in range(4)]


def dusk() -> list[U8]:
    """A sky that is black above and brightens evenly downwards: straight, but no edge."""
    column = np.clip(np.arange(HEIGHT) - 40, 0, 120)
    return [np.repeat(np.repeat(column[:, None, None], WIDTH, 1), 3, 2).astype(np.uint8)] * 4


@pytest.mark.parametrize("make", [night, evening, dusk])
def test_dark_nature_has_no_bars(make: object) -> None:
    assert score_of(Letterbox, make()) == 0  # type: ignore[operator]


def test_nothing_but_black_has_no_bars() -> None:
    assert score_of(Letterbox, [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 3) == 0


def test_words_in_a_bar_and_a_fade_from_black_do_not_hide_it() -> None:
    rng = np.random.default_rng(0)
    clip = [barred(land(seed=seed), 20, 20, 0, 0, 0, rng) for seed in range(4)]
    for picture in clip:
        cv2.putText(picture, "a river", (140, 174), cv2.FONT_HERSHEY_DUPLEX, 0.4, (255, 255, 255), 1, cv2.LINE_AA)
    black = np.zeros_like(clip[0])
    assert score_of(Letterbox, [black, clip[0] // 3, *clip]) == pytest.approx(40 / HEIGHT, abs=0.012)


def test_bars_that_come_and_go_are_none() -> None:
    rng = np.random.default_rng(0)
    clip = [land(seed=seed) for seed in range(6)]
    assert score_of(Letterbox, [barred(p, 20, 20, 0, 0, 0, rng) for p in clip[:3]] + clip[3:]) == 0


@pytest.mark.parametrize("crf", [20, 32])
def test_coding_noise_does_not_matter(crf: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [(i / 25, barred(foam(360, 640, rng), 44, 44, 0, 0, 0, rng)) for i in range(25)]
    write_video(tmp_path / "a.mp4", pictures, size=(640, 360), fps=25, crf=crf)
    info = probe(tmp_path / "a.mp4")
    scorer = Letterbox()
    measure(frames(info.path, int(info.pts[0]), info.end_pts), [scorer])
    assert scorer.values()["letterbox"] == pytest.approx(88 / 360, abs=0.012)


def test_real_films(footage: Path) -> None:
    for name, share in (("sintel-30s", 0.238), ("ocean", 0.0), ("bikes", 0.0)):
        info = probe(footage / f"{name}.mp4")
        scorer = Letterbox()
        measure(
            frames(info.path, int(info.pts[0]), int(info.pts[0]) + (info.end_pts - int(info.pts[0])) // 3), [scorer]
        )
        assert scorer.values()["letterbox"] == pytest.approx(share, abs=0.01)
    assert 0 < THRESHOLDS["letterbox"] < 0.1
