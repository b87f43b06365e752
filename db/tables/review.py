"""What annotators saw and decided."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ForeignKey, String, UniqueConstraint, false
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.tables.base import Base, now, one_of
from db.tables.clips import Clip


class Batch(Base):
    """Up to 25 clips shown together to one annotator. Open until confirmed; then its decisions stand."""

    __tablename__ = "batches"
    __table_args__ = (one_of("state", ["open", "confirmed", "released"], "state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(32), unique=True)
    annotator: Mapped[str] = mapped_column(index=True)
    review: Mapped[str] = mapped_column(default="first")  # which pass: annotation_server.records.Pass
    state: Mapped[str] = mapped_column(default="open", index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    shown_at: Mapped[datetime | None]  # None: made ahead and not seen yet; may still go to another annotator
    confirmed_at: Mapped[datetime | None]
    seconds: Mapped[float | None]  # from shown to confirmed

    clips: Mapped[list[BatchClip]] = relationship(back_populates="batch", order_by="BatchClip.position")


class BatchClip(Base):
    """A clip's cell in a batch, and whether it is marked (saved as it is clicked)."""

    __tablename__ = "batch_clips"
    __table_args__ = (UniqueConstraint("batch_id", "clip_id"),)

    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), index=True)
    marked: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str | None]  # of the mark, if the annotator gave one
    suggestion: Mapped[float | None]  # probability of a reject, 0 to 1, as it was when the batch was made
    hint: Mapped[str | None]  # why it was suggested
    overlap: Mapped[bool] = mapped_column(default=False, server_default=false())  # a second annotator shall see it too
    skipped: Mapped[bool] = mapped_column(default=False)  # its preview cannot play: left undecided

    batch: Mapped[Batch] = relationship(back_populates="clips")
    clip: Mapped[Clip] = relationship()


DIGESTED = ("clip_id", "batch_id", "annotator", "verdict", "reason", "review", "seconds", "share_seen", "created_at")


def digest(decision: Mapping[str, Any]) -> str:
    """SHA-256 of what a decision says, by which `curate verify` finds one that was changed behind everybody's back."""
    content: list[Any] = [decision.get(name) for name in DIGESTED[:-1]]
    for number in (DIGESTED.index("seconds"), DIGESTED.index("share_seen")):
        if isinstance(content[number], int):  # stored, and read again, as a float
            content[number] = float(content[number])
    moment = decision["created_at"]
    if isinstance(moment, datetime):
        plain = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        moment = plain.isoformat(sep=" ", timespec="microseconds")
    text = json.dumps([*content, moment], separators=(",", ":"), ensure_ascii=False, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


def _own_digest(context: DefaultExecutionContext) -> str:
    return digest(context.get_current_parameters())  # type: ignore[no-untyped-call]


class Decision(Base):
    """One verdict on one clip. Append-only (triggers forbid change): a later row replaces an earlier one."""

    __tablename__ = "decisions"
    __table_args__ = (one_of("verdict", ["accept", "reject", "undo"], "verdict"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), index=True)
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id"), index=True)
    annotator: Mapped[str]
    verdict: Mapped[str]
    reason: Mapped[str | None]
    review: Mapped[str] = mapped_column(default="first")
    seconds: Mapped[float | None]  # the batch was on screen, s
    share_seen: Mapped[float | None]  # of the clip's loop that was on screen, 0 to 1
    created_at: Mapped[datetime] = mapped_column(default=now)
    # Last: its default reads what the other columns were given.
    digest: Mapped[str | None] = mapped_column(String(64), default=_own_digest)
