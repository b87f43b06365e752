"""Batches in the catalogue: which clips an annotator gets, their marks, their decisions, and the way back.

A clip in an open batch is offered to nobody else, and a batch stays its annotator's until it is confirmed or released:
after a crash the same batch with the same marks comes up again. An annotator's open batches are worked off from the
lowest id on, so that a reopened batch comes before the ones that followed it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from sqlalchemy import ColumnElement, Select, and_, exists, func, select, update
from sqlalchemy.orm import Session, aliased, joinedload

from annotation_server.records import Cell, Confirmed, Mark, OpenBatch, Order, Pass, Reason, Totals, Verdict
from db.engine import Catalogue
from db.models import Batch, BatchClip, Clip, Decision, Preview, Video, now
from db.states import ClipState, move_clips, move_clips_each

NO_PREVIEW = "no preview yet; make it with: curate preview"


class BatchStore:
    """One annotator's batches in one pass."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        annotator: str,
        review: Pass = Pass.FIRST,
        size: int = 25,
        order: Order = Order.TIME,
        again: bool = False,
    ) -> None:
        """`again` offers clips once more that were skipped before now."""
        self._catalogue = catalogue
        self._annotator = annotator
        self._review = review
        self._size = size
        self._order = order
        self._again_from = now() if again else None

    def take(self) -> OpenBatch | None:
        """The annotator's first open batch, or a new one, to be shown now; None if nothing is left."""
        return self._take(after=0, shown=True)

    def take_ahead(self, after: int) -> OpenBatch | None:
        """The batch that will follow the one with id `after`, made now if need be.

        Until it is shown it can still go to an annotator who would get nothing else.
        """
        return self._take(after=after, shown=False)

    def _take(self, *, after: int, shown: bool) -> OpenBatch | None:
        while True:
            with self._catalogue.writing() as session:
                batch = session.scalars(self._open_batches().where(Batch.id > after).limit(1)).first()
                if batch is not None:
                    opened = self._prune(session, batch)
                    if opened is None:
                        continue
                    batch.shown_at = now() if shown else batch.shown_at
                    return opened
            # Choosing reads much and may take long, so it holds no lock; claiming checks the choice again.
            with self._catalogue.reading() as session:
                wanted = self._choose(session)
            with self._catalogue.writing() as session:
                if not wanted:
                    if shown and self._free_unseen(session):
                        continue
                    return None
                free = set(session.scalars(select(Clip.id).where(Clip.id.in_(wanted), self._offered())))
                claimed = [clip_id for clip_id in wanted if clip_id in free][: self._size]
                if not claimed:
                    continue
                batch = Batch(token=secrets.token_hex(16), annotator=self._annotator, review=self._review)
                batch.shown_at = now() if shown else None
                batch.clips = [BatchClip(position=i, clip_id=clip_id) for i, clip_id in enumerate(claimed)]
                session.add(batch)
                session.flush()
                return self._opened(session, batch)

    def _free_unseen(self, session: Session) -> bool:
        """Release the newest batch that was made ahead for another annotator and not yet shown."""
        batch = session.scalars(
            select(Batch)
            .where(Batch.state == "open", Batch.shown_at.is_(None))
            .where(Batch.review == self._review, Batch.annotator != self._annotator)
            .order_by(Batch.id.desc())
            .limit(1)
        ).first()
        if batch is not None:
            batch.state = "released"
        return batch is not None

    def save_marks(self, batch_id: int, marks: Mapping[int, Mark | None]) -> None:
        """Store the marks of some positions of an open batch; None takes one back."""
        with self._catalogue.writing() as session:
            for position, mark in marks.items():
                session.execute(
                    update(BatchClip)
                    .where(BatchClip.batch_id == batch_id, BatchClip.position == position)
                    .values(marked=mark is not None, reason=mark and mark.reason)
                )

    def confirm(self, batch_id: int, verdicts: Mapping[int, Verdict], seconds: float) -> Confirmed:
        """Record the verdicts by position, move the clips and close the batch: one transaction, once only.

        `seconds` is how long the batch was on screen. Raises `LookupError` if the batch is not open.
        """
        accepted: list[str] = []
        rejected: dict[str, str | None] = {}
        skipped = withdrawn = 0
        with self._catalogue.writing() as session:
            batch = session.get_one(Batch, batch_id)
            if batch.state != "open":
                raise LookupError(f"batch {batch_id} is {batch.state}, not open")
            for row in self._rows(session, batch_id):
                verdict = verdicts.get(row.position)
                if row.clip.state != self._review.state or verdict is None:
                    withdrawn += 1
                    continue
                if verdict.accepted is None:
                    row.skipped = True
                    skipped += 1
                    continue
                if verdict.accepted:
                    accepted.append(row.clip_id)
                else:
                    why = f": {verdict.reason}" if verdict.reason else ""
                    rejected[row.clip_id] = f"rejected by {self._annotator}{why}"
                session.add(
                    Decision(
                        clip_id=row.clip_id,
                        batch_id=batch_id,
                        annotator=self._annotator,
                        verdict="accept" if verdict.accepted else "reject",
                        reason=verdict.reason,
                        review=self._review,
                        seconds=seconds,
                        share_seen=verdict.share_seen,
                    )
                )
            move_clips(session, accepted, ClipState.ACCEPTED)
            move_clips_each(session, rejected, ClipState.REJECTED)
            batch.state = "confirmed"
            batch.confirmed_at = now()
            batch.seconds = seconds
        return Confirmed(kept=len(accepted), rejected=len(rejected), skipped=skipped, withdrawn=withdrawn)

    def reopen(self, before: int) -> int | None:
        """Open the annotator's newest confirmed batch with an id below `before` again, marks as they were.

        Each of its decisions that still stands is undone by a new row. Returns the batch's id, None if there is none.
        """
        with self._catalogue.writing() as session:
            batch = session.scalars(
                select(Batch)
                .where(Batch.annotator == self._annotator, Batch.review == self._review)
                .where(Batch.state == "confirmed", Batch.id < before)
                .order_by(Batch.id.desc())
                .limit(1)
            ).first()
            if batch is None:
                return None
            later = aliased(Decision)
            standing = list(
                session.scalars(
                    select(Decision).where(
                        Decision.batch_id == batch.id,
                        Decision.verdict != "undo",
                        ~exists().where(later.clip_id == Decision.clip_id, later.id > Decision.id),
                    )
                )
            )
            session.add_all(
                Decision(
                    clip_id=decision.clip_id,
                    batch_id=batch.id,
                    annotator=self._annotator,
                    verdict="undo",
                    review=self._review,
                )
                for decision in standing
            )
            move_clips(session, [decision.clip_id for decision in standing], self._review.state)
            session.execute(update(BatchClip).where(BatchClip.batch_id == batch.id).values(skipped=False))
            batch.state = "open"
            batch.confirmed_at = None
            batch.seconds = None
            return batch.id

    def release_unseen(self) -> None:
        """Give batches that were made ahead back to everybody."""
        with self._catalogue.writing() as session:
            session.execute(
                update(Batch)
                .where(Batch.annotator == self._annotator, Batch.review == self._review)
                .where(Batch.state == "open", Batch.shown_at.is_(None))
                .values(state="released")
            )

    def take_over(self, annotator: str) -> int:
        """Give all open batches of another annotator back to everybody. Returns how many clips that frees."""
        with self._catalogue.writing() as session:
            theirs = self._open_batches(annotator).with_only_columns(Batch.id).order_by(None)
            freed = session.scalar(select(func.count()).where(BatchClip.batch_id.in_(theirs))) or 0
            session.execute(update(Batch).where(Batch.id.in_(list(session.scalars(theirs)))).values(state="released"))
            return freed

    def holders(self) -> dict[str, int]:
        """How many clips each other annotator has in open batches."""
        statement = (
            select(Batch.annotator, func.count())
            .join(BatchClip, BatchClip.batch_id == Batch.id)
            .where(Batch.state == "open", Batch.review == self._review, Batch.annotator != self._annotator)
            .group_by(Batch.annotator)
        )
        with self._catalogue.reading() as session:
            return {annotator: clips for annotator, clips in session.execute(statement)}

    def totals(self) -> Totals:
        """Counts over the whole data set."""
        in_state = Clip.state == self._review.state
        other = (
            select(BatchClip.clip_id)
            .join(Batch)
            .where(Batch.state == "open", Batch.annotator != self._annotator, Batch.review == self._review)
        )
        with self._catalogue.reading() as session:

            def count(*conditions: ColumnElement[bool]) -> int:
                return session.scalar(select(func.count()).select_from(Clip).where(*conditions)) or 0

            kept = [self._decided()] if self._review is Pass.FINAL else []
            return Totals(
                kept=count(Clip.state == ClipState.ACCEPTED, *kept),
                rejected=count(Clip.state == ClipState.REJECTED, *kept),
                left=count(in_state, ~self._decided()),
                skipped=count(in_state, ~self._decided(), self._skipped()),
                elsewhere=count(in_state, Clip.id.in_(other)),
            )

    def _open_batches(self, annotator: str | None = None) -> Select[Batch]:
        return (
            select(Batch)
            .where(Batch.annotator == (annotator or self._annotator), Batch.review == self._review)
            .where(Batch.state == "open")
            .order_by(Batch.id)
        )

    def _decided(self) -> ColumnElement[bool]:
        """The clip has a decision of the final pass that stands; in the first pass its state says all."""
        if self._review is Pass.FIRST:
            return Clip.state.in_([ClipState.ACCEPTED, ClipState.REJECTED])
        newest = (
            select(func.max(Decision.id))
            .where(Decision.clip_id == Clip.id, Decision.review == self._review)
            .correlate(Clip)
            .scalar_subquery()
        )
        return exists().where(Decision.id == newest, Decision.verdict != "undo")

    def _skipped(self) -> ColumnElement[bool]:
        """Its preview did not play when it was last shown, and has not been made anew since."""
        newer = aliased(Preview)  # the query around may join Preview itself
        remade = exists().where(newer.clip_id == Clip.id, newer.created_at > Batch.confirmed_at)
        skipped = (
            select(BatchClip.clip_id)
            .join(Batch)
            .where(BatchClip.clip_id == Clip.id, BatchClip.skipped, Batch.review == self._review)
            .where(Batch.state == "confirmed", ~remade)
        )
        if self._again_from is not None:
            skipped = skipped.where(Batch.confirmed_at > self._again_from)
        return exists(skipped.correlate(Clip))

    def _offered(self) -> ColumnElement[bool]:
        """The clip may go into a new batch."""
        held = exists(
            select(BatchClip.clip_id)
            .join(Batch)
            .where(BatchClip.clip_id == Clip.id, Batch.state == "open")
            .correlate(Clip)
        )
        return and_(Clip.state == self._review.state, ~held, ~self._skipped(), ~self._decided())

    def _choose(self, session: Session) -> list[str]:
        """Clip ids in the wanted order, a few more than a batch needs in case another annotator takes some."""
        offered = (
            select(Clip.id)
            .join(Video)
            .outerjoin(Preview)
            .where(self._offered())
            # Clips without a preview come last: by then it may have been made.
            .order_by(Preview.clip_id.is_(None))
        )
        if self._order is Order.TIME:
            timed = offered.order_by(Video.created_at, Video.id, Clip.start, Clip.id)
            return list(session.scalars(timed.limit(4 * self._size)))
        ready = select(Clip.id).join(Preview).where(self._offered())
        ids = list(session.scalars(ready)) or list(session.scalars(offered))
        return sorted(ids, key=lambda clip_id: _shuffled(self._annotator, clip_id))[: 4 * self._size]

    def _rows(self, session: Session, batch_id: int) -> Iterable[BatchClip]:
        return session.scalars(
            select(BatchClip)
            .where(BatchClip.batch_id == batch_id)
            .order_by(BatchClip.position)
            .options(joinedload(BatchClip.clip).joinedload(Clip.preview), joinedload(BatchClip.clip, Clip.video))
        )

    def _prune(self, session: Session, batch: Batch) -> OpenBatch | None:
        """Drop clips that have left the review since; a batch that is empty then is released."""
        gone = [row for row in self._rows(session, batch.id) if row.clip.state != self._review.state]
        for row in gone:
            session.delete(row)
        session.flush()
        opened = self._opened(session, batch)
        if not opened.cells:
            batch.state = "released"
            return None
        return opened

    def _opened(self, session: Session, batch: Batch) -> OpenBatch:
        cells = tuple(self._cell(row) for row in self._rows(session, batch.id))
        return OpenBatch(id=batch.id, token=batch.token, cells=cells)

    def _cell(self, row: BatchClip) -> Cell:
        clip = row.clip
        path, error = None, None
        if clip.preview is None:
            error = NO_PREVIEW
        elif clip.preview.path is None:
            error = clip.preview.error
        else:
            path = self._catalogue.path(clip.preview.path)
        name = f"{clip.video.title or Path(clip.video.source).name} {clip.start:.1f}-{clip.end:.1f} s"
        mark = Mark(reason=None if row.reason is None else Reason(row.reason)) if row.marked else None
        return Cell(
            position=row.position,
            clip_id=clip.id,
            name=name,
            preview=path,
            error=error,
            mark=mark,
            suggestion=row.suggestion,
            hint=row.hint,
        )


def _shuffled(salt: str, clip_id: str) -> bytes:
    return hashlib.blake2b(clip_id.encode(), key=hashlib.blake2b(salt.encode()).digest()[:16], digest_size=8).digest()
