"""Precision and recall (Kynkaanniemi et al. 2019, Eq. 2 and 3), density and coverage (Naeem et al. 2020, Eq. 5 and 6).

A set's manifold is the union of balls around its samples, each as wide as the way to that sample's k-th nearest other.
Letters: N real and M generated samples, D features. A tie counts as inside, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

ROWS, COLUMNS = 512, 4096  # that are held at a time in float64: 16 MiB of distances, and their features
TIE = 1e-12  #               of the squared lengths: what the squares' sums may differ by


@dataclass(frozen=True, kw_only=True)
class ManifoldScores:
    """The four scores, and each sample's share of them, of which each score is the mean."""

    inside_real: Tensor  #   (M,) 1 where a generated sample lies in a real ball
    inside_fake: Tensor  #   (N,) 1 where a real sample lies in a generated ball
    density_each: Tensor  #  (M,) number of real balls around each generated sample, over k
    covered: Tensor  #       (N,) 1 where a real sample's own ball holds a generated one

    @property
    def precision(self) -> float:
        """Share of the generated samples that lie in a real ball."""
        return float(self.inside_real.mean())

    @property
    def recall(self) -> float:
        """Share of the real samples that lie in a generated ball."""
        return float(self.inside_fake.mean())

    @property
    def density(self) -> float:
        """Real balls around a generated sample over k: may exceed 1, and is not fooled by one far-off real sample."""
        return float(self.density_each.mean())

    @property
    def coverage(self) -> float:
        """Share of the real samples whose ball holds a generated one."""
        return float(self.covered.mean())


def manifold_scores(real_ND: Tensor, fake_MD: Tensor, k: int = 5) -> ManifoldScores:
    """The scores with balls up to the k-th neighbour (5 in Naeem et al., 3 in Kynkaanniemi et al.).

    Computed in float64, a block of features and distances at a time: beside the features, memory grows with N + M
    only. ValueError for k or fewer samples, differing widths or values that are not finite.
    """
    if k < 1:
        raise ValueError(f"k must be 1 or more, not {k}")
    for name, features in (("real", real_ND), ("fake", fake_MD)):
        if features.dim() != 2 or len(features) <= k:
            raise ValueError(f"{name} must be (N, D) with more than k = {k} samples, not {tuple(features.shape)}")
        if not all(bool(part.isfinite().all()) for part in torch.split(features, ROWS)):
            raise ValueError(f"{name} holds features that are not finite")
    if real_ND.shape[1] != fake_MD.shape[1]:
        raise ValueError(f"real has features of width {real_ND.shape[1]}, fake of width {fake_MD.shape[1]}")
    centre = _mean(real_ND)  # short vectors: less is lost in the squares
    real, fake = _Centred(real_ND, centre), _Centred(fake_MD, centre)
    real_radius, fake_radius = _radii(real, k), _radii(fake, k)
    N, M = len(real), len(fake)
    inside_real, inside_fake = torch.zeros(M, dtype=torch.bool), torch.zeros(N, dtype=torch.bool)
    covered, around = torch.zeros(N, dtype=torch.bool), torch.zeros(M, dtype=torch.int64)
    for rows, columns, squares in _blocks(real, fake):
        in_real_ball = squares <= real_radius[rows, None]
        covered[rows] |= in_real_ball.any(dim=1)
        inside_real[columns] |= in_real_ball.any(dim=0)
        around[columns] += in_real_ball.sum(dim=0)
        inside_fake[rows] |= (squares <= fake_radius[None, columns]).any(dim=1)
    return ManifoldScores(
        inside_real=inside_real.double(),
        inside_fake=inside_fake.double(),
        density_each=around.double() / k,
        covered=covered.double(),
    )


class _Centred:
    """Features less a centre, in float64 a block at a time, so that a set on the disk is never copied as a whole."""

    def __init__(self, x_ND: Tensor, centre_D: Tensor) -> None:
        self._x, self._centre = x_ND.detach(), centre_D
        parts = (slice(start, start + ROWS) for start in range(0, len(x_ND), ROWS))
        self.squares = torch.cat([self[part].square().sum(dim=1) for part in parts])

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, part: slice) -> Tensor:
        return self._x[part].cpu().double() - self._centre


def _mean(x_ND: Tensor) -> Tensor:
    total = torch.zeros(x_ND.shape[1], dtype=torch.float64)
    for start in range(0, len(x_ND), ROWS):
        total += x_ND[start : start + ROWS].detach().cpu().double().sum(dim=0)
    return total / len(x_ND)


def _radii(x: _Centred, k: int) -> Tensor:
    """(N,) squared way to the k-th nearest other sample, with room for a tie."""
    nearest = torch.full((len(x), k), torch.inf, dtype=torch.float64)
    for rows, columns, squares in _blocks(x, x):
        own = torch.arange(rows.start, rows.stop)[:, None] == torch.arange(columns.start, columns.stop)[None]
        others = torch.cat([nearest[rows], squares.masked_fill(own, torch.inf)], dim=1)
        nearest[rows] = others.topk(k, dim=1, largest=False).values
    return nearest[:, -1] + TIE * x.squares.max()


def _blocks(x: _Centred, y: _Centred) -> Iterator[tuple[slice, slice, Tensor]]:
    """Squared distances, a block at a time: which rows of x, which of y, and their distances."""
    for left in range(0, len(y), COLUMNS):
        columns = slice(left, min(left + COLUMNS, len(y)))
        y_BD = y[columns]
        for top in range(0, len(x), ROWS):
            rows = slice(top, min(top + ROWS, len(x)))
            squares = x.squares[rows, None] + y.squares[None, columns] - 2 * (x[rows] @ y_BD.T)
            yield rows, columns, squares.clamp(min=0)
