"""When a run counts as converged, on curves that are made: falls, plateaus, noise, slow drifts, resumes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.errors import UsageError
from modeling.training.convergence import CHECKS, Convergence, ConvergenceWatch, change, largest_mean

RULE = Convergence(window=200, tolerance=0.05)


def records(*curves: np.ndarray) -> list[dict[str, float]]:
    names = ("wasserstein_s", "wasserstein_t")
    return [
        {"step": step, "loss_g": 7.0 * step, **dict(zip(names, values, strict=False))}
        for step, values in enumerate(zip(*curves, strict=True), start=1)
    ]


def stopped_at(lines: list[dict[str, float]], rule: Convergence = RULE) -> int | None:
    watch = ConvergenceWatch(rule)
    for line in lines:
        watch.add(line)
        if watch.verdict() is not None:
            return int(line["step"])
    return None


def fall(steps: int, scale: float, floor: float) -> np.ndarray:
    """Up to 1 in the first steps, then down to `floor` as Fig. 3.2's curves do."""
    t = np.arange(steps)
    return np.minimum(1, t / 20) * (floor + (1 - floor) * np.exp(-t / scale))


def test_a_curve_that_falls_and_stays_down_is_converged_once_two_windows_are_flat() -> None:
    flat_from = 900  # here the fall over a window of 200 is below 5% of the largest mean
    stop = stopped_at(records(fall(4000, 300, 0.1)))
    assert stop is not None
    assert flat_from + RULE.window <= stop <= flat_from + 3 * RULE.window
    assert stop % RULE.every == 0


def test_all_discriminators_must_be_flat() -> None:
    quick, slow = fall(4000, 100, 0.1), fall(4000, 600, 0.1)
    both, one = stopped_at(records(quick, slow)), stopped_at(records(quick))
    assert one is not None
    assert both is not None
    assert both > one + 500


def test_a_steady_fall_is_not_converged() -> None:
    assert stopped_at(records(np.linspace(1, 0.2, 2000))) is None


def test_a_plateau_that_is_left_again_in_time_does_not_stop() -> None:
    """Flat for one window and a half, then down: never flat at twenty looks in a row."""
    curve = np.concatenate((np.full(300, 1.0), np.linspace(1, 0, 300)))
    assert stopped_at(records(curve)) is None


@settings(max_examples=15, deadline=None, derandomize=True)  # a chance event: the same draws each time
@given(seed=st.integers(0, 10_000), noise=st.floats(0.05, 0.25))
def test_noise_neither_stops_a_fall_nor_keeps_a_flat_curve_going(seed: int, noise: float) -> None:
    """At the default window; noise of up to a quarter of the estimate's size."""
    rule, random = Convergence(), np.random.default_rng(seed)
    falling = np.linspace(1, 0.3, 7000) + noise * random.standard_normal(7000)
    assert stopped_at(records(falling), rule) is None  # 20% of the largest in each window
    level = 1 + noise * random.standard_normal(16_000)
    stop = stopped_at(records(level), rule)
    assert stop is not None
    assert stop >= 2 * rule.window - rule.every


def test_what_it_says() -> None:
    lines = records(np.full(1000, 0.5), np.full(1000, -2.0))
    watch = ConvergenceWatch(RULE, lines[:390])
    said = watch.verdict()
    assert said is not None
    assert said.startswith("converged at step 390: over the last 200 steps")
    assert "less than 5% of their largest value (now: S 0.0%, T 0.0%)" in said


@pytest.mark.parametrize("cut", [1, 150, 399, 400, 777, 860])
def test_a_resume_stops_where_the_whole_run_does(cut: int) -> None:
    lines = records(fall(4000, 150, 0.1) + 0.01 * np.random.default_rng(4).standard_normal(4000))
    stop = stopped_at(lines)
    watch = ConvergenceWatch(RULE, lines[:cut])
    step = cut
    while watch.verdict() is None:
        watch.add(lines[step])
        step += 1
    assert step == stop


def test_line_and_largest_mean_against_other_ways() -> None:
    values = np.random.default_rng(0).standard_normal(50).cumsum()
    slope, _ = np.polyfit(np.arange(50), values, 1)
    assert change(values) == pytest.approx(slope * 49)
    means = [abs(values[start : start + 7].mean()) for start in range(44)]
    assert largest_mean(values, 7) == pytest.approx(max(means))


def test_a_rule_that_cannot_be_followed() -> None:
    assert Convergence(window=CHECKS).every == 1
    with pytest.raises(UsageError, match="--convergence-window takes 20 steps or more, not 19"):
        Convergence(window=19)
    for tolerance in (0.0, 1.0):
        with pytest.raises(UsageError, match="--convergence-tolerance"):
            Convergence(tolerance=tolerance)
