"""Which clips an annotator may be shown next, in which order, and how many there are: queries, nothing is changed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import ColumnElement, Select, and_, exists, func, select
from sqlalchemy.orm import Session, aliased

from annotation_server.records import Choice, Order, Pass, Totals
from db.models import Batch, BatchClip, Clip, Decision, Preview, Video
from db.states import ClipState
from db.verdicts import disputed

SEPARATOR = "\x1f"  # in no id


class Ranker(Protocol):
    """Orders clips for a review by how likely they are rejects. Used from one thread."""

    @property
    def told(self) -> str:
        """What the status pane says of it; may be empty."""
        ...

    def rank(self, session: Session, clips: Sequence[str], limit: int) -> Sequence[tuple[str, float, str | None]]:
        """The `limit` likeliest of `clips`: (clip, probability in [0, 1], hint)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What one annotator may be shown in one pass.

    `again_from`: skipped clips are offered once more that were skipped before then. `only`: the clips asked for by
    name (AGAIN). `since`: clips that were judged in this pass after it are done.
    """

    annotator: str
    review: Pass
    order: Order = Order.TIME
    ranker: Ranker | None = None  # for Order.RANKED
    again_from: datetime | None = None
    only: Collection[str] = ()
    since: datetime | None = None

    def free(self, session: Session, review: Pass, clips: Sequence[str]) -> set[str]:
        """Those of `clips` that may go into a new batch of `review` now."""
        return set(session.scalars(select(Clip.id).where(Clip.id.in_(clips), self.offered(review))))

    def choose(self, session: Session, review: Pass, limit: int) -> list[Choice]:
        """Up to `limit` clips for new batches of `review`, the next one first."""
        if review is Pass.SECOND:
            return [Choice(clip_id=clip) for clip in session.scalars(self._second_looks().limit(limit))]
        if review is Pass.ADJUDICATION:
            return self._disputes(session, limit)
        offered = (
            select(Clip.id)
            .join(Video)
            .outerjoin(Preview)
            .where(self.offered(review))
            # Clips without a preview come last: by then it may have been made.
            .order_by(Preview.clip_id.is_(None))
        )
        if self.order is Order.TIME:
            timed = offered.order_by(Video.created_at, Video.id, Clip.start, Clip.id)
            return [Choice(clip_id=clip) for clip in session.scalars(timed.limit(limit))]
        # As one text: 100,000 rows of one short text each take four times as long.
        ready = select(func.aggregate_strings(Clip.id, SEPARATOR)).join(Preview).where(self.offered(review))
        joined = session.scalar(ready)
        ids = joined.split(SEPARATOR) if joined else list(session.scalars(offered))
        if self.ranker is not None:
            ranked = self.ranker.rank(session, ids, limit)
            return [Choice(clip_id=clip, suggestion=told, hint=hint) for clip, told, hint in ranked]
        shuffled = sorted(ids, key=lambda clip: _shuffled(self.annotator, clip))
        return [Choice(clip_id=clip) for clip in shuffled[:limit]]

    def offered(self, review: Pass) -> ColumnElement[bool]:
        """The clip may go into a new batch of `review`."""
        conditions = [Clip.state.in_(sorted(review.states)), ~_held(), ~self._skipped(review)]
        if review is Pass.SECOND:
            conditions.append(Clip.id.in_(self._second_looks()))
        elif review is not Pass.FIRST:
            conditions.append(~self._decided(review))
        if review is Pass.AGAIN:
            conditions.append(Clip.id.in_(self.only))
        return and_(*conditions)

    def totals(self, session: Session, overlap: bool) -> Totals:
        """Counts over the whole data set; with `overlap`, second looks that this annotator could take are left too."""
        review = self.review
        in_state = Clip.state.in_(sorted(review.states))
        other = (
            select(BatchClip.clip_id)
            .join(Batch)
            .where(Batch.state == "open", Batch.annotator != self.annotator, Batch.review == review)
        )

        def count(*conditions: ColumnElement[bool]) -> int:
            return session.scalar(select(func.count()).select_from(Clip).where(*conditions)) or 0

        left: list[ColumnElement[bool]]
        done: list[ColumnElement[bool]]
        if review is Pass.FIRST:
            left, done = [in_state], []
        elif review is Pass.ADJUDICATION:
            left, done = [Clip.id.in_(list(disputed(session)))], [self._decided(review)]
        else:
            left, done = [in_state, ~self._decided(review)], [self._decided(review)]
            if review is Pass.AGAIN:
                left, done = [*left, Clip.id.in_(self.only)], [*done, Clip.id.in_(self.only)]
        second = 0
        if overlap:
            second = session.scalar(select(func.count()).select_from(self._second_looks().subquery())) or 0
        return Totals(
            kept=count(Clip.state == ClipState.ACCEPTED, *done),
            rejected=count(Clip.state == ClipState.REJECTED, *done),
            left=count(*left) + second,
            skipped=count(*left, self._skipped(review)),
            elsewhere=count(*left, Clip.id.in_(other)),
        )

    def _second_looks(self) -> Select[str]:
        """Clips of the shared part that another annotator has judged and nobody else has seen yet, oldest first."""
        later, later_batch = aliased(BatchClip), aliased(Batch)
        seen = exists(
            select(later.clip_id)
            .join(later_batch, later_batch.id == later.batch_id)
            .where(later.clip_id == BatchClip.clip_id, later_batch.review == Pass.SECOND)
            .where(later_batch.state.in_(("open", "confirmed")))
            .correlate(BatchClip)
        )
        return (
            select(BatchClip.clip_id)
            .join(Batch)
            .where(Batch.review == Pass.FIRST, Batch.state == "confirmed", Batch.annotator != self.annotator)
            .where(BatchClip.overlap, ~BatchClip.skipped, ~seen)
            .order_by(Batch.confirmed_at, BatchClip.position)
        )

    def _disputes(self, session: Session, limit: int) -> list[Choice]:
        found = disputed(session)
        free = self.free(session, Pass.ADJUDICATION, list(found))
        choices = []
        for clip in sorted(free)[:limit]:
            said = (
                f"{look.annotator} {'keeps' if look.verdict == 'accept' else 'rejects'}"
                + (f" ({look.reason})" if look.reason else "")
                for look in found[clip].looks
            )
            choices.append(Choice(clip_id=clip, hint=", ".join(said)))
        return choices

    def _decided(self, review: Pass) -> ColumnElement[bool]:
        """The clip has a decision of this pass that stands."""
        newest = select(func.max(Decision.id)).where(Decision.clip_id == Clip.id, Decision.review == review)
        if self.since is not None:
            newest = newest.where(Decision.created_at >= self.since)
        return exists().where(Decision.id == newest.correlate(Clip).scalar_subquery(), Decision.verdict != "undo")

    def _skipped(self, review: Pass) -> ColumnElement[bool]:
        """Its preview did not play when it was last shown, and has not been made anew since."""
        newer = aliased(Preview)  # the query around may join Preview itself
        remade = exists().where(newer.clip_id == Clip.id, newer.created_at > Batch.confirmed_at)
        skipped = (
            select(BatchClip.clip_id)
            .join(Batch)
            .where(BatchClip.clip_id == Clip.id, BatchClip.skipped, Batch.review == review)
            .where(Batch.state == "confirmed", ~remade)
        )
        if self.again_from is not None:
            skipped = skipped.where(Batch.confirmed_at > self.again_from)
        return exists(skipped.correlate(Clip))


def _held() -> ColumnElement[bool]:
    """The clip is in somebody's open batch."""
    return exists(
        select(BatchClip.clip_id).join(Batch).where(BatchClip.clip_id == Clip.id, Batch.state == "open").correlate(Clip)
    )


def shared(clip_id: str, overlap: float) -> bool:
    """Whether a clip belongs to the share that two annotators see: the same clips whoever asks."""
    digest = hashlib.blake2b(b"overlap:" + clip_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") < overlap * 2**64


def _shuffled(salt: str, clip_id: str) -> bytes:
    return hashlib.blake2b(clip_id.encode(), key=hashlib.blake2b(salt.encode()).digest()[:16], digest_size=8).digest()
