"""Batches in the catalogue: which clips an annotator gets, their marks, their decisions, and the way back.

A clip in an open batch is offered to nobody else, and a batch stays its annotator's until it is confirmed or released:
after a crash the same batch with the same marks comes up again. An annotator's open batches are worked off from the
lowest id on, so that a reopened batch comes before the ones that followed it.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import Select, exists, func, select, update
from sqlalchemy.orm import Session, aliased, joinedload

from annotation_server.offers import Offers, Ranker, shared
from annotation_server.records import Cell, Choice, Confirmed, Mark, OpenBatch, Order, Pass, Reason, Totals, Verdict
from db.engine import Catalogue
from db.models import Batch, BatchClip, Clip, Decision, now
from db.states import ClipState, move_clips, move_clips_each
from db.verdicts import standing

NO_PREVIEW = "no preview yet; make it with: curate preview"
PROPOSED = 0.5  # from this suggestion on a clip is outlined, or marked where that is wanted
CHOSEN_AHEAD = 4  # batches: others may take some of the clips in between


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
        ranker: Ranker | None = None,
        preselect: bool = False,
        again: bool = False,
        overlap: float = 0.0,
        only: Collection[str] = (),
    ) -> None:
        """`preselect` marks proposed rejects in new batches; `again` offers clips again that were skipped before now.

        `overlap` is the share of the clips that two annotators see; `only` names the clips of a pass AGAIN.
        """
        self._catalogue = catalogue
        self._annotator = annotator
        self._size = size
        self._preselect = preselect
        self._overlap = overlap if review is Pass.FIRST else 0.0
        # Second looks come between an annotator's own first ones.
        self._reviews = (Pass.FIRST, Pass.SECOND) if self._overlap else (review,)
        began = now()
        self._offers = Offers(
            annotator=annotator,
            review=review,
            order=order,
            ranker=ranker,
            again_from=began if again else None,
            only=only,
            since=began if review is Pass.AGAIN else None,
        )

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
                review, wanted = self._choose(session)
            with self._catalogue.writing() as session:
                if not wanted:
                    if shown and self._free_unseen(session):
                        continue
                    return None
                free = self._offers.free(session, review, [choice.clip_id for choice in wanted])
                claimed = [choice for choice in wanted if choice.clip_id in free][: self._size]
                if not claimed:
                    continue
                return self._open(session, review, claimed, shown=shown)

    def _choose(self, session: Session) -> tuple[Pass, list[Choice]]:
        """What the next batch is of: second looks once a whole batch of them waits, or nothing else is left."""
        waiting: list[Choice] = []
        if Pass.SECOND in self._reviews:
            waiting = self._offers.choose(session, Pass.SECOND, CHOSEN_AHEAD * self._size)
            if len(waiting) >= self._size:
                return Pass.SECOND, waiting
        own = self._offers.choose(session, self._offers.review, CHOSEN_AHEAD * self._size)
        return (Pass.SECOND, waiting) if waiting and not own else (self._offers.review, own)

    def _open(self, session: Session, review: Pass, claimed: Sequence[Choice], *, shown: bool) -> OpenBatch:
        batch = Batch(token=secrets.token_hex(16), annotator=self._annotator, review=review)
        batch.shown_at = now() if shown else None
        batch.clips = [
            BatchClip(
                position=position,
                clip_id=choice.clip_id,
                suggestion=choice.suggestion,
                hint=choice.hint,
                marked=self._preselect and choice.suggestion is not None and choice.suggestion >= PROPOSED,
                overlap=review is Pass.FIRST and shared(choice.clip_id, self._overlap),
            )
            for position, choice in enumerate(claimed)
        ]
        session.add(batch)
        session.flush()
        return self._opened(session, batch)

    def _free_unseen(self, session: Session) -> bool:
        """Release the newest batch that was made ahead for another annotator and not yet shown."""
        batch = session.scalars(
            select(Batch)
            .where(Batch.state == "open", Batch.shown_at.is_(None))
            .where(Batch.review == self._offers.review, Batch.annotator != self._annotator)
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
                    .values(marked=mark is not None, reason=None if mark is None else mark.reason)
                )

    def confirm(self, batch_id: int, verdicts: Mapping[int, Verdict], seconds: float) -> Confirmed:
        """Record the verdicts by position, move the clips and close the batch: one transaction, once only.

        `seconds` is how long the batch was on screen. Raises `LookupError` if the batch is not open.
        """
        kept = skipped = withdrawn = 0
        decided: list[str] = []
        with self._catalogue.writing() as session:
            batch = session.get_one(Batch, batch_id)
            if batch.state != "open":
                raise LookupError(f"batch {batch_id} is {batch.state}, not open")
            for row in self._rows(session, batch_id):
                verdict = verdicts.get(row.position)
                if row.clip.state not in Pass(batch.review).states or verdict is None:
                    withdrawn += 1
                    continue
                if verdict.accepted is None:
                    row.skipped = True
                    skipped += 1
                    continue
                decided.append(row.clip_id)
                kept += verdict.accepted
                session.add(
                    Decision(
                        clip_id=row.clip_id,
                        batch_id=batch_id,
                        annotator=self._annotator,
                        verdict="accept" if verdict.accepted else "reject",
                        reason=verdict.reason,
                        review=batch.review,
                        seconds=seconds,
                        share_seen=verdict.share_seen,
                    )
                )
            session.flush()
            _settle(session, decided, ClipState.PENDING)
            batch.state = "confirmed"
            batch.confirmed_at = now()
            batch.seconds = seconds
        return Confirmed(kept=kept, rejected=len(decided) - kept, skipped=skipped, withdrawn=withdrawn)

    def reopen(self, before: int) -> int | None:
        """Open the annotator's newest confirmed batch with an id below `before` again, marks as they were.

        Each of its decisions that still stands is undone by a new row. Returns the batch's id, None if there is none.
        """
        with self._catalogue.writing() as session:
            batch = session.scalars(
                select(Batch)
                .where(Batch.annotator == self._annotator, Batch.review.in_(self._reviews))
                .where(Batch.state == "confirmed", Batch.id < before)
                .order_by(Batch.id.desc())
                .limit(1)
            ).first()
            if batch is None:
                return None
            later = aliased(Decision)
            latest = list(
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
                    review=batch.review,
                )
                for decision in latest
            )
            session.flush()
            before_it = ClipState.ACCEPTED if batch.review == Pass.FINAL else ClipState.PENDING
            _settle(session, [decision.clip_id for decision in latest], before_it)
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
                .where(Batch.annotator == self._annotator, Batch.review.in_(self._reviews))
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
            .where(Batch.state == "open", Batch.review.in_(self._reviews), Batch.annotator != self._annotator)
            .group_by(Batch.annotator)
        )
        with self._catalogue.reading() as session:
            return {annotator: clips for annotator, clips in session.execute(statement)}

    def totals(self) -> Totals:
        """Counts over the whole data set."""
        with self._catalogue.reading() as session:
            return self._offers.totals(session, overlap=self._overlap > 0)

    def _open_batches(self, annotator: str | None = None) -> Select[Batch]:
        return (
            select(Batch)
            .where(Batch.annotator == (annotator or self._annotator), Batch.review.in_(self._reviews))
            .where(Batch.state == "open")
            .order_by(Batch.id)
        )

    def _rows(self, session: Session, batch_id: int) -> Iterable[BatchClip]:
        return session.scalars(
            select(BatchClip)
            .where(BatchClip.batch_id == batch_id)
            .order_by(BatchClip.position)
            .options(joinedload(BatchClip.clip).joinedload(Clip.preview), joinedload(BatchClip.clip, Clip.video))
        )

    def _prune(self, session: Session, batch: Batch) -> OpenBatch | None:
        """Drop clips that have left the review since; a batch that is empty then is released."""
        states = Pass(batch.review).states
        gone = [row for row in self._rows(session, batch.id) if row.clip.state not in states]
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
        return OpenBatch(id=batch.id, token=batch.token, review=Pass(batch.review), cells=cells)

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


def _settle(session: Session, clips: Sequence[str], otherwise: ClipState) -> None:
    """Give clips the state that their decisions come to; `otherwise` where none stands."""
    stands = standing(session, clips)
    by_verdict: dict[str | None, list[str]] = {"accept": [], "reject": [], None: []}
    for clip in clips:
        by_verdict[stands[clip].verdict].append(clip)
    move_clips(session, by_verdict["accept"], ClipState.ACCEPTED)
    move_clips_each(session, {clip: stands[clip].reason for clip in by_verdict["reject"]}, ClipState.REJECTED)
    move_clips(session, by_verdict[None], otherwise)
