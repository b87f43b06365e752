"""Samples that stop moving: measured against a loop, said once, and not before training could have learned."""

from __future__ import annotations

import numpy as np
import pytest

from modeling.presets import get
from modeling.training.collapse import CollapseWatch, motion_ratio, temporal_deviation

TRAINING = get("tiny").training  # 10,000 steps: nothing is said before step 1000


def clip(amplitude: float, frames: int = 7, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    still, moving = random.integers(60, 190, (1, 4, 4, 3)), amplitude * random.standard_normal((frames, 4, 4, 3))
    return np.clip(still + moving, 0, 255).round().astype(np.uint8)


def warnings(ratios: list[float], first: int = 1000, every: int = 100, cut: int = 0) -> list[int]:
    """Steps at which something is said; the first `cut` records were there before a resume."""
    records = [{"step": first + every * n, "motion_ratio": ratio} for n, ratio in enumerate(ratios)]
    watch = CollapseWatch(TRAINING, records[:cut])
    return [record["step"] for record in records[cut:] if watch.add(record) is not None]


def test_the_deviation_against_a_loop() -> None:
    video = clip(20)
    total = 0.0
    for y in range(4):
        for x in range(4):
            for c in range(3):
                values = [int(video[t, y, x, c]) for t in range(2, 7)]
                mean = sum(values) / 5
                total += (sum((value - mean) ** 2 for value in values) / 5) ** 0.5
    assert temporal_deviation(video, given=2) == pytest.approx(total / 48)
    assert temporal_deviation(video[:1], given=1) == 0


def test_the_ratio() -> None:
    real = [clip(20, seed=1), clip(30, seed=2)]
    assert motion_ratio(real, real, 1) == 1
    assert motion_ratio([clip(0)], real, 1) == 0
    half = motion_ratio([clip(10, seed=1), clip(15, seed=2)], real, 1)
    assert half == pytest.approx(0.5, abs=0.05)
    assert motion_ratio(real, [clip(0)], 1) is None  # the data stand still: nothing to compare with


def test_three_still_samples_are_said_once() -> None:
    assert warnings([0.8, 0.9, 0.1, 0.1]) == []
    assert warnings([0.8, 0.1, 0.1, 0.1, 0.05, 0.02]) == [1300]
    assert warnings([0.1, 0.1, 0.8, 0.1, 0.1]) == []


def test_it_is_said_again_when_the_samples_had_moved_in_between() -> None:
    assert warnings([0.1, 0.1, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1]) == [1200, 1700]


def test_not_before_it_could_have_learned() -> None:
    """Static from the start: silent up to step 1000, or 5% of a longer schedule, and then said at once."""
    assert warnings([0.01] * 8, first=100) == []
    assert warnings([0.01] * 20, first=100) == [1000]
    long = CollapseWatch(get("landscape-128").training)
    said = [step for step in range(100, 4000, 100) if long.add({"step": step, "motion_ratio": 0.0}) is not None]
    assert said == [2100]  # 42,000 steps


@pytest.mark.parametrize("cut", range(9))
def test_a_resume_says_what_the_whole_run_says(cut: int) -> None:
    ratios = [0.9, 0.1, 0.1, 0.1, 0.1, 0.4, 0.1, 0.1, 0.1]
    whole = warnings(ratios)
    assert whole == [1300, 1800]
    assert warnings(ratios, cut=cut) == [step for step in whole if step >= 1000 + 100 * cut]


def test_steps_without_a_sample_change_nothing() -> None:
    watch = CollapseWatch(TRAINING)
    said = []
    for step in range(1000, 1600):
        record = {"step": step, "loss_g": 1.0} | ({"motion_ratio": 0.0} if step % 100 == 0 else {})
        said += [step] if watch.add(record) is not None else []
    assert said == [1200]
