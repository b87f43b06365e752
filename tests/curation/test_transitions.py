"""Dissolves and fades on textures blended by hand, what is none of both, and the streamed residual's slow twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.scores import ArrayFrame, measure
from curation.scores import transitions as module
from curation.scores.blend import INTERCEPT, MAX_LAG, WEIGHTS, WINDOWS, dissolve_logits, fade_strengths
from curation.scores.transitions import THRESHOLDS, Transitions, views

Picture = Callable[[float], np.ndarray]
LENGTH = 5.0


def texture(seed: int, *, drift: float = 0.0, contrast: float = 1.0) -> Picture:
    """Soft coloured noise, (90, 160, 3) in float levels, that moves `drift` pixels a second to the left."""
    rng = np.random.default_rng(seed)
    wide = rng.normal(size=(90, 640, 3))
    for axis in (0, 1):
        wide = sum(np.roll(wide, shift, axis) for shift in range(-2, 3)) / 5
    wide = 110 + 40 * contrast * wide / wide.std()

    def picture(time: float) -> np.ndarray:
        whole, part = divmod(drift * time, 1)
        one, other = (wide[:, int(whole) + k : int(whole) + k + 160] for k in (0, 1))
        return np.asarray((1 - part) * one + part * other)

    return picture


def linear(part: float) -> float:
    return part


def eased(part: float) -> float:
    return part * part * (3 - 2 * part)


def clip(picture: Picture, times: np.ndarray) -> Iterator[ArrayFrame]:
    for time in times:
        yield ArrayFrame(np.clip(np.round(picture(float(time))), 0, 255).astype(np.uint8), float(time))


def scored(picture: Picture, times: np.ndarray | None = None) -> dict[str, float]:
    scorer = Transitions()
    measure(clip(picture, np.arange(0, LENGTH, 0.04) if times is None else times), [scorer])
    return scorer.values()


def dissolving(one: Picture, other: Picture, begin: float, duration: float, ramp: Callable[[float], float]) -> Picture:
    def picture(time: float) -> np.ndarray:
        part = ramp(min(max((time - begin) / duration, 0.0), 1.0))
        return (1 - part) * one(time) + part * other(time)

    return picture


def fading(one: Picture, level: float, begin: float, duration: float) -> Picture:
    return dissolving(one, lambda time: np.full((90, 160, 3), level), begin, duration, linear)


@pytest.mark.parametrize("ramp", [linear, eased])
@pytest.mark.parametrize("duration", [0.5, 1.0, 2.0])
def test_a_dissolve_is_found_and_where(duration: float, ramp: Callable[[float], float]) -> None:
    values = scored(dissolving(texture(1, drift=3), texture(2, drift=5), 1.5, duration, ramp))
    assert values["dissolve"] > THRESHOLDS["dissolve"]
    assert values["dissolve_at"] == pytest.approx(1.5 + duration / 2, abs=0.4)
    assert values["fade"] < THRESHOLDS["fade"]


@pytest.mark.parametrize("level", [0, 255, 90])
@pytest.mark.parametrize("duration", [0.5, 1.0, 2.0])
def test_a_fade_is_found_in_both_directions(duration: float, level: float) -> None:
    shot = texture(3, drift=4)
    away = scored(fading(shot, level, 1.0, duration))
    assert away["fade"] > THRESHOLDS["fade"]
    assert 1.0 < away["fade_at"] <= 1.0 + duration + 2.5
    begins = scored(dissolving(lambda time: np.full((90, 160, 3), float(level)), shot, 0.3, duration, linear))
    assert begins["fade"] > THRESHOLDS["fade"]


def test_a_part_of_a_fade_counts_in_proportion() -> None:
    shot = texture(3)
    half = scored(dissolving(shot, lambda time: 0.5 * shot(time), 1.0, 1.0, linear))
    most = scored(dissolving(shot, lambda time: 0.1 * shot(time), 1.0, 1.0, linear))
    assert half["fade"] == pytest.approx(0.5, abs=0.08)
    assert THRESHOLDS["fade"] < most["fade"] < 0.95


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(texture(4), id="still"),
        pytest.param(texture(4, drift=40), id="pan"),
        pytest.param(texture(4, drift=90), id="fast pan"),
        pytest.param(dissolving(texture(4, drift=20), texture(5, drift=20), 2.0, 1e-9, linear), id="hard cut"),
        pytest.param(lambda time: texture(6, drift=15)(time) * (1.4 - 0.6 * eased(min(time / 2, 1))), id="exposure"),
        pytest.param(lambda time: texture(6, drift=15)(time) * (1 - 0.12 * time), id="sunset"),
        pytest.param(lambda time: texture(7)(time) * (3.0 if 2.0 <= time < 2.08 else 1.0), id="flash"),
    ],
)
def test_what_is_neither(picture: Picture) -> None:
    values = scored(picture)
    assert values["dissolve"] < THRESHOLDS["dissolve"]
    assert values["fade"] < THRESHOLDS["fade"]


def test_strong_water_is_neither() -> None:
    rng = np.random.default_rng(0)
    still = texture(8)(0)
    waves = [texture(int(seed), contrast=0.7)(0) - 110 for seed in rng.integers(100, 10_000, 126)]
    values = scored(lambda time: still + waves[round(time * 25)])  # nothing of a wave is left in the next frame
    assert values["dissolve"] < THRESHOLDS["dissolve"]
    assert values["fade"] < THRESHOLDS["fade"]


def test_frame_times_count_and_not_frame_numbers() -> None:
    rng = np.random.default_rng(1)
    irregular = np.cumsum(rng.uniform(0.02, 0.06, 130))
    times = irregular - irregular[0]
    change = dissolving(texture(1, drift=3), texture(2, drift=5), 1.5, 1.0, linear)
    values = scored(change, times)
    assert values["dissolve"] > THRESHOLDS["dissolve"]
    assert values["dissolve_at"] == pytest.approx(2.0, abs=0.4)
    assert scored(change, np.arange(0, LENGTH, 1 / 60))["dissolve_at"] == pytest.approx(2.0, abs=0.4)


def test_short_clips_have_no_transition() -> None:
    for frames in (1, 2, 5):
        values = scored(texture(1), np.arange(frames) * 0.04)
        assert values == {"dissolve": pytest.approx(0, abs=1e-9), "dissolve_at": -1, "fade": 0, "fade_at": -1}


def literal_logit(luma: list[np.ndarray], texture: list[np.ndarray]) -> float:
    """A window's logit written out from its frames: each one's nearest point on the segment between the ends."""

    def along(frames: list[np.ndarray]) -> tuple[list[float], float]:
        first, span = frames[0], frames[-1] - frames[0]
        parts = [float((frame - first) @ span / (span @ span)) for frame in frames]
        away = [np.mean((frame - first - part * span) ** 2) for frame, part in zip(frames, parts, strict=True)]
        return [b - a for a, b in pairwise(parts)], float(np.mean(away[1:-1]) / np.mean(span**2))

    luma, texture = ([frame.astype(np.float64) for frame in frames] for frames in (luma, texture))
    first, last = texture[0], texture[-1]
    ways = np.linspace(0, 1, len(texture))[1:-1]
    mean_squares = [np.mean(frame**2) for frame in texture]
    dips = [
        e / ((1 - w) * mean_squares[0] + w * mean_squares[-1]) for w, e in zip(ways, mean_squares[1:-1], strict=True)
    ]
    factors = [np.linalg.lstsq(np.stack([first, last], 1), frame, rcond=None)[0] for frame in texture[1:-1]]
    out, into = np.polyfit(ways, np.array(factors), 1)[0]
    steps, residual = along(luma)
    texture_steps, _ = along(texture)
    likeness = float(first @ last / np.sqrt((first @ first) * (last @ last)))
    features = {
        "residual": np.log(np.clip(residual, 0.003, 3)),
        "step": min(max(steps), 1.0),
        "back": min(sum(max(-step, 0) for step in steps), 1.0),
        "leap": max(min(max(texture_steps), 1.0) - 0.36, 0),
        "likeness": max(abs(likeness) - 0.1, 0),
        "difference": np.log(np.sqrt(np.clip(np.mean((last - first) ** 2), 1, 1e4))),
        "dip": abs(np.clip(min(dips), 0.2, 1.2) - 0.46),
        "exchange": np.clip(min(-out, into), -1, 0.9),
    }
    assert features.keys() == WEIGHTS.keys()
    return INTERCEPT + sum(WEIGHTS[name] * float(value) for name, value in features.items())


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 1000), samples=st.integers(7, 60), block=st.integers(8, 40))
def test_streamed_in_blocks_equals_the_windows_written_out(seed: int, samples: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    scenes = rng.integers(60, 200, (3, 90, 160)).astype(np.float64)
    lumas = []
    for index in range(samples):
        way = rng.uniform(0, 1) if seed % 2 else index / samples
        mixed = (1 - way) * scenes[0] + way * scenes[1] + 0.1 * scenes[2] * np.sin(index)
        lumas.append(np.clip(mixed + rng.normal(0, 6, (90, 160)), 0, 255).astype(np.uint8))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        scorer = Transitions()
        for index, luma in enumerate(lumas):
            frame = ArrayFrame(np.repeat(luma[..., None], 3, axis=2), index * module.INTERVAL)
            scorer.push(frame)
        values = scorer.values()

    seen = [views(luma) for luma in lumas]
    best = max(
        literal_logit([s[0] for s in seen[i : i + w + 1]], [s[1] for s in seen[i : i + w + 1]])
        for w in WINDOWS
        for i in range(samples - w)
    )
    assert np.log(values["dissolve"] / (1 - values["dissolve"])) == pytest.approx(best, abs=0.02)
    assert len(scorer._bands) < block + MAX_LAG


def test_a_single_pale_sample_is_no_fade() -> None:
    deviations = np.array([40.0] * 10 + [1.0] * 2 + [40.0] * 10)
    strengths, _ = fade_strengths(_band(deviations), 2.5, 8.0)
    assert strengths.max() == 0
    strengths, where = fade_strengths(_band(np.array([40.0] * 10 + [20.0, 1.0, 20.0] + [40.0] * 10)), 2.5, 8.0)
    assert strengths.max() == pytest.approx(1 - 1 / 40)
    assert where[strengths.argmax()] == 11


def _band(deviations: np.ndarray) -> np.ndarray:
    """Of one picture at these contrasts."""
    band = np.zeros((len(deviations), MAX_LAG + 1))
    for lag in range(min(len(deviations), MAX_LAG + 1)):
        band[lag:, lag] = deviations[lag:] * deviations[: len(deviations) - lag]
    return band


def test_windows_longer_than_the_clip_are_left_out() -> None:
    band = np.ones((12, MAX_LAG + 1))
    assert [length for length, _ in dissolve_logits(band, band)] == [6, 8, 10]
