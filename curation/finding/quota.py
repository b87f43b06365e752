"""What was spent of a provider's daily allowance, kept in the catalogue, so that all commands on a dataset know it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from datetime import time as day_time
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session

from db.engine import Catalogue
from db.models import QuotaUse, now


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """An allowance that is counted by itself. `insist`: ask although the provider itself said that it is spent."""

    name: str
    daily: int
    insist: bool = False

    def __post_init__(self) -> None:
        if self.daily < 1:
            raise ValueError(f"daily must be at least 1, not {self.daily}")


class QuotaSpent(Exception):
    """Nothing is left of a bucket until `renewed_at`."""

    def __init__(self, bucket: Bucket, used: int, renewed_at: datetime) -> None:
        super().__init__(f"{bucket.name}: {used} used")
        self.bucket = bucket
        self.used = used
        self.renewed_at = renewed_at


class Ledger:
    """Counts one provider's calls. Its days begin at midnight in `zone`."""

    def __init__(
        self, catalogue: Catalogue, provider: str, zone: ZoneInfo, *, clock: Callable[[], datetime] = now
    ) -> None:
        self._catalogue = catalogue
        self._provider = provider
        self._zone = zone
        self._clock = clock

    def spend(self, bucket: Bucket) -> None:
        """Count a call, before it is made, as broken ones cost too. Raises `QuotaSpent`, and counts nothing then."""
        with self._catalogue.writing() as session:
            row = self._row(session, bucket)
            if row.used >= bucket.daily or (row.exhausted and not bucket.insist):
                raise QuotaSpent(bucket, row.used, self.renewed_at())
            row.used += 1

    def exhaust(self, bucket: Bucket) -> QuotaSpent:
        """Note that the provider itself says that nothing is left; returns what to raise."""
        with self._catalogue.writing() as session:
            row = self._row(session, bucket)
            row.exhausted = True
            return QuotaSpent(bucket, row.used, self.renewed_at())

    def used(self, bucket: Bucket) -> int:
        """Calls counted today."""
        with self._catalogue.reading() as session:
            row = session.get(QuotaUse, (self._provider, bucket.name, self._today()))
            return 0 if row is None else row.used

    def renewed_at(self) -> datetime:
        """When the provider's next day begins, in UTC."""
        tomorrow = self._clock().astimezone(self._zone).date() + timedelta(days=1)
        return datetime.combine(tomorrow, day_time(), self._zone).astimezone(UTC)

    def _today(self) -> str:
        return self._clock().astimezone(self._zone).date().isoformat()

    def _row(self, session: Session, bucket: Bucket) -> QuotaUse:
        key = (self._provider, bucket.name, self._today())
        row = session.get(QuotaUse, key)
        if row is None:
            row = QuotaUse(provider=self._provider, bucket=bucket.name, day=key[2], used=0, exhausted=False)
            session.add(row)
        return row


def when(moment: datetime, zone: ZoneInfo, place: str) -> str:
    """A moment as a message tells it: there, in UTC and here."""
    here = moment.astimezone()
    told = [f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"]
    if here.utcoffset() != timedelta():
        told.append(f"{here:%Y-%m-%d %H:%M %Z} here")
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M} {place} ({', '.join(told)})"
