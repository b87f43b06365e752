"""What can be learned from the curator's decisions: a logistic regression on the clips' features.

Standardised features, ridge penalty. Small and linear on purpose: it is refitted after every batch, and each proposal
can be explained by its largest terms. How good it is, is told on decisions that it was not fitted on, in folds that
keep the clips of a video together.

What was judged so far is a biased sample, as the suspicious come first. So some clips that nobody has judged yet stand
in for good ones, which most are, at a small weight: without them, all looks bad after a batch of rejects.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from curation.ranking import appearance

LEAST_OF_EACH = 5  # rejected and kept clips, before anything is learned
FOLDS = 5
PENALTY = 1.0  # C of scikit-learn: small is strict
PROPOSED = 0.5
UNJUDGED = 0.1  # weight of a clip that stands in for a good one
TWO_SIDED = frozenset(appearance.NAMES)  # features of which less is as telling as more


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """How the model's proposals compare with decisions it did not learn from."""

    decisions: int
    proposed: int
    rejected: int
    both: int

    @property
    def precision(self) -> float | None:
        """Share of the proposed rejects that the curator rejected."""
        return self.both / self.proposed if self.proposed else None

    @property
    def recall(self) -> float | None:
        """Share of the curator's rejects that were proposed."""
        return self.both / self.rejected if self.rejected else None


class Learned:
    """A fitted model."""

    def __init__(
        self,
        features: NDArray[np.float32],
        rejected: NDArray[np.bool_],
        names: Sequence[str],
        unjudged: NDArray[np.float32] | None = None,
    ) -> None:
        """Fit on (N, F) features, NaN where missing, of N decided clips, at least one of each kind.

        `unjudged`: (M, F), of clips that stand in for good ones.
        """
        if unjudged is None:
            unjudged = features[:0]
        weights = np.repeat([1.0, UNJUDGED], [len(features), len(unjudged)])
        features = np.concatenate([features, unjudged])
        rejected = np.concatenate([rejected, np.zeros(len(unjudged), bool)])
        self.names = tuple(names)
        self._one_sided = np.array([name not in TWO_SIDED for name in names], bool)
        with warnings.catch_warnings():
            # A column that no clip has, or that never changes, carries nothing.
            warnings.simplefilter("ignore", RuntimeWarning)
            mean, deviation = np.nanmean(features, axis=0), np.nanstd(features, axis=0)
        self._mean = np.nan_to_num(mean).astype(np.float32)
        self._scale = np.where(np.nan_to_num(deviation) > 1e-9, deviation, np.inf).astype(np.float32)
        model = LogisticRegression(C=PENALTY, max_iter=200)
        # More threads than one cost thirty times the fit of so small a model where other processes are busy.
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(self._standard(features), rejected, weights)
        self._weights: NDArray[np.float64] = model.coef_[0]
        self._bias = float(model.intercept_[0])

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N,) probability that each clip is a reject."""
        logit = self._standard(features) @ self._weights + self._bias
        probability: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        return probability

    def reasons(self, features: NDArray[np.float32], most: int = 2) -> list[list[str]]:
        """For each clip what speaks most for a reject: names of features of which it has much, or "less" and a name.

        Of features that only tell of something amiss, to have less than others is no reason that could be shown.
        """
        standard = self._standard(features)
        terms = standard * self._weights
        terms[:, self._one_sided] = np.where(standard > 0, terms, 0)[:, self._one_sided]
        order = np.argsort(-terms, axis=1)[:, :most]
        return [
            [
                self.names[column] if standard[number, column] > 0 else f"less {self.names[column]}"
                for column in row
                if terms[number, column] > 0
            ]
            for number, row in enumerate(order)
        ]

    @property
    def weightiest(self) -> list[str]:
        """The features that weigh most towards a reject."""
        return [self.names[column] for column in np.argsort(-self._weights)[:3] if self._weights[column] > 0]

    def _standard(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled = features - self._mean
        scaled /= self._scale
        np.clip(scaled, -8, 8, out=scaled)
        return np.asarray(np.nan_to_num(scaled, copy=False), np.float32)


def learn(
    features: NDArray[np.float32],
    rejected: NDArray[np.bool_],
    names: Sequence[str],
    unjudged: NDArray[np.float32] | None = None,
) -> Learned | None:
    """The model for these decisions, or None while there are too few of either kind."""
    if min(int(rejected.sum()), int((~rejected).sum())) < LEAST_OF_EACH:
        return None
    return Learned(features, rejected, names, unjudged)


def held_out(
    features: NDArray[np.float32],
    rejected: NDArray[np.bool_],
    videos: Sequence[str],
    names: Sequence[str],
    unjudged: NDArray[np.float32] | None = None,
) -> HeldOut | None:
    """Cross-validation by video: each decision is predicted by a model that saw no clip of its video.

    None where there are too few videos or decisions.
    """
    groups = np.unique(np.array(videos), return_inverse=True)[1]
    if len(rejected) == 0 or groups.max() + 1 < 2:
        return None
    folds = GroupKFold(n_splits=min(FOLDS, int(groups.max()) + 1))
    proposed = np.zeros(len(rejected), bool)
    seen = np.zeros(len(rejected), bool)
    for train, test in folds.split(features, rejected, groups):
        model = learn(features[train], rejected[train], names, unjudged)
        if model is not None:
            proposed[test] = model.probability(features[test]) >= PROPOSED
            seen[test] = True
    if not seen.any():
        return None
    return HeldOut(
        decisions=int(seen.sum()),
        proposed=int(proposed.sum()),
        rejected=int(rejected[seen].sum()),
        both=int((proposed & rejected & seen).sum()),
    )
