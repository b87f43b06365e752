"""Motion, static regions, flicker, blur and loops: literal twins, and clips made so that the answer is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from modeling.metrics.loops import dips, looping, self_similarity, similarity_matrix, similarity_to_start
from modeling.metrics.motion import STATIC_BELOW, flicker, motion_amount, static_error, static_mask
from modeling.metrics.sharpness import blur_spread, blurred_share, detail

Clips = NDArray[np.uint8]


def random_clips(seed: int, *shape: int) -> Clips:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def texture(side: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).uniform(60, 190, (side, side, 3))


def played(values: NDArray[np.float64], pattern: NDArray[np.float64], scale: float = 30.0) -> Tensor:
    """(T, R, R, 3): a grey background on which the pattern swings by the values (T,)."""
    return torch.from_numpy(125 + scale * values[:, None, None, None] * pattern)


PATTERN = np.random.default_rng(5).standard_normal((12, 12, 3))


@settings(max_examples=10, deadline=None)
@given(st.integers(3, 6), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_motion_and_flicker_equal_their_literal_twins(T: int, H: int, W: int, seed: int) -> None:
    clips = random_clips(seed, 2, T, H, W)
    for index, clip in enumerate(clips.astype(int)):
        moved, back = [], []
        for y in range(H):
            for x in range(W):
                for c in range(3):
                    line = [int(value) for value in clip[:, y, x, c]]
                    steps = [b - a for a, b in itertools.pairwise(line)]
                    moved += [abs(step) for step in steps]
                    back += [min(abs(a), abs(b)) if a * b < 0 else 0 for a, b in itertools.pairwise(steps)]
        assert float(motion_amount(torch.from_numpy(clips))[index]) == pytest.approx(np.mean(moved))
        assert float(flicker(torch.from_numpy(clips))[index]) == pytest.approx(np.mean(back))


def test_flicker_is_what_alternates_and_not_what_goes_on() -> None:
    ramp = played(np.linspace(-1, 1, 9), PATTERN)
    alternating = played(np.array([0.5, -0.5] * 5), PATTERN)
    assert float(flicker(ramp)) == 0.0
    assert float(motion_amount(ramp)) > 1
    assert float(flicker(alternating)) == pytest.approx(float(motion_amount(alternating)))
    assert float(motion_amount(ramp[:1].expand(5, -1, -1, -1))) == 0.0


def test_an_error_counts_where_the_real_clip_is_still() -> None:
    """Sky above, water below; the sample moves the sky by 7 grey levels, and the water as it likes."""
    real = np.full((8, 16, 16, 3), 100.0)
    real[:, 8:] += 40 * np.sin(np.arange(8))[:, None, None, None] * np.ones((8, 16, 3))
    sample = real.copy()
    sample[1:, :7] += 7
    sample[:, 9:] = 0
    mask = static_mask(torch.from_numpy(real))
    assert bool(mask[:7].all())
    assert not bool(mask[8:].any())
    rows = int(mask.sum()) / 16
    assert float(static_error(torch.from_numpy(sample), torch.from_numpy(real))) == pytest.approx(7 * 7 / 8 * 7 / rows)
    assert float(static_error(torch.from_numpy(real), torch.from_numpy(real))) == 0.0


def test_coding_noise_is_still_and_a_clip_in_full_motion_has_no_static_region() -> None:
    random = np.random.default_rng(0)
    quiet = torch.from_numpy(100 + random.normal(0, 0.5 * STATIC_BELOW, (16, 20, 20, 3)))
    wild = torch.from_numpy(100 + random.normal(0, 5 * STATIC_BELOW, (16, 20, 20, 3)))
    assert float(static_mask(quiet).double().mean()) > 0.99
    both = torch.stack([quiet, wild])
    errors = static_error(both, both)
    assert errors[0] == 0
    assert errors[1].isnan()


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 4, 4, 3), "at least 2 frames"), ((4, 4, 4, 1), "clips must"), ((4, 4, 3), "clips must")],
)
def test_other_clips_are_refused(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        motion_amount(torch.zeros(shape, dtype=torch.uint8))


def test_clips_without_a_value_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        motion_amount(torch.full((3, 4, 4, 3), math.nan))
    with pytest.raises(ValueError, match="same shape"):
        static_error(torch.zeros(3, 4, 4, 3), torch.zeros(4, 4, 4, 3))
    with pytest.raises(ValueError, match="at least 8 frames"):
        looping(torch.zeros(7, 4, 4, 3))
    with pytest.raises(ValueError, match="3x3"):
        detail(torch.zeros(2, 2, 9, 3))


def test_clips_do_not_depend_on_those_beside_them() -> None:
    clips = torch.from_numpy(random_clips(3, 3, 9, 16, 16))
    for measure in (motion_amount, flicker, static_mask, blurred_share, self_similarity, similarity_matrix, looping):
        together = measure(clips)
        for index, clip in enumerate(clips):
            torch.testing.assert_close(together[index], measure(clip), rtol=1e-12, atol=1e-12)


def test_a_blurred_region_that_grows_is_seen_growing() -> None:
    """As the thesis's Fig. 4.7: from no frame to three quarters of the picture."""
    picture, T = texture(64), 13
    flat = np.broadcast_to(picture.mean(axis=(0, 1)), picture.shape)
    clip = np.repeat(picture[None], T, axis=0)
    for t in range(T):
        clip[t, : 4 * t] = flat[: 4 * t]
    share = blurred_share(torch.from_numpy(clip))
    assert share[0] == 0
    assert bool((share.diff() >= 0).all())
    assert float(share[-1]) == pytest.approx(48 / 64, abs=0.08)
    real = torch.from_numpy(np.repeat(picture[None], T, axis=0))
    assert float(blur_spread(torch.from_numpy(clip), real)) == pytest.approx(float(share[-3:].mean()))
    assert float(blur_spread(real, real)) == 0.0


def test_detail_that_moves_is_not_lost() -> None:
    wide = texture(80)
    moving = torch.from_numpy(np.stack([wide[:64, t : t + 64] for t in range(12)]))
    assert float(blurred_share(moving).max()) == 0.0
    assert blurred_share(torch.full((5, 64, 64, 3), 90.0)).isnan().all()


def test_detail_is_the_laplacian_in_windows() -> None:
    """Of a clip whose windows are single pixels."""
    frame = random_clips(1, 1, 6, 7)[0]
    luma = frame.astype(float) @ np.array([0.299, 0.587, 0.114])
    expected = [
        abs(luma[y, x] - (luma[y - 1, x] + luma[y + 1, x] + luma[y, x - 1] + luma[y, x + 1]) / 4)
        for y in range(1, 5)
        for x in range(1, 6)
    ]
    assert detail(torch.from_numpy(frame[None]))[0].tolist() == pytest.approx(expected)


def literal_similarity(clip: NDArray[np.float64], s: int, t: int) -> float:
    a, b = (clip[s] - clip.mean(axis=0)).ravel(), (clip[t] - clip.mean(axis=0)).ravel()
    return float(2 * (a @ b) / (a @ a + b @ b))


def test_similarities_equal_their_literal_twins() -> None:
    clip = random_clips(2, 9, 5, 4)
    found = similarity_matrix(torch.from_numpy(clip))
    for s in range(9):
        for t in range(9):
            assert float(found[s, t]) == pytest.approx(literal_similarity(clip.astype(float), s, t), abs=1e-12)
    assert torch.equal(similarity_to_start(torch.from_numpy(clip)), found[0])
    deviations = (clip.astype(float) - clip.mean(axis=0)).reshape(9, -1)
    for lag in range(9):
        pairs = [(deviations[t], deviations[t + lag]) for t in range(9 - lag)]
        expected = sum(2 * (a @ b) for a, b in pairs) / sum(a @ a + b @ b for a, b in pairs)
        assert float(self_similarity(torch.from_numpy(clip))[lag]) == pytest.approx(expected, abs=1e-12)


def test_loops_are_told_from_drift_noise_and_stillness() -> None:
    t = np.arange(48)
    other = np.random.default_rng(6).standard_normal(PATTERN.shape)
    circling = played(np.cos(t * 2 * np.pi / 12), PATTERN) + played(np.sin(t * 2 * np.pi / 12), other) - 125
    assert float(looping(circling)) == pytest.approx(1.0, abs=0.01)
    assert float(looping(played(t / 20, PATTERN))) == 0.0
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (48, 12, 12, 3)))
    assert float(looping(noise)) < 0.15
    still = played(np.zeros(48), PATTERN)
    assert looping(still).isnan()
    assert similarity_to_start(still).isnan().all()
    wandering = torch.from_numpy(np.random.default_rng(1).normal(0, 9, (48, 12, 12, 3)).cumsum(axis=0))
    assert float(looping(wandering)) < 0.3


def test_a_loop_in_the_second_half_is_found() -> None:
    """The thesis saw its clips of 150 frames stuck in a loop after 80."""
    random, T = np.random.default_rng(3), 80
    free = random.normal(0, 12, (40, 12, 12, 3)).cumsum(axis=0)
    cycle = free[-1] + 30 * random.standard_normal((8, 12, 12, 3))
    stuck = np.concatenate([free, np.tile(cycle, (5, 1, 1, 1))])
    assert len(stuck) == T
    assert float(looping(torch.from_numpy(stuck))) > 0.95
    on = np.concatenate([free, free[-1] + random.normal(0, 12, (40, 12, 12, 3)).cumsum(axis=0)])
    assert float(looping(torch.from_numpy(on))) < 0.4


def test_dips_are_the_returns_and_no_ripples() -> None:
    t = np.arange(61)
    curve = 100 + t - 40 * np.cos(t * 2 * np.pi / 20) + np.where(t % 2, 1.0, 0.0)
    assert [round(dip / 20) for dip in dips(list(curve))] == [1, 2]
    assert all(abs(dip - 20 * round(dip / 20)) <= 1 for dip in dips(list(curve)))
    start = similarity_to_start(played(np.cos(t * 2 * np.pi / 20), PATTERN))
    assert dips([-value for value in start.tolist()]) == [20, 40]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([], []),
        ([1.0, 0.0, 1.0], [1]),
        ([3.0, 1.0, 1.0, 3.0], [1]),
        ([3.0, None, 1.0, None, 3.0], [2]),
        ([3.0, math.nan, 1.0, 3.0], [2]),
        ([1.0, 1.0, 1.0, 1.0], []),
        ([1.0, 2.0, 3.0], []),
        ([3.0, 2.0, 1.0], []),
        ([0.0, 10.0, 9.5, 10.0, 0.0], []),
        ([9.0, 0.0, 9.0, 0.0, 9.0], [1, 3]),
        ([9.0, 0.0, 0.5, 0.0, 9.0], [1]),
        ([9.0, 1.0, 0.9, 0.0, 9.0], [3]),
    ],
)
def test_dips_of_small_curves(curve: list[float | None], expected: list[int]) -> None:
    assert dips(curve) == expected
