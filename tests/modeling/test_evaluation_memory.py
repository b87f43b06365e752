"""Sets that stand on the disk are read a block at a time, and the blocks change no number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modeling.evaluation import distances, scores
from modeling.evaluation.distances import moments, neighbours, room_for, score_of_classes
from modeling.evaluation.scores import pearson
from modeling.metrics import inception_score as of_classes
from modeling.metrics import manifold
from modeling.metrics.bootstrap import bootstrap
from modeling.metrics.inception_score import inception_score, resampled_scores
from modeling.training.seeding import derived


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of feature vectors that torch turns into float64 at a time."""
    lengths: list[int] = []
    double, to = torch.Tensor.double, torch.Tensor.to

    def counted(tensor: Tensor) -> Tensor:
        lengths.append(len(tensor) if tensor.dim() > 1 else 1)
        return double(tensor)

    def counted_to(tensor: Tensor, *arguments: Any, **options: Any) -> Tensor:
        if torch.float64 in arguments:
            lengths.append(len(tensor) if tensor.dim() > 1 else 1)
        return to(tensor, *arguments, **options)

    monkeypatch.setattr(torch.Tensor, "double", counted)
    monkeypatch.setattr(torch.Tensor, "to", counted_to)
    return lengths


def on_disk(path: Path, shape: tuple[int, ...], seed: int) -> np.ndarray:
    made = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    made[:] = np.random.default_rng(seed).standard_normal(shape)
    made.flush()
    return np.load(path, mmap_mode="c")


def test_large_sets_are_never_held_in_float64(tmp_path: Path, doubled: list[int]) -> None:
    real, fake = (on_disk(tmp_path / f"{seed}.npy", (1300, 4, 6), seed) for seed in range(2))
    known = moments(real)
    distances.frechet(real, fake, known, draws=20, seed=0)
    distances.each_step(real, known, fake, pooled=True, first=0)
    score_of_classes(fake, 10, draws=20, seed=0)
    assert 64 <= max(doubled) <= 1024
    doubled.clear()
    neighbours(real, fake, 5)
    assert 512 <= max(doubled) <= manifold.COLUMNS


def literal(logits: Tensor, splits: int) -> float:
    """The mean score of consecutive parts, by its definition."""
    parts = []
    for part in range(splits):
        p = torch.softmax(logits[part * len(logits) // splits : (part + 1) * len(logits) // splits].double(), dim=1)
        parts.append(float((p * (p.log() - p.mean(dim=0).log())).sum(dim=1).mean().exp()))
    return float(np.mean(parts))


@settings(max_examples=20, deadline=None)
@given(st.integers(5, 60), st.integers(1, 5), st.integers(1, 20), st.integers(0, 99))
def test_the_score_of_classes_does_not_depend_on_its_blocks(n: int, splits: int, rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, 6, generator=generator) * 3
    order = torch.randperm(n, generator=generator)
    videos = torch.randint(4, (n,), generator=generator)
    times = torch.randint(1, 3, (3, 4), generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(of_classes, "ROWS", rows)
        assert inception_score(logits, splits)[0] == pytest.approx(literal(logits, splits), rel=1e-12)
        assert inception_score(logits, splits, order)[0] == pytest.approx(literal(logits[order], splits), rel=1e-12)
        found = resampled_scores(logits, videos, times, splits, order)
    mixed = logits[order]
    for row, value in zip(times, found.tolist(), strict=True):
        copies = mixed.repeat_interleave(row[videos[order]], dim=0)
        assert value == pytest.approx(literal(copies, splits), rel=1e-12)


def test_a_resample_without_enough_samples_has_no_score() -> None:
    logits, videos = torch.eye(4), torch.tensor([0, 0, 1, 1])
    times = torch.tensor([[1, 1], [1, 0], [0, 0]])
    values = resampled_scores(logits, videos, times, 3).tolist()
    assert values[0] > 1 and math.isnan(values[1]) and math.isnan(values[2])
    with pytest.raises(ValueError, match="4 samples, but videos are named for 3"):
        resampled_scores(logits, videos[:3], times, 3)


def test_the_interval_of_the_score_is_that_of_whole_videos_drawn_anew() -> None:
    logits = np.random.default_rng(3).normal(size=(12, 3, 5)).astype(np.float32) * 2
    value, deviation, interval = score_of_classes(logits, 4, draws=30, seed=7)
    rows = torch.from_numpy(logits.reshape(-1, 5))
    order = torch.from_numpy(np.random.Generator(np.random.Philox(derived(7, "parts"))).permutation(36))
    mixed, videos = rows[order], torch.arange(12).repeat_interleave(3)[order]

    def drawn(chosen: Tensor) -> float:
        return literal(mixed.repeat_interleave(torch.bincount(chosen, minlength=12)[videos], dim=0), 4)

    wanted = bootstrap(drawn, 12, draws=30, seed=7)
    assert value == pytest.approx(literal(mixed, 4), rel=1e-12) and deviation > 0
    assert wanted is not None and interval is not None
    assert tuple(interval) == pytest.approx(tuple(wanted), rel=1e-12)
    assert score_of_classes(logits, 4, draws=0, seed=7) == (value, deviation, None)


def test_correlation_does_not_depend_on_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(23, 4, 4)) + 7
    y = 0.4 * x + rng.normal(size=(23, 4, 4))
    wanted = np.corrcoef(x.ravel(), y.ravel())[0, 1]
    for block in (1, 5, 23, 64):
        monkeypatch.setattr(scores, "BLOCK", block)
        assert pearson(x, y) == pytest.approx(wanted, rel=1e-12)
    assert pearson(np.zeros((23, 4, 4)), y) is None


def test_room_for_much_is_on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    small = room_for((3, 4), np.dtype(np.float32))
    assert not isinstance(small, np.memmap)
    monkeypatch.setattr(distances, "IN_MEMORY", 40)
    large = room_for((3, 4), np.dtype(np.float32))
    assert isinstance(large, np.memmap) and large.shape == (3, 4)
    large[:] = 2
    assert float(large.sum()) == 24
