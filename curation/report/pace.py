"""The curators' pace: clips a minute, by sessions of batches that follow each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session as DatabaseSession

from curation.report.tables import Cell, Table
from curation.report.text import clean, length, moment
from db.models import Batch, BatchClip, Decision

PAUSE = timedelta(minutes=30)  # a longer one begins a new session
MOST_SESSIONS = 60


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A batch that an annotator has confirmed."""

    annotator: str
    at: datetime
    seconds: float
    clips: int
    rejected: int


@dataclass(kw_only=True)
class Session:
    """Batches of one annotator without a long pause between them; `seconds` that a grid was on screen."""

    annotator: str
    began: datetime
    ended: datetime
    batches: int = 0
    clips: int = 0
    rejected: int = 0
    seconds: float = 0.0

    @property
    def pace(self) -> float:
        """Clips a minute."""
        return 60 * self.clips / self.seconds if self.seconds else 0.0


def confirmed(session: DatabaseSession) -> list[Confirmed]:
    """All confirmed batches with clips that were judged, by annotator and time."""
    judged = (
        select(BatchClip.batch_id, func.count().label("clips"), func.sum(BatchClip.marked).label("rejected"))
        .where(~BatchClip.skipped)
        .group_by(BatchClip.batch_id)
        .subquery()
    )
    rows = session.execute(
        select(Batch.annotator, Batch.confirmed_at, Batch.seconds, judged.c.clips, judged.c.rejected)
        .join(judged, judged.c.batch_id == Batch.id)
        .where(Batch.state == "confirmed", Batch.confirmed_at.is_not(None), Batch.seconds.is_not(None))
        .order_by(Batch.annotator, Batch.confirmed_at, Batch.id)
    )
    return [
        Confirmed(annotator=annotator, at=at, seconds=seconds, clips=clips, rejected=int(rejected or 0))
        for annotator, at, seconds, clips, rejected in rows
    ]


def sessions(batches: Iterable[Confirmed]) -> list[Session]:
    """Sessions in order of time. `batches`: by annotator and time."""
    found: list[Session] = []
    for batch in batches:
        began = batch.at - timedelta(seconds=batch.seconds)
        last = found[-1] if found else None
        if last is None or last.annotator != batch.annotator or began - last.ended > PAUSE:
            last = Session(annotator=batch.annotator, began=began, ended=batch.at)
            found.append(last)
        last.ended = max(last.ended, batch.at)
        last.batches += 1
        last.clips += batch.clips
        last.rejected += batch.rejected
        last.seconds += batch.seconds
    return sorted(found, key=lambda one: (one.began, one.annotator))


def sessions_table(found: list[Session]) -> Table:
    """The newest sessions first."""
    rows = tuple(
        (
            Cell(text=moment(one.began), key=one.began.timestamp()),
            Cell(text=clean(one.annotator, 60)),
            Cell(text=f"{one.batches:,}", key=one.batches),
            Cell(text=f"{one.clips:,}", key=one.clips),
            Cell(text=f"{one.rejected:,}", key=one.rejected),
            Cell(text=length(one.seconds), key=one.seconds),
            Cell(text=f"{one.pace:.0f}", key=one.pace),
        )
        for one in found[::-1][:MOST_SESSIONS]
    )
    columns = ("session (UTC)", "annotator", "batches", "clips", "rejected", "on screen", "clips a minute")
    return Table(columns=columns, rows=rows, total=len(found), numeric=frozenset(range(2, 7)))


def without_batches(session: DatabaseSession) -> list[tuple[str, int]]:
    """(annotator, decisions) that came another way than through the grid, such as a script's."""
    rows = session.execute(
        select(Decision.annotator, func.count())
        .where(Decision.batch_id.is_(None), Decision.verdict != "undo")
        .group_by(Decision.annotator)
        .order_by(func.count().desc(), Decision.annotator)
    )
    return [(clean(annotator, 60), number) for annotator, number in rows]
