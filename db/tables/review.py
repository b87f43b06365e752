"""What annotators saw and decided."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
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
    review: Mapped[str] = mapped_column(default="first")  # which pass: "first" (pending clips), "final" (accepted ones)
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
    skipped: Mapped[bool] = mapped_column(default=False)  # its preview cannot play: left undecided

    batch: Mapped[Batch] = relationship(back_populates="clips")
    clip: Mapped[Clip] = relationship()


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
