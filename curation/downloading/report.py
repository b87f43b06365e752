"""What a call of the download stage did, and what it left."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import case, exists, func, select

from curation.downloading.orphans import STAGE
from curation.downloading.pauses import active, of_site
from curation.errors import StageError
from db.engine import Catalogue
from db.models import Lease, Video, now
from db.states import VideoState


@dataclass(frozen=True, kw_only=True)
class FailedVideo:
    """A video that failed in this call. `retry_at` None: not tried again unless asked for."""

    id: str
    source: str
    error: StageError
    retry_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class PausedSite:
    """A site that is left alone until a moment, and how many of its videos are queued for then."""

    site: str
    error_class: str
    until: datetime
    queued: int
    cookies: bool  # the call that met it passed some: they did not help


@dataclass(kw_only=True)
class DownloadReport:
    """What a call did, and what it left."""

    done: list[str] = field(default_factory=list)
    failed: list[FailedVideo] = field(default_factory=list)
    bytes: int = 0
    sections: int = 0  # fetched alone, of videos among `done`
    whole_because: Counter[str] = field(default_factory=Counter)  # sections were wanted, and could not be had alone
    stopped_by: StageError | None = None  # what stopped the whole stage early
    paused_providers: set[str] = field(default_factory=set)  # in this call
    pauses: list[PausedSite] = field(default_factory=list)  # that hold now
    elsewhere: int = 0  # being fetched by other calls
    queued: int = 0  # not yet tried
    waiting: int = 0  # failed before; their pause is not over
    given_up: int = 0  # failed before, for good


def count_the_rest(catalogue: Catalogue, report: DownloadReport, *, cookies: bool) -> None:
    """Fill in what the call leaves behind."""
    leased = exists().where(
        Lease.stage == STAGE, Lease.item_id == Video.id, Lease.owner.is_not(None), Lease.expires_at > now()
    )
    here = {failed.id for failed in report.failed}
    with catalogue.reading() as session:
        failed = session.execute(
            select(Video.id, Video.retry_at).where(Video.state == VideoState.FAILED, ~leased)
        ).all()
        waits = [retry_at is not None for id_, retry_at in failed if id_ not in here]
        report.waiting, report.given_up = sum(waits), len(waits) - sum(waits)
        open_ = Video.state.in_((VideoState.QUEUED, VideoState.FAILED))
        queued = Video.state == VideoState.QUEUED
        report.elsewhere, report.queued = session.execute(
            select(
                func.coalesce(func.sum(case((open_ & leased, 1), else_=0)), 0),
                func.coalesce(func.sum(case((queued & ~leased, 1), else_=0)), 0),
            )
        ).one()
        report.pauses = [
            PausedSite(
                site=pause.provider,
                error_class=pause.error_class,
                until=pause.until,
                queued=session.scalar(select(func.count(Video.id)).where(queued, of_site(pause.provider))) or 0,
                cookies=pause.cookies,
            )
            for pause in active(session, cookies=cookies)
        ]
