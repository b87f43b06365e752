"""Who works on an item now, and how each try ended."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from db.tables.base import Base, now, one_of


class Attempt(Base):
    """One try of one stage on one item, and how it ended."""

    __tablename__ = "attempts"
    __table_args__ = (one_of("outcome", ["done", "failed"], "outcome"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[str]
    item_id: Mapped[str] = mapped_column(index=True)  # a video's or a clip's id
    worker: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(default=now)
    outcome: Mapped[str]
    error_class: Mapped[str | None]
    message: Mapped[str | None]


class Lease(Base):
    """Who works on an item now. `token` grows with each claim, so that a late finisher is told apart."""

    __tablename__ = "leases"

    stage: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str | None]  # None: free
    token: Mapped[int] = mapped_column(default=1)
    expires_at: Mapped[datetime]
