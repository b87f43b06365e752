"""Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017, Eq. 6; the thesis's Eq. 4.1).

Letters: N and M samples, B of a batch, D features, R the rank of a covariance.
"""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 1024  # that are copied at a time


def frechet_distance(x_ND: Tensor, y_MD: Tensor) -> float:
    """|mu_x - mu_y|^2 + tr(C_x) + tr(C_y) - 2 tr((C_x C_y)^(1/2)), with the unbiased covariances C.

    x_ND, y_MD: a row a sample, any real type; computed in float64. The last trace is the sum of the singular values of
    A B', A and B being centred features over sqrt(n - 1): no covariance and no matrix square root is formed, so sets
    smaller than D are no harder than others. Never below 0. A set of equal rows is a point: its covariance is 0.
    ValueError for fewer than two samples, differing widths or values that are not finite.
    """
    for name, features in (("x", x_ND), ("y", y_MD)):
        if features.dim() != 2 or len(features) < 2:
            raise ValueError(f"{name} must be (N, D) with two samples or more, not {tuple(features.shape)}")
        if not bool(features.isfinite().all()):
            raise ValueError(f"{name} holds features that are not finite")
    if x_ND.shape[1] != y_MD.shape[1]:
        raise ValueError(f"x has features of width {x_ND.shape[1]}, y of width {y_MD.shape[1]}")
    mean_x, root_x = _moments(x_ND)
    mean_y, root_y = _moments(y_MD)
    return _distance(mean_x, root_x, mean_y, root_y, float(torch.linalg.svdvals(root_x @ root_y.T).sum()))


class Moments:
    """Count, mean and second moment of features that come in batches, in float64, in memory bounded whatever n.

    Up to D rows are held as they came, which is less than their covariance and loses nothing; each further D rows are
    folded into the centred second moment (Chan, Golub and LeVeque 1983), so that how rows were split into batches
    changes no digit. Never more than D rows and four D x D matrices.
    """

    def __init__(self, width: int) -> None:
        if width < 1:
            raise ValueError(f"features have a width of 1 or more, not {width}")
        self.width = width
        self.n = 0
        self._folded = 0
        self._mean_D = torch.zeros(width, dtype=torch.float64)
        self._scatter_DD: Tensor | None = None  # sum of (x - mean)(x - mean)' of the folded rows
        self._held: list[Tensor] = []
        self._holding = 0
        self._whole: tuple[int, Tensor, Tensor] | None = None  # all rows' count, mean and scatter, once asked for
        self._root_RD: Tensor | None = None
        self._triangular = False  # the root, once it is known

    def add(self, x_BD: Tensor) -> Moments:
        """Take in a batch, of 0 rows or more. ValueError for another width, or values that are not finite."""
        if x_BD.dim() != 2 or x_BD.shape[1] != self.width:
            raise ValueError(f"features must be (B, {self.width}), not {tuple(x_BD.shape)}")
        parts = [x_BD[start : start + ROWS].detach() for start in range(0, len(x_BD), ROWS)]
        if not all(bool(part.isfinite().all()) for part in parts):
            raise ValueError("the batch holds features that are not finite")
        self._whole = self._root_RD = None
        for part in parts:  # a batch may be a whole set on the disk: never copied as one
            self._take(part.to("cpu", torch.float64, copy=True))
        return self

    def merge(self, other: Moments) -> Moments:
        """Take in what `other` has seen; it stays as it is. Equal to having seen its rows here, to rounding."""
        if other.width != self.width:
            raise ValueError(f"features of width {self.width} do not merge with those of width {other.width}")
        held, folded = list(other._held), other._folded  # before anything changes: `other` may be this one
        if other._scatter_DD is not None:
            self._join(folded, other._mean_D, other._scatter_DD)
            self.n += folded
        for part in held:
            self.add(part)
        self._whole = self._root_RD = None
        return self

    @property
    def mean(self) -> Tensor:
        """(D,) float64. ValueError where nothing was added."""
        if self.n == 0:
            raise ValueError("no samples were added: they have no mean")
        if self._scatter_DD is None:
            return torch.cat(self._held).mean(dim=0)
        return self._joined()[1]

    @property
    def covariance(self) -> Tensor:
        """(D, D) float64, unbiased. ValueError for fewer than two samples."""
        self.require_two("x")
        return self._joined()[2] / (self.n - 1)

    @property
    def root(self) -> Tensor:
        """(R, D) float64 whose R'R is the covariance; kept until more is added.

        Of D samples and fewer: the centred rows. Of more: the covariance's Cholesky factor; where its rank is not full,
        its eigenvectors, those left out whose eigenvalues are rounding of 0. ValueError for fewer than two samples.
        """
        self.require_two("x")
        if self._root_RD is None:
            if self._scatter_DD is None:
                rows = torch.cat(self._held)
                self._root_RD = (rows - rows.mean(dim=0)) / (self.n - 1) ** 0.5
            else:
                self._root_RD, self._triangular = _root_of(self.covariance)
        return self._root_RD

    def coordinates(self, x_BD: Tensor) -> Tensor:
        """(B, R) z with z root = x - mean, for rows x of a set of more than D samples."""
        root, centred = self.root, x_BD.detach().cpu().double() - self.mean
        if self._triangular:
            solved: Tensor = torch.linalg.solve_triangular(root, centred, upper=True, left=False)
            return solved
        # Eigenvectors, each as long as the root of its eigenvalue: z = (x - mean) R' (R R')^-1.
        return (centred @ root.T) / root.square().sum(dim=1)

    def require_two(self, name: str) -> None:
        """ValueError, that names the set, where there is no covariance."""
        if self.n < 2:
            raise ValueError(f"{name} must have two samples or more, not {self.n}")

    def _take(self, rows: Tensor) -> None:
        while len(rows):
            part, rows = rows[: self.width - self._holding], rows[self.width - self._holding :]
            # Full only once another row comes: D rows and fewer stay as they are.
            if not len(part):
                self._fold()
                continue
            self._held.append(part)
            self._holding += len(part)
            self.n += len(part)

    def _fold(self) -> None:
        self._folded, self._mean_D, self._scatter_DD = self._joined()
        self._held, self._holding, self._whole = [], 0, None

    def _join(self, n: int, mean_D: Tensor, scatter_DD: Tensor) -> None:
        self._folded, self._mean_D, self._scatter_DD = _together(
            self._folded, self._mean_D, self._scatter_DD, n, mean_D, scatter_DD
        )

    def _joined(self) -> tuple[int, Tensor, Tensor]:
        """Everything seen, the held rows too, without folding them: asking changes nothing."""
        if not self._held:
            assert self._scatter_DD is not None
            return self._folded, self._mean_D, self._scatter_DD
        if self._whole is None:
            rows = torch.cat(self._held)
            mean = rows.mean(dim=0)
            centred = rows - mean
            self._whole = _together(self._folded, self._mean_D, self._scatter_DD, len(rows), mean, centred.T @ centred)
        return self._whole


def frechet_of_moments(a: Moments, b: Moments) -> float:
    """The distance of two sets by their moments: `frechet_distance` of their rows, to rounding.

    Roots of the covariances are kept, so that one reference serves many sets.
    ValueError for fewer than two samples, or differing widths.
    """
    return distance_of(a, b, float(torch.linalg.svdvals(crossed(a, b)).sum()))


def crossed(a: Moments, b: Moments) -> Tensor:
    """A B' (R_a, R_b) of the roots, the sum of whose singular values is tr((C_a C_b)^(1/2)).

    ValueError for fewer than two samples, or differing widths.
    """
    a.require_two("x")
    b.require_two("y")
    if a.width != b.width:
        raise ValueError(f"x has features of width {a.width}, y of width {b.width}")
    return a.root @ b.root.T


def distance_of(a: Moments, b: Moments, shared: float) -> float:
    """The distance, where tr((C_a C_b)^(1/2)) is known."""
    return _distance(a.mean, a.root, b.mean, b.root, shared)


def _root_of(covariance_DD: Tensor) -> tuple[Tensor, bool]:
    """(R, D), and whether it is triangular: so where the rank is full, at a tenth of what eigenvectors cost."""
    rounding = len(covariance_DD) * torch.finfo(torch.float64).eps
    factor, failed = torch.linalg.cholesky_ex(covariance_DD)
    pivots = factor.diagonal().square()
    if not int(failed) and bool(pivots.min() > rounding * covariance_DD.diagonal().max()):
        return factor.T.contiguous(), True
    values, vectors = torch.linalg.eigh(covariance_DD)
    kept = values > values[-1].clamp(min=0) * rounding
    return (vectors[:, kept] * values[kept].sqrt()).T.contiguous(), False


def _together(
    n: int, mean_D: Tensor, scatter_DD: Tensor | None, m: int, other_D: Tensor, other_DD: Tensor
) -> tuple[int, Tensor, Tensor]:
    if scatter_DD is None:
        return m, other_D, other_DD
    apart = other_D - mean_D
    total = n + m
    scatter = scatter_DD + other_DD + torch.outer(apart, apart) * (n * m / total)
    return total, mean_D + apart * (m / total), scatter


def _distance(mean_x: Tensor, root_x: Tensor, mean_y: Tensor, root_y: Tensor, shared: float) -> float:
    spread = float(root_x.square().sum() + root_y.square().sum())  # the two covariances' traces
    return max(0.0, float((mean_x - mean_y).square().sum()) + spread - 2 * shared)


def _moments(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and a root R of the covariance, C = R'R, with at most D rows."""
    x_ND = x_ND.detach().double().cpu()
    mean = x_ND.mean(dim=0)
    centred = (x_ND - mean) / (len(x_ND) - 1) ** 0.5
    if len(centred) > centred.shape[1]:
        centred = torch.linalg.qr(centred, mode="r").R
    return mean, centred
