"""The Frechet term against written-out Gaussians, and proxy-FD's promises: fixed, and blind to order and batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modeling.metrics.frechet import frechet_distance
from modeling.metrics.proxy import FEATURES, MOTION, TEXTURE, ProxyFeatures, proxy_fd
from tests.modeling.moving_textures import texture_clip

PINNED = {
    0: -0.196078,
    4: 0.423464,
    6: -5.158905,
    13: -5.972517,
    14: -4.073589,
    20: -0.998983,
    22: -1.773795,
    35: -4.781519,
    42: -5.134298,
    55: -3.8416,
    63: -1.144159,
}  # feature: value


def clips(count: int, frames: int = 8, side: int = 16, first: int = 0) -> Tensor:
    drawn = np.stack([texture_clip(first + seed, frames, side) for seed in range(count)])
    return torch.from_numpy(drawn).movedim(-1, 2).double() / 255


def literal_frechet(x: np.ndarray, y: np.ndarray) -> float:
    """The covariances formed, and their product's root by way of the root of one: eigenvalues of S C S."""
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False))
    root = vectors @ np.diag(np.sqrt(np.clip(values, 0, None))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ np.cov(y, rowvar=False) @ root)
    trace = np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False))
    return float(np.sum((x.mean(0) - y.mean(0)) ** 2) + trace - 2 * np.sqrt(np.clip(inner, 0, None)).sum())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 30), st.integers(2, 30), st.integers(2, 9))
def test_the_distance_equals_its_literal_twin(seed: int, n: int, m: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, width)), rng.normal(size=(m, width)) @ rng.normal(size=(width, width)) + 1
    expected = literal_frechet(x, y)
    # A set smaller than its width has eigenvalues of 0, whose rounding the twin's roots blow up.
    tight = min(n, m) > width + 1
    assert frechet_distance(torch.from_numpy(x), torch.from_numpy(y)) == pytest.approx(
        expected, rel=1e-9 if tight else 1e-5, abs=1e-6
    )


def whitened(n: int, width: int, seed: int) -> Tensor:
    """Samples whose mean is 0 and whose unbiased covariance is I, exactly."""
    x = torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.linalg.qr(x - x.mean(dim=0)).Q * (n - 1) ** 0.5


def test_gaussians_apart_by_shift_and_scale_give_the_closed_form() -> None:
    x = whitened(50, 6, 0)
    shift = torch.arange(6, dtype=torch.float64)
    assert frechet_distance(x, x + shift) == pytest.approx(float(shift.square().sum()), rel=1e-12)
    deviations = torch.tensor([0.5, 1.0, 2.0, 3.0, 0.1, 1.5], dtype=torch.float64)
    expected = float((deviations - 1).square().sum() + shift.square().sum())
    assert frechet_distance(x, whitened(80, 6, 1) * deviations + shift) == pytest.approx(expected, rel=1e-9)


def test_the_distance_of_a_set_to_itself_is_zero_even_where_it_is_small() -> None:
    for n, width in ((40, 8), (5, 20)):
        x = torch.randn(n, width, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        assert frechet_distance(x, x.clone()) == pytest.approx(0.0, abs=1e-9)
        assert frechet_distance(x, x + 1) == pytest.approx(frechet_distance(x + 1, x), rel=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        (torch.zeros(1, 3), torch.zeros(4, 3), "two samples"),
        (torch.zeros(4), torch.zeros(4, 3), "two samples"),
        (torch.zeros(4, 3), torch.zeros(4, 2), "width 3"),
        (torch.zeros(4, 3), torch.full((4, 3), torch.nan), "not finite"),
    ],
)
def test_the_distance_refuses_what_has_none(x: Tensor, y: Tensor, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        frechet_distance(x, y)


def test_features_are_the_same_on_every_machine() -> None:
    """Of a clip made of whole numbers; the values were written down when the filters were made."""
    y, x, t = np.mgrid[0:16, 0:16, 0:6]
    clip = np.stack([(x * 7 + y * 3 + t * 11) % 256, (x * y + 5 * t) % 256, (x * 16 + t) % 256], axis=-1)
    video = torch.from_numpy(clip).permute(2, 3, 0, 1)[None].double() / 255
    features = ProxyFeatures()(video)[0]
    assert features.shape == (FEATURES,)
    for index, value in PINNED.items():
        assert float(features[index]) == pytest.approx(value, abs=1e-4), index


def test_features_do_not_depend_on_order_or_batch() -> None:
    extract, video = ProxyFeatures(), clips(6)
    whole = extract(video)
    assert torch.equal(whole, torch.cat([extract(part) for part in video.split(1)]))
    assert torch.equal(whole, torch.cat([extract(part) for part in video.split(4)]))
    assert torch.equal(whole.flip(0), extract(video.flip(0)))
    other = extract(clips(7, first=50))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    assert proxy_fd(whole[order], other)["value"] == pytest.approx(proxy_fd(whole, other)["value"], rel=1e-10)


def test_single_precision_clips_give_the_same_score() -> None:
    extract, x, y = ProxyFeatures(), clips(6), clips(6, first=50)
    exact = proxy_fd(extract(x), extract(y))["value"]
    assert proxy_fd(extract(x.float()), extract(y.float()))["value"] == pytest.approx(exact, rel=1e-4)


def test_motion_filters_see_change_alone_and_texture_filters_no_even_picture() -> None:
    extract = ProxyFeatures()
    still = clips(1)[:, :1].expand(-1, 8, -1, -1, -1)
    even = torch.rand(1, 8, 3, 1, 1, dtype=torch.float64).expand(-1, -1, -1, 16, 16)
    floor = float(np.log(1e-3))
    motion, texture = slice(6, 6 + MOTION), slice(6 + MOTION, 6 + MOTION + TEXTURE)
    torch.testing.assert_close(extract(still)[0, motion], torch.full((MOTION,), floor, dtype=torch.float64))
    torch.testing.assert_close(extract(even)[0, texture], torch.full((TEXTURE,), floor, dtype=torch.float64))
    assert float(extract(clips(1))[0, motion].min()) > floor + 0.2


def test_worse_clips_score_worse() -> None:
    """Stopped, shuffled in time or blurred clips stand farther from the real ones than other real ones do."""
    extract = ProxyFeatures()
    real, other = extract(clips(70)), clips(70, first=100)
    fine = proxy_fd(real, extract(other))["value"]
    stopped = other[:, :1].expand_as(other)
    shuffled = other[:, torch.tensor([4, 0, 6, 2, 7, 1, 5, 3])]
    blurred = torch.nn.functional.avg_pool2d(other.flatten(0, 1), 5, 1, 2).view_as(other)
    for worse in (stopped, shuffled, blurred):
        assert proxy_fd(real, extract(worse))["value"] > 1.5 * fine


def test_a_score_says_its_protocol_and_flags_few_clips() -> None:
    few = proxy_fd(torch.randn(60, FEATURES), torch.randn(90, FEATURES))
    assert (few["few"], few["n"], few["features"]) == (True, [60, 90], FEATURES)
    assert not proxy_fd(torch.randn(65, FEATURES), torch.randn(90, FEATURES))["few"]


@pytest.mark.parametrize("shape", [(1, 3, 3, 16, 16), (1, 8, 1, 16, 16), (8, 3, 16, 16), (1, 8, 3, 4, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="clips must be"):
        ProxyFeatures()(torch.zeros(shape))


def test_large_frames_are_averaged_down() -> None:
    extract, video = ProxyFeatures(), clips(1, side=64)
    enlarged = video.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    torch.testing.assert_close(extract(enlarged), extract(video))
