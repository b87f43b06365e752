"""Inception score, manifold scores, the bootstrap and futures against slow twins written another way."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modeling.metrics import manifold
from modeling.metrics.bootstrap import Interval, bootstrap, mean_interval, ratio, ratio_interval, resampled
from modeling.metrics.diversity import best_of_k, diversity, mean_of_futures, mean_pairwise
from modeling.metrics.inception_score import inception_score
from modeling.metrics.manifold import manifold_scores


def drawn(n: int, width: int, seed: int) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def literal_inception_score(logits: Tensor, splits: int) -> tuple[float, float]:
    scores = []
    for part in range(splits):
        rows = logits[part * len(logits) // splits : (part + 1) * len(logits) // splits].tolist()
        labels = []
        for row in rows:
            powers = [math.exp(value - max(row)) for value in row]
            labels.append([power / sum(powers) for power in powers])
        marginal = [sum(column) / len(rows) for column in zip(*labels, strict=True)]
        divergences = [sum(p * math.log(p / q) for p, q in zip(p_x, marginal, strict=True)) for p_x in labels]
        scores.append(math.exp(sum(divergences) / len(rows)))
    return float(np.mean(scores)), float(np.std(scores))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 6), st.integers(0, 99))
def test_inception_score_equals_its_literal_twin(n: int, classes: int, splits: int, seed: int) -> None:
    logits = drawn(n, classes, seed) * 4
    if splits > n:
        with pytest.raises(ValueError, match="a sample a split"):
            inception_score(logits, splits)
    else:
        assert inception_score(logits, splits) == pytest.approx(literal_inception_score(logits, splits), rel=1e-9)


def test_inception_score_has_its_known_ends() -> None:
    """Sure and even over C classes: C. All alike: 1. Huge logits do not overflow."""
    sure = torch.eye(6).repeat(5, 1) * 1e4
    assert inception_score(sure, 5) == pytest.approx((6.0, 0.0))
    assert inception_score(torch.ones(20, 6), 4) == pytest.approx((1.0, 0.0))
    with pytest.raises(ValueError, match="not finite"):
        inception_score(torch.full((20, 6), math.nan))
    with pytest.raises(ValueError, match="splits must be"):
        inception_score(torch.ones(20, 6), 0)


def literal_manifold(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float, float, float]:
    def radius(of: np.ndarray, i: int) -> float:
        return sorted(math.dist(of[i], of[j]) for j in range(len(of)) if j != i)[k - 1]

    N, M = len(real), len(fake)
    inside = [[math.dist(real[i], fake[j]) <= radius(real, i) for j in range(M)] for i in range(N)]
    other = [[math.dist(real[i], fake[j]) <= radius(fake, j) for j in range(M)] for i in range(N)]
    precision = sum(any(inside[i][j] for i in range(N)) for j in range(M)) / M
    recall = sum(any(row) for row in other) / N
    density = sum(inside[i][j] for i in range(N) for j in range(M)) / (k * M)
    coverage = sum(min(math.dist(real[i], y) for y in fake) <= radius(real, i) for i in range(N)) / N
    return precision, recall, density, coverage


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 14), st.integers(4, 14), st.integers(1, 4), st.integers(1, 3), st.integers(0, 999))
def test_manifold_scores_equal_their_literal_twin(n: int, m: int, width: int, k: int, seed: int) -> None:
    real, fake = drawn(n, width, seed), drawn(m, width, seed + 1) * 1.5 + 0.3
    found = manifold_scores(real, fake, k)
    expected = literal_manifold(real.numpy(), fake.numpy(), k)
    assert (found.precision, found.recall, found.density, found.coverage) == pytest.approx(expected)


def test_manifold_scores_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = drawn(50, 6, 0), drawn(61, 6, 1) + 0.4
    whole = manifold_scores(real, fake, 3)
    monkeypatch.setattr(manifold, "ROWS", 7)
    monkeypatch.setattr(manifold, "COLUMNS", 11)
    small = manifold_scores(real, fake, 3)
    for name in ("inside_real", "inside_fake", "density_each", "covered"):
        assert torch.equal(getattr(whole, name), getattr(small, name)), name
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    assert torch.equal(manifold_scores(real[order], fake, 3).covered, whole.covered[order])


def test_manifold_scores_tell_what_they_are_for() -> None:
    real = drawn(60, 3, 0)
    same = manifold_scores(real, real.clone())
    assert (same.precision, same.recall, same.coverage) == (1.0, 1.0, 1.0)
    collapsed = manifold_scores(real, real[:1] + 1e-3 * drawn(60, 3, 1))
    assert collapsed.precision == 1.0
    assert collapsed.recall < 0.1
    assert collapsed.coverage < 0.3
    away = manifold_scores(real, drawn(60, 3, 2) + 100)
    assert (away.precision, away.recall, away.density, away.coverage) == (0.0, 0.0, 0.0, 0.0)
    # One far real sample opens a ball that fools precision and not density.
    outlier = torch.cat([real, torch.full((1, 3), 100.0, dtype=torch.float64)])
    fooled = manifold_scores(outlier, drawn(60, 3, 2) + 50)
    assert fooled.precision > 0.9
    assert fooled.density < 0.25


def test_equal_samples_tie_inside() -> None:
    """Balls of no width hold their own points, far from 0 and in blocks too."""
    real = torch.cat([torch.full((7, 5), 0.1), torch.full((7, 5), 1000.3)]).double()
    scores = manifold_scores(real, real.flip(0))
    assert (scores.precision, scores.recall, scores.coverage) == (1.0, 1.0, 1.0)
    assert scores.density == pytest.approx(7 / 5)


@pytest.mark.parametrize(
    ("real", "fake", "k", "said"),
    [
        (torch.zeros(5, 2), torch.zeros(9, 2), 5, "more than k = 5"),
        (torch.zeros(9, 2), torch.zeros(0, 2), 5, "fake must"),
        (torch.zeros(9, 2), torch.zeros(9, 3), 5, "width 2, fake of width 3"),
        (torch.zeros(9, 2), torch.full((9, 2), math.nan), 5, "fake holds"),
        (torch.zeros(9, 2), torch.zeros(9, 2), 0, "k must be"),
    ],
)
def test_manifold_scores_refuse_what_has_none(real: Tensor, fake: Tensor, k: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        manifold_scores(real, fake, k)


def test_the_bootstrap_takes_whole_videos_by_its_seed() -> None:
    seen: list[Tensor] = []
    values = drawn(40, 1, 0)[:, 0]

    def statistic(chosen: Tensor) -> float:
        seen.append(chosen)
        return float(values[chosen].mean())

    one = bootstrap(statistic, 40, draws=400, seed=3)
    assert len(seen) == 400
    assert all(len(chosen) == 40 and chosen.min() >= 0 and chosen.max() < 40 for chosen in seen)
    assert torch.equal(seen[7], resampled(40, 7, 3))  # a draw does not depend on those before it
    assert one == mean_interval(values, draws=400, seed=3) != mean_interval(values, draws=400, seed=4)
    assert one is not None
    error = float(values.std()) / 40**0.5
    assert one.high - one.low == pytest.approx(2 * 1.96 * error, rel=0.2)
    assert one.low < float(values.mean()) < one.high


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=20), st.integers(0, 99))
def test_values_of_one_video_are_drawn_together(videos: list[int], seed: int) -> None:
    """As the ratio of the videos' own sums, whatever the order and the numbers of the videos."""
    above, below = drawn(len(videos), 1, seed)[:, 0], drawn(len(videos), 1, seed + 1)[:, 0].square()
    names = sorted(set(videos))
    sums = [
        [float(sum(part[i] for i, of in enumerate(videos) if of == name)) for name in names] for part in (above, below)
    ]
    expected = ratio_interval(torch.tensor(sums[0]), torch.tensor(sums[1]), draws=50)
    found = ratio_interval(above, below, torch.tensor(videos) * 7, draws=50)
    assert (found is None) == (len(names) < 2) == (expected is None)
    if found is not None:
        assert found == pytest.approx(expected, rel=1e-5)


def test_the_bootstrap_leaves_out_what_is_undefined() -> None:
    assert bootstrap(lambda chosen: 1.0, 1) is None
    assert bootstrap(lambda chosen: math.nan, 5) is None
    assert mean_interval(torch.tensor([1.0, math.nan, 1.0])) == Interval(1.0, 1.0)
    assert mean_interval(torch.full((4,), math.nan)) is None
    assert ratio_interval(torch.tensor([1.0, 2.0, 9.0]), torch.tensor([2.0, 4.0, math.nan])) == Interval(0.5, 0.5)
    assert ratio(torch.tensor([1.0, 5.0]), torch.tensor([2.0, 0.0])) == 3.0
    assert math.isnan(ratio(torch.tensor([1.0]), torch.tensor([0.0])))
    with pytest.raises(ValueError, match="level"):
        mean_interval(torch.ones(3), level=95)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.booleans(), st.integers(0, 99))
def test_best_of_k_is_the_mean_over_all_choices(futures: int, k: int, higher: bool, seed: int) -> None:
    scores = drawn(3, futures, seed)
    if k > futures:
        with pytest.raises(ValueError, match="k must lie"):
            best_of_k(scores, k, higher_is_better=higher)
        return
    best = max if higher else min
    expected = [np.mean([best(some) for some in itertools.combinations(row, k)]) for row in scores.tolist()]
    assert best_of_k(scores, k, higher_is_better=higher).tolist() == pytest.approx(expected)


def test_futures_without_a_score() -> None:
    scores = torch.tensor([[1.0, math.nan, 3.0], [math.nan] * 3, [math.inf, 2.0, 1.0]])
    assert best_of_k(scores, higher_is_better=True)[0] == 3.0
    assert best_of_k(scores, higher_is_better=False)[0] == 1.0
    assert best_of_k(scores, higher_is_better=True)[1].isnan()
    assert best_of_k(scores, higher_is_better=True)[2] == math.inf
    assert mean_of_futures(scores)[0] == 2.0
    assert mean_of_futures(scores)[1].isnan()


def test_diversity_is_the_mean_difference_of_pairs() -> None:
    random = np.random.default_rng(0)
    futures = random.integers(0, 256, (2, 4, 3, 5, 6, 3), dtype=np.uint8)
    expected = []
    for image in futures.astype(float):
        pairs = [np.sqrt(np.mean((a - b) ** 2)) for a, b in itertools.combinations(image, 2)]
        expected.append(np.mean(pairs))
    assert diversity(torch.from_numpy(futures)).tolist() == pytest.approx(expected)
    assert diversity(torch.from_numpy(futures[:, :1].repeat(3, axis=1))).tolist() == [0.0, 0.0]
    assert mean_pairwise(torch.tensor([[0.0, 0.0], [3.0, 4.0]])) == 5.0
    with pytest.raises(ValueError, match="two futures"):
        diversity(torch.from_numpy(futures[:, :1]))
    with pytest.raises(ValueError, match="futures must be"):
        diversity(torch.from_numpy(futures[0, 0]))
