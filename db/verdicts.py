"""What the decisions on a clip come to: which of its append-only rows stand, and the one verdict that follows.

Decisions belong to a review. The first look and, on a shared part of the clips, a second look by somebody else are
blind and equal: a clip is accepted if all its looks accept it, and is disputed where they differ. Adjudication, the
final pass and a review of named clips are rulings: the newest one replaces what went before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from db.models import Decision

LOOKS = ("first", "second")
RULINGS = ("adjudication", "final", "again")
CHUNK = 500  # clips in one query


@dataclass(frozen=True, kw_only=True)
class Said:
    """One decision that stands."""

    id: int
    annotator: str
    verdict: str  # "accept" or "reject"
    reason: str | None


@dataclass(kw_only=True)
class Standing:
    """The decisions of one clip that stand, by review, oldest first."""

    by_review: dict[str, Said] = field(default_factory=dict)

    @property
    def verdict(self) -> str | None:
        """ "accept", "reject", or None where nothing stands."""
        ruling = self.ruling
        if ruling is not None:
            return ruling.verdict
        looks = [said.verdict for said in self.looks]
        if not looks:
            return None
        return "accept" if all(verdict == "accept" for verdict in looks) else "reject"

    @property
    def ruling(self) -> Said | None:
        """The newest ruling, if there is any."""
        rulings = [said for review, said in self.by_review.items() if review not in LOOKS]
        return max(rulings, key=lambda said: said.id, default=None)

    @property
    def looks(self) -> list[Said]:
        """The blind looks, the first one first."""
        return [self.by_review[review] for review in LOOKS if review in self.by_review]

    @property
    def disputed(self) -> bool:
        """Two looks differ, and nobody has ruled since."""
        return self.ruling is None and len({said.verdict for said in self.looks}) > 1

    @property
    def reason(self) -> str | None:
        """Why it stands rejected, in words; None if it does not."""
        if self.verdict != "reject":
            return None
        if self.disputed:
            return "disputed: " + ", ".join(
                f"{said.annotator} {'keeps' if said.verdict == 'accept' else 'rejects'}" for said in self.looks
            )
        said = self.ruling or next(each for each in self.looks if each.verdict == "reject")
        return f"rejected by {said.annotator}" + (f": {said.reason}" if said.reason else "")


def standing(session: Session, clips: Collection[str] | None = None) -> dict[str, Standing]:
    """What stands for these clips, or for all that were ever decided; clips without a decision are left out."""
    found: dict[str, Standing] = {}
    for clip, review, decision in _rows(session, clips):
        known = found.setdefault(clip, Standing())
        # An undo takes back what its review had said; a newer word of a review replaces the older.
        known.by_review.pop(review, None)
        if decision.verdict != "undo":
            known.by_review[review] = decision
    return found


def seen_twice(session: Session) -> dict[str, Standing]:
    """The clips on which two looks stand."""
    other = aliased(Decision)
    second = select(Decision.clip_id).where(Decision.review == "second").distinct()
    second = second.where(exists().where(other.clip_id == Decision.clip_id, other.review == "first"))
    stands = standing(session, list(session.scalars(second)))
    return {clip: each for clip, each in stands.items() if len(each.looks) == 2}


def disputed(session: Session) -> dict[str, Standing]:
    """The clips that two annotators judged differently and nobody has ruled on."""
    return {clip: stands for clip, stands in seen_twice(session).items() if stands.disputed}


def _rows(session: Session, clips: Collection[str] | None) -> Iterator[tuple[str, str, Said]]:
    columns = (
        Decision.clip_id, Decision.review, Decision.id, Decision.annotator, Decision.verdict, Decision.reason
    )  # fmt: skip
    statement = select(*columns).order_by(Decision.id)
    wanted: Iterable[list[str] | None] = [None]
    if clips is not None:
        ids = list(clips)
        wanted = [ids[first : first + CHUNK] for first in range(0, len(ids), CHUNK)]
    for chunk in wanted:
        rows = session.execute(statement if chunk is None else statement.where(Decision.clip_id.in_(chunk)))
        for clip, review, number, annotator, verdict, reason in rows:
            yield clip, review, Said(id=number, annotator=annotator, verdict=verdict, reason=reason)
