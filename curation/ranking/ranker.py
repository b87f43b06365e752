"""What the grid asks for the next clips: a ranker by suspicion, and one that learns as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from curation.ranking.features import COPIES, Features
from curation.ranking.suspicion import DUPLICATE, HINTED, Bounds, suspicion, word
from db.models import Decision
from db.verdicts import standing

if TYPE_CHECKING:
    from curation.ranking.learning import HeldOut, Learned

UNSEEN = ("unreviewed", "manifest")  # annotators that looked at nothing
HALF_WAY = 5  # rejects from which on the model counts as much as suspicion does


class Ranked(NamedTuple):
    """A clip with what is shown of its rank: `suggestion` in [0, 1], from 0.5 on a proposed reject."""

    clip_id: str
    suggestion: float
    hint: str | None


class SuspicionRanker:
    """Clips nearest to, or beyond, the bounds of their scores first. `told` is a line for the status pane."""

    told = ""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._features = Features(scores=bounds.names)

    def rank(self, session: Session, clips: Sequence[str], limit: int) -> list[Ranked]:
        """The `limit` most suspicious of `clips`, the worst first; equal ones in the order given."""
        self._features.load(session)
        found, matrix = self._features.of(clips)
        told, hints = self._suspicion(found, matrix)
        return self._listed(found, told, hints, limit)

    def _suspicion(
        self, clips: Sequence[str], matrix: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], list[str | None]]:
        number = len(self._bounds.names)
        told = suspicion(matrix[:, :number], self._bounds)
        later = [
            scene is not None and scene != clip
            for clip, scene in ((clip, self._features.scenes[self._features.row[clip]]) for clip in clips)
        ]
        copies = np.where(later, DUPLICATE, 0.0)
        told = np.column_stack([told, copies])
        names = (*self._bounds.names, COPIES)
        worst = told.argmax(axis=1) if len(clips) else np.zeros(0, int)
        most = told.max(axis=1, initial=0.0)
        # Several half-suspicious scores are worse than one: a little for the rest breaks ties.
        rest = told.sum(axis=1) - most
        hints = [word(names[column]) if value >= HINTED else None for column, value in zip(worst, most, strict=True)]
        return np.minimum(most + 0.01 * rest, 0.999), hints

    @staticmethod
    def _listed(
        clips: Sequence[str], told: NDArray[np.float64], hints: Sequence[str | None], limit: int
    ) -> list[Ranked]:
        order = np.argsort(-told, kind="stable")[:limit]
        return [Ranked(clips[row], round(float(told[row]), 4), hints[row]) for row in order]


class LearningRanker(SuspicionRanker):
    """Learns from the decisions made so far, and blends that with suspicion while they are few."""

    def __init__(self, bounds: Bounds, *, decided: Callable[[Session], dict[str, bool]] | None = None) -> None:
        """`decided` gives each judged clip and whether it was rejected; by default the catalogue's decisions."""
        super().__init__(bounds)
        self._decided = decided or People()
        self.model: Learned | None = None
        self.held_out: HeldOut | None = None

    def rank(self, session: Session, clips: Sequence[str], limit: int) -> list[Ranked]:
        """The `limit` likeliest rejects of `clips`, the likeliest first."""
        self._features.load(session)
        self.refit(session)
        found, matrix = self._features.of(clips)
        told, hints = self._suspicion(found, matrix)
        if self.model is not None and found:
            share = self._rejects / (self._rejects + HALF_WAY)
            told = share * self.model.probability(matrix) + (1 - share) * told
        ranked = self._listed(found, told, hints, limit)
        if self.model is None or not ranked:
            return ranked
        _, rows = self._features.of([each.clip_id for each in ranked])
        return [
            each if each.hint or each.suggestion < HINTED else each._replace(hint=", ".join(map(word, names)) or None)
            for each, names in zip(ranked, self.model.reasons(rows), strict=True)
        ]

    def refit(self, session: Session) -> None:
        """Fit the model to all decisions that stand, and test it on held-out ones."""
        # Here, not above: scikit-learn is an extra, and takes a second to import.
        from curation.ranking.learning import held_out, learn

        decided = self._decided(session)
        found, matrix = self._features.of(sorted(decided))
        rejected = np.array([decided[clip] for clip in found], bool)
        self._rejects = int(rejected.sum())
        self.model = learn(matrix, rejected, self._features.columns) if found else None
        self.held_out = None
        if self.model is not None:
            videos = [self._features.videos[self._features.row[clip]] for clip in found]
            self.held_out = held_out(matrix, rejected, videos, self._features.columns)
        self.told = self._tell(len(found))

    def _tell(self, decisions: int) -> str:
        if self.model is None:
            return f"nothing learned yet from {decisions:,} decisions: ordered by suspicion"
        line = f"learned from {decisions:,} decisions"
        if self.held_out is not None:
            precision, recall = self.held_out.precision, self.held_out.recall
            line += (
                f"; on held-out ones precision {'-' if precision is None else f'{precision:.0%}'}, "
                f"recall {'-' if recall is None else f'{recall:.0%}'}"
            )
        weighty = ", ".join(word(name) for name in self.model.weightiest)
        return line + (f"; weighs most: {weighty}" if weighty else "")


class People:
    """The clips that people have judged, kept up to date by asking for newer decisions only."""

    def __init__(self) -> None:
        self._newest = 0
        self._rejected: dict[str, bool] = {}

    def __call__(self, session: Session) -> dict[str, bool]:
        """Each judged clip -> whether it stands rejected. What was accepted unseen teaches nothing."""
        newest = session.scalar(select(func.max(Decision.id))) or 0
        if newest > self._newest:
            fresh = set(
                session.scalars(
                    select(Decision.clip_id).where(Decision.id > self._newest, Decision.annotator.not_in(UNSEEN))
                )
            )
            stands = standing(session, fresh)
            for clip in fresh:
                verdict = stands[clip].verdict
                if verdict is None:
                    self._rejected.pop(clip, None)
                else:
                    self._rejected[clip] = verdict == "reject"
            self._newest = newest
        return self._rejected
