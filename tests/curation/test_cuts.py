"""Hard cuts: found where they are, near the clip's ends and at odd frame rates too; flashes and motion are none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.probe import probe
from curation.scores import ArrayFrame, measure
from curation.scores.cuts import HardCuts, direction, distance
from curation.scores.frame import frames

Shot = Callable[[int], np.ndarray]


def shot(seed: int, *, speed: float = 1.0, grain: float = 3.0) -> Shot:
    """A blurred random picture that drifts `speed` pixels a frame under film grain."""
    rng = np.random.default_rng(seed)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (90, 400, 3)).astype(np.float32), (0, 0), 5)
    wide = 120 + (wide - wide.mean()) / wide.std() * 35

    def picture(index: int) -> np.ndarray:
        begin = round(index * speed) % 240
        noisy = wide[:, begin : begin + 160] + np.random.default_rng([seed, index]).normal(0, grain, (90, 160, 3))
        return np.clip(noisy, 0, 255).astype(np.uint8)

    return picture


def cuts(pictures: Iterable[np.ndarray], times: Iterable[float] | None = None) -> list[float]:
    scorer = HardCuts()
    shown = list(pictures)
    moments = list(times) if times is not None else [index / 25 for index in range(len(shown))]
    measure((ArrayFrame(picture, time) for picture, time in zip(shown, moments, strict=True)), [scorer])
    values = scorer.values()
    assert values == scorer.values()  # asking twice changes nothing
    assert values["hard_cuts"] == len(scorer.cuts)
    assert values["hard_cut_at"] == (scorer.cuts[0] if scorer.cuts else -1)
    return scorer.cuts


@pytest.mark.parametrize("at", [1, 2, 3, 40, 97, 98, 99])
def test_a_cut_anywhere_in_the_clip(at: int) -> None:
    one, other = shot(1), shot(2)
    assert cuts(one(i) if i < at else other(i) for i in range(100)) == [pytest.approx(at / 25)]


def test_several_cuts_are_counted() -> None:
    shots = [shot(1), shot(2), shot(3), shot(4)]
    found = cuts(shots[index // 30](index) for index in range(120))
    assert found == [pytest.approx(second) for second in (1.2, 2.4, 3.6)]


def test_times_are_the_files_own() -> None:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.01, 0.09, 100)) - 0.01
    one, other = shot(1), shot(2)
    assert cuts((one(i) if i < 60 else other(i) for i in range(100)), times) == [pytest.approx(times[60])]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(length: int) -> None:
    scene = shot(5)
    lit = (
        np.minimum(scene(i) * 1.8 + 40, 255).astype(np.uint8) if 40 <= i < 40 + length else scene(i) for i in range(90)
    )
    assert cuts(lit) == []
    white = (np.full((90, 160, 3), 255, np.uint8) if 40 <= i < 40 + length else scene(i) for i in range(90))
    assert cuts(white) == []


def test_a_jump_of_exposure_is_no_cut() -> None:
    scene = shot(6)
    assert cuts(scene(i) if i < 50 else (scene(i) * 0.5).astype(np.uint8) for i in range(100)) == []


def test_strong_motion_is_no_cut() -> None:
    assert cuts(shot(7, speed=17.0)(i) for i in range(80)) == []
    rng = np.random.default_rng(3)
    still = shot(8)(0).astype(np.float64)
    boiling = (np.clip(still + 60 * cv2.resize(rng.normal(size=(12, 20, 3)), (160, 90)), 0, 255) for _ in range(80))
    assert cuts(picture.astype(np.uint8) for picture in boiling) == []
    assert cuts(shot(9)(0) for _ in range(50)) == []


def test_clips_of_a_few_frames() -> None:
    assert cuts([shot(1)(0)]) == []
    assert cuts([shot(1)(0), shot(1)(1)]) == []


def test_distance_ignores_light_and_knows_grey() -> None:
    one, other = (cv2.cvtColor(shot(seed)(0), cv2.COLOR_RGB2GRAY) for seed in (1, 2))
    assert distance(direction(one), direction((one * 0.5 + 60).astype(np.uint8))) < 0.1
    assert distance(direction(one), direction(other)) > 0.9
    grey = direction(np.full((90, 160), 7, np.uint8))
    assert distance(direction(one), grey) == 1.0


def test_real_cuts(footage: Path) -> None:
    """Cuts that were found by eye, and footage without any."""
    truth = {
        "ocean": [6.0],
        "bikes": [1.2, 3.04, 5.48, 7.48, 9.68],
        "stream-of-water": [],
    }
    for name, expected in truth.items():
        info = probe(footage / f"{name}.mp4")
        scorer = HardCuts()
        measure(frames(info.path, int(info.pts[0]), info.end_pts), [scorer])
        scorer.values()
        assert scorer.cuts == [pytest.approx(time, abs=0.05) for time in expected], name
