"""What the grid asks for the next clips: a ranker by suspicion, and one that learns as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from curation.ranking.features import COMPARED, COPIES, Features
from curation.ranking.suspicion import DUPLICATE, HINTED, PROPOSED, Bounds, suspicion, word
from db.models import Decision
from db.verdicts import standing

if TYPE_CHECKING:
    from curation.ranking.learning import HeldOut, Learned

UNSEEN = ("unreviewed", "manifest")  # annotators that looked at nothing
HALF_WAY = 5  # rejects from which on the model counts half, and clips judged from which on a score does
EXPLORE = 5  # one cell in so many is for a clip that is odd, whatever it is told to be
LEARNED_FROM = 3000  # decisions at most
STANDING_IN = 300  # clips not yet judged, for good ones
RETEST = 1.1  # times the decisions of the last test


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
        rows = self._features.rows(clips)
        each = self._suspicions(rows)
        told = total(each)
        order = np.argsort(-told, kind="stable")[:limit]
        return [self._ranked(rows[one], told[one], each[one]) for one in order]

    def _suspicions(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N, scores + 1) suspicion by each score, and of being a duplicate, of clips by row number."""
        own = self._features.matrix[rows, : len(self._bounds.names) + 1]
        return np.column_stack([suspicion(own[:, :-1], self._bounds), DUPLICATE * np.nan_to_num(own[:, -1])])

    def _ranked(self, row: int, told: float, each: NDArray[np.float64]) -> Ranked:
        worst = int(each.argmax())
        hint = word((*self._bounds.names, COPIES)[worst]) if each[worst] >= HINTED else None
        return Ranked(self._features.clips[row], round(float(told), 4), hint)


class LearningRanker(SuspicionRanker):
    """Learns from the decisions made so far, and blends that with suspicion while they are few.

    What is beyond a bound counts besides, until some such clips were judged: then the model knows whether this curator
    minds.

    Neither foresees a kind of fault that no score tells of and that nobody has rejected yet: so one cell in `EXPLORE`,
    and all once nothing is likely any more, go in turn to the clips that are oddest by each of `features.COMPARED`.
    """

    def __init__(self, bounds: Bounds, *, decided: Callable[[Session], dict[str, bool]] | None = None) -> None:
        """`decided` gives each judged clip and whether it was rejected; by default the catalogue's decisions."""
        super().__init__(bounds)
        self._decided = decided or People()
        self._rejects = 0
        self._trust: NDArray[np.float64] = np.ones(len(bounds.names) + 1)  # what each suspicion still counts
        self._tested = 0  # decisions when the model was last tested
        self.model: Learned | None = None
        self.held_out: HeldOut | None = None

    def rank(self, session: Session, clips: Sequence[str], limit: int) -> list[Ranked]:
        """The `limit` likeliest rejects of `clips`, the likeliest first, but for one odd clip in every `EXPLORE`."""
        self._features.load(session)
        rows = self._features.rows(clips)
        self._refit(session, rows)
        each = self._suspicions(rows)
        told = total(each)
        inputs = self._inputs(rows, each)
        if self.model is not None and len(rows):
            share = self._rejects / (self._rejects + HALF_WAY)
            told = share * self.model.probability(inputs) + (1 - share) * told
            told = np.maximum(told, total(np.where(each >= PROPOSED, each * self._trust, 0)))
        chosen = explored(told, inputs[:, -len(COMPARED) :], limit)
        ranked = [self._ranked(rows[one], told[one], each[one]) for one in chosen]
        if self.model is None or not len(rows):
            return ranked
        return [
            one if one.hint or one.suggestion < HINTED else one._replace(hint=", ".join(map(word, names)) or None)
            for one, names in zip(ranked, self.model.reasons(inputs[chosen]), strict=True)
        ]

    def _refit(self, session: Session, left: NDArray[np.int64]) -> None:
        """Fit the model to the decisions that stand, and now and then test it on held-out ones.

        `left`: rows of clips that are not judged yet.
        """
        # Here, not above: scikit-learn is an extra, and takes a second to import.
        from curation.ranking.learning import held_out, learn

        decided = self._decided(session)
        known = sorted(clip for clip in decided if clip in self._features.row)
        rejected = np.array([decided[clip] for clip in known], bool)
        self._rejects = int(rejected.sum())
        used = sample(rejected)
        rows, rejected = self._features.rows(known[one] for one in used), rejected[used]
        inputs = self._inputs(rows, self._suspicions(rows))
        columns = self._features.columns
        some = np.random.default_rng(len(left)).permutation(left)[:STANDING_IN]
        others = self._inputs(some, self._suspicions(some))
        tried = (self._suspicions(self._features.rows(known)) >= PROPOSED).sum(axis=0)
        self._trust = HALF_WAY / (HALF_WAY + tried)
        self.model = learn(inputs, rejected, columns, others) if len(used) else None
        if self.model is None:
            self.held_out, self._tested = None, 0
        elif not self._tested <= len(known) < RETEST * self._tested:
            videos = [self._features.videos[row] for row in rows]
            self.held_out = held_out(inputs, rejected, videos, columns, others)
            self._tested = len(known)
        self.told = self._tell(len(known))

    def _inputs(self, rows: NDArray[np.int64], each: NDArray[np.float64]) -> NDArray[np.float32]:
        """(N, F) what the model sees: the features, scores as how suspicious they are."""
        inputs = self._features.matrix[rows]
        inputs[:, : len(self._bounds.names)] = each[:, :-1]
        return inputs

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


def total(each: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, S) suspicions -> (N,): the worst one of each clip."""
    most = each.max(axis=1, initial=0.0)
    # Several half-suspicious scores are worse than one: a little for the rest breaks ties.
    return np.asarray(np.minimum(most + 0.01 * (each.sum(axis=1) - most), 0.999))


def explored(told: NDArray[np.float64], odd: NDArray[np.float32], limit: int) -> list[int]:
    """Up to `limit` indices, the highest `told` first, but in turn the next by a column of `odd`; none twice.

    Each `EXPLORE`th cell is such a turn, and all are from where `told` falls below `HINTED`: it knows nothing of those
    clips that would put one before another. It has a turn itself. What is not known (NaN) does not come up in turns.
    """
    order = _highest(told, limit)
    turns = [iter(_highest(column, limit)) for column in odd.T] + [iter(order)]
    chosen: dict[int, None] = {}
    best = turn = 0
    while len(chosen) < len(order):
        while int(order[best]) in chosen:
            best += 1
        new: int | None = int(order[best])
        if len(chosen) % EXPLORE == EXPLORE - 1 or told[order[best]] < HINTED:
            new = next((int(each) for each in turns[turn % len(turns)] if int(each) not in chosen), None)
            turn += 1
        if new is not None:
            chosen[new] = None
    return list(chosen)


def _highest(values: NDArray[np.floating[Any]], most: int) -> NDArray[np.int64]:
    """Indices of the highest values, at most so many, the highest first; equal ones by index, none that is NaN."""
    if len(values) > most:
        some = np.sort(np.argpartition(-values, most)[:most])
    else:
        some = np.arange(len(values))
    some = some[np.isfinite(values[some])]
    return np.asarray(some[np.argsort(-values[some], kind="stable")], np.int64)


def sample(rejected: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Indices of at most `LEARNED_FROM` decisions, half of them rejects where there are that many: the same each time.

    A batch must not wait for a fit to all of 100,000 decisions, which would know little more.
    """
    rng = np.random.default_rng(0)
    bad, good = (rng.permutation(np.flatnonzero(each)) for each in (rejected, ~rejected))
    bad = bad[: max(LEARNED_FROM // 2, LEARNED_FROM - len(good))]
    return np.sort(np.concatenate([bad, good[: LEARNED_FROM - len(bad)]]))


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
