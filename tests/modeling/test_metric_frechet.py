"""The Frechet term against closed forms and its direct form, moments by batches, its interval against fresh sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modeling.metrics.bootstrap import frechet_interval
from modeling.metrics.frechet import Moments, frechet_distance, frechet_of_moments
from modeling.metrics.influence import influences


def drawn(n: int, width: int, seed: int) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def exactly(mean: Tensor, root: Tensor, n: int, seed: int = 0) -> Tensor:
    """(n, D) rows whose mean and unbiased covariance root' root are exact to rounding."""
    x = drawn(n, len(root), seed)
    white = torch.linalg.qr(x - x.mean(dim=0)).Q * (n - 1) ** 0.5
    return mean + white @ root


def by_moments(x: Tensor, y: Tensor) -> float:
    return frechet_of_moments(Moments(x.shape[1]).add(x), Moments(y.shape[1]).add(y))


BOTH = pytest.mark.parametrize("distance", [frechet_distance, by_moments])


@BOTH
def test_commuting_gaussians_give_the_closed_form(distance) -> None:  # type: ignore[no-untyped-def]
    """Covariances with shared axes: sum of (sigma - tau)^2 and the shift."""
    axes = torch.linalg.qr(drawn(6, 6, 1)).Q
    one, two = torch.tensor([0.3, 1.0, 2.0, 5.0, 0.01, 1.5]), torch.tensor([1.0, 1.0, 0.5, 4.0, 3.0, 0.1])
    shift = torch.arange(6, dtype=torch.float64)
    x = exactly(torch.zeros(6, dtype=torch.float64), one.double()[:, None] * axes, 60)
    y = exactly(shift, two.double()[:, None] * axes, 45, seed=2)
    expected = float((one.double() - two).square().sum() + shift.square().sum())
    assert distance(x, y) == pytest.approx(expected, rel=1e-9)


@BOTH
def test_two_dimensions_with_differing_axes_give_the_closed_form(distance) -> None:  # type: ignore[no-untyped-def]
    """In 2-D tr (AB)^(1/2) = sqrt(tr AB + 2 sqrt(det A det B)), whatever the axes."""
    a, b = torch.tensor([[2.0, 0.7], [0.7, 1.0]]).double(), torch.tensor([[0.5, -0.3], [-0.3, 3.0]]).double()
    zero = torch.zeros(2, dtype=torch.float64)
    x = exactly(zero, torch.linalg.cholesky(a).T, 30)
    y = exactly(zero + 1, torch.linalg.cholesky(b).T, 20, seed=1)
    shared = math.sqrt(float(torch.trace(a @ b)) + 2 * math.sqrt(float(torch.det(a) * torch.det(b))))
    expected = 2 + float(torch.trace(a) + torch.trace(b)) - 2 * shared
    assert distance(x, y) == pytest.approx(expected, rel=1e-9)


@BOTH
@pytest.mark.parametrize("n", [5, 200])
def test_rank_deficient_gaussians_give_the_closed_form(distance, n: int) -> None:  # type: ignore[no-untyped-def]
    """Orthogonal lines in 20 dimensions share nothing, one line shares all; more rows than columns or fewer."""
    width = 20
    line = torch.linspace(-1, 1, n, dtype=torch.float64)[:, None]
    e, f = torch.eye(width, dtype=torch.float64)[0], torch.eye(width, dtype=torch.float64)[7]
    variance = float(line.var())
    assert distance(line * e, line * f) == pytest.approx(2 * variance, rel=1e-9)
    assert distance(line * e, 3 * line * e + 2 * f) == pytest.approx(4 * variance + 4, rel=1e-9)


@BOTH
@pytest.mark.parametrize(("n", "width"), [(40, 8), (5, 20), (20, 20), (21, 20)])
def test_a_set_and_itself_are_zero_and_a_shift_is_its_square(distance, n: int, width: int) -> None:  # type: ignore[no-untyped-def]
    x = drawn(n, width, 3) * 10
    assert distance(x, x.clone()) == pytest.approx(0.0, abs=1e-6)
    assert distance(x, x[torch.randperm(n, generator=torch.Generator().manual_seed(0))]) == pytest.approx(0, abs=1e-6)
    shift = torch.full((width,), 3.0, dtype=torch.float64)
    assert distance(x, x + shift) == pytest.approx(9.0 * width, rel=1e-9)


@BOTH
def test_a_point_has_a_distance(distance) -> None:  # type: ignore[no-untyped-def]
    """A collapsed model's set, all rows equal: its covariance is 0."""
    x, point = drawn(30, 4, 5), torch.full((9, 4), 0.1, dtype=torch.float64)
    expected = float((x.mean(dim=0) - 0.1).square().sum() + x.var(dim=0).sum())
    assert distance(x, point) == pytest.approx(expected, rel=1e-9)
    assert distance(point, point.clone()) == pytest.approx(0.0, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 60), st.integers(2, 60), st.integers(1, 24), st.integers(1, 24), st.floats(0, 4), st.integers(0, 99)
)
def test_moments_equal_the_direct_form(n: int, m: int, width: int, rank: int, decay: float, seed: int) -> None:
    """Also where features are dependent, where their spread falls off by many orders, and where n is about D."""
    mixing = torch.logspace(0, -decay, rank, dtype=torch.float64)[:, None] * drawn(rank, width, seed + 1)
    x, y = drawn(n, rank, seed) @ mixing, drawn(m, rank, seed + 2) @ mixing * 1.3 + 0.2
    scale = float(x.var(dim=0).sum() + y.var(dim=0).sum())
    # Eigenvalues of a covariance are known to its rounding, 1e-16 of the largest; a root of it is 1e-8 of the scale.
    assert by_moments(x, y) == pytest.approx(frechet_distance(x, y), rel=1e-6, abs=1e-7 * scale)


@pytest.mark.parametrize("rank", [3, 7, 8])
def test_coordinates_lead_back_to_the_rows(rank: int) -> None:
    """Whether the root is triangular, as of full rank, or eigenvectors."""
    x = drawn(40, rank, 4) @ drawn(rank, 8, 5) + 2
    moments = Moments(8).add(x)
    assert len(moments.root) == rank
    np.testing.assert_allclose(moments.coordinates(x) @ moments.root, x - x.mean(dim=0), atol=1e-9)
    np.testing.assert_allclose(moments.root.T @ moments.root, moments.covariance, atol=1e-12 * float(x.var()))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 7), st.integers(0, 99))
def test_batches_change_no_digit(sizes: list[int], width: int, seed: int) -> None:
    x = drawn(sum(sizes) + 2, width, seed)
    parts = Moments(width)
    for part in x.split([*sizes, 2]):
        parts.add(part)
    whole = Moments(width).add(x)
    assert parts.n == whole.n == len(x)
    assert torch.equal(parts.mean, whole.mean)
    assert torch.equal(
        parts.covariance if len(x) > width else parts.root, whole.covariance if len(x) > width else whole.root
    )


def test_moments_are_those_of_numpy_in_any_order_and_merged() -> None:
    x = drawn(70, 5, 1) * 3 + 1000
    moments = Moments(5).add(x[:33]).merge(Moments(5).add(x[33:]))
    assert moments.n == 70
    np.testing.assert_allclose(moments.mean, x.numpy().mean(0), rtol=1e-13)
    np.testing.assert_allclose(moments.covariance, np.cov(x.numpy(), rowvar=False), rtol=1e-9)
    np.testing.assert_allclose(Moments(5).add(x.flip(0)).covariance, moments.covariance, rtol=1e-9)
    np.testing.assert_allclose(moments.root.T @ moments.root, moments.covariance, rtol=1e-9)
    twice = moments.merge(moments)
    assert twice.n == 140
    np.testing.assert_allclose(twice.covariance, np.cov(np.tile(x.numpy(), (2, 1)), rowvar=False), rtol=1e-9)


def test_moments_hold_no_more_than_their_bound() -> None:
    moments = Moments(6)
    for _ in range(50):
        moments.add(drawn(7, 6, 0))
        held = sum(part.untyped_storage().nbytes() for part in moments._held)
        assert moments._holding <= 6
        assert held <= 7 * 6 * 8 * 2
    assert moments.n == 350


def test_what_is_asked_in_between_changes_nothing() -> None:
    x = drawn(40, 4, 0)
    plain, asked = Moments(4).add(x), Moments(4)
    for part in x.split(3):
        asked.add(part)
        if asked.n > 1:
            asked.root.sum(), asked.mean.sum()
    assert torch.equal(plain.covariance, asked.covariance)
    assert torch.equal(plain.root, asked.root)


def test_added_rows_are_copied() -> None:
    x = drawn(3, 4, 0)
    moments = Moments(4).add(x)
    before = moments.mean.clone()
    x.zero_()
    assert torch.equal(moments.mean, before)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Moments(0), "width of 1"),
        (lambda: Moments(3).add(torch.zeros(2, 4)), r"\(B, 3\)"),
        (lambda: Moments(3).add(torch.full((2, 3), math.inf)), "not finite"),
        (lambda: Moments(3).merge(Moments(4)), "width 3"),
        (lambda: Moments(3).mean, "no mean"),
        (lambda: Moments(3).add(torch.zeros(1, 3)).covariance, "two samples or more, not 1"),
        (lambda: frechet_of_moments(Moments(3).add(torch.zeros(2, 3)), Moments(3)), "y must have two samples .* not 0"),
        (lambda: by_moments(torch.zeros(2, 3), torch.zeros(2, 4)), "width 3, y of width 4"),
        (lambda: influences(torch.zeros(2, 3), torch.zeros(2)), r"\(N, D\)"),
        (lambda: influences(torch.zeros(2, 3), torch.zeros(2, 3), Moments(3)), "moments of 0 x 3 features"),
        (lambda: influences(torch.zeros(2, 3), torch.zeros(2, 4)), "width 3, y of width 4"),
    ],
)
def test_what_has_no_distance_is_refused(build, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=said):
        build()


def weighted(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    mean = (weights[:, None] * x).sum(dim=0) / len(x)
    return mean, (weights.sqrt()[:, None] * (x - mean)) / (len(x) - 1) ** 0.5


@pytest.mark.parametrize(
    ("n", "m", "width", "rank"), [(7, 9, 12, 12), (30, 25, 4, 4), (30, 5, 8, 8), (30, 25, 8, 3), (30, 25, 8, 7)]
)
def test_influences_are_derivatives(n: int, m: int, width: int, rank: int) -> None:
    """By central differences in each sample's weight, the others' lowered so that the weights' sum stays."""
    mixing = drawn(rank, width, 2)
    x, y = drawn(n, rank, 0) @ mixing, drawn(m, width, 1) * 1.5 + 1
    value, of_x, of_y = influences(x, y)
    assert value == pytest.approx(frechet_distance(x, y), rel=1e-9)

    def at(i: int, j: int, step: float) -> float:
        wx, wy = torch.ones(n, dtype=torch.float64), torch.ones(m, dtype=torch.float64)
        wx = (wx - step * (i >= 0) / n) + (step * torch.eye(n, dtype=torch.float64)[i] if i >= 0 else 0)
        wy = (wy - step * (j >= 0) / m) + (step * torch.eye(m, dtype=torch.float64)[j] if j >= 0 else 0)
        (mx, a), (my, b) = weighted(x, wx), weighted(y, wy)
        shared = torch.linalg.svdvals(a @ b.T).sum()
        return float((mx - my).square().sum() + a.square().sum() + b.square().sum() - 2 * shared)

    step = 1e-4
    for i in range(3):
        assert float(of_x[i]) == pytest.approx((at(i, -1, step) - at(i, -1, -step)) / (2 * step), rel=1e-4, abs=1e-5)
        assert float(of_y[i]) == pytest.approx((at(-1, i, step) - at(-1, i, -step)) / (2 * step), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("n", "width"), [(60, 3), (24, 40)])
def test_the_interval_is_as_wide_as_chance(n: int, width: int) -> None:
    """Against the spread of the distance over fresh sets of videos, whose three frames are alike."""

    def videos(seed: int) -> Tensor:
        return drawn(n // 3, width, seed).repeat_interleave(3, dim=0) + 0.2 * drawn(n, width, seed + 5000)

    def reference(seed: int) -> Tensor:
        return drawn(100, width, seed + 9000) * 1.5 + 0.3

    fresh = [frechet_distance(videos(seed), reference(seed)) for seed in range(120)]
    of = torch.arange(n) // 3
    spans = [frechet_interval(videos(seed), reference(seed), of, draws=100, seed=seed) for seed in range(8)]
    width_of_95 = np.mean([high - low for low, high in filter(None, spans)])
    assert 0.65 < width_of_95 / (np.quantile(fresh, 0.975) - np.quantile(fresh, 0.025)) < 1.35
    alone = frechet_interval(videos(0), reference(0), draws=100)
    assert alone is not None
    assert spans[0] is not None
    assert spans[0].high - spans[0].low > alone.high - alone.low  # frames taken as independent say too little


def test_the_interval_holds_the_value_and_is_of_its_seed() -> None:
    x, y = drawn(20, 30, 0), drawn(25, 30, 1) + 0.5
    one, again, other = (frechet_interval(x, y, seed=seed) for seed in (0, 0, 1))
    assert one == again != other
    assert one is not None
    assert one.low < frechet_distance(x, y) < one.high
    assert frechet_interval(x, y, torch.zeros(20, dtype=torch.long)) is None
    with pytest.raises(ValueError, match="20 rows"):
        frechet_interval(x, y, torch.zeros(19, dtype=torch.long))
