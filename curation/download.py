"""The download stage: every queued video fetched and checked, by several workers, in one call or many at once.

A video is `downloaded` only when its file is in place, probes, decodes at both ends and is hashed. What failed is
classed: passing troubles are met again by a later call, after a growing pause; lasting ones when a person asks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Select, and_, exists, func, or_, select

from curation.errors import Action, ErrorClass, StageError
from curation.fetching import BusyElsewhere, Checked, Fetcher, Watch
from curation.orphans import sweep
from curation.outcomes import record_done, record_failure
from curation.providers.found import Cancelled
from curation.sources import locate as locate
from db.engine import Catalogue
from db.leases import Claim, LeaseLost, claim, free_leases_of_the_dead, held, release, worker_name
from db.models import Attempt, Lease, Video, now
from db.states import VideoState

if TYPE_CHECKING:
    from curation.providers.ytdlp import WebFetcher

STAGE = "download"
LEASE_SECONDS = 60.0
PATIENCE = 5.0  # s that workers get to stop by themselves


@dataclass(frozen=True, kw_only=True)
class DownloadSettings:
    """How to download. `keep_free` are bytes of disk that are never used up."""

    workers: int = 4
    max_height: int = 360
    network_retries: int = 5
    timeout: float = 20.0  # s without a byte
    keep_free: int = 256_000_000
    retry: bool = False  # failed videos too, whatever their error and its pause
    limit: int | None = None  # videos in this call

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers}")
        if self.max_height < 16:
            raise ValueError(f"max_height must be at least 16, not {self.max_height}")
        if self.network_retries < 0:
            raise ValueError(f"network_retries must be at least 0, not {self.network_retries}")
        if not self.timeout > 0:
            raise ValueError(f"timeout must be more than 0 s, not {self.timeout}")
        if self.keep_free < 0:
            raise ValueError(f"keep_free must be at least 0 bytes, not {self.keep_free}")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be at least 1, not {self.limit}")


@dataclass(frozen=True, kw_only=True)
class FailedVideo:
    """A video that failed in this call. `retry_at` None: not tried again unless asked for."""

    id: str
    source: str
    error: StageError
    retry_at: datetime | None


@dataclass(kw_only=True)
class DownloadReport:
    """What a call did, and what it left."""

    done: list[str] = field(default_factory=list)
    failed: list[FailedVideo] = field(default_factory=list)
    bytes: int = 0
    paused: StageError | None = None  # what stopped the whole stage early
    paused_providers: set[str] = field(default_factory=set)
    elsewhere: int = 0  # being fetched by other calls
    queued: int = 0  # not yet tried
    waiting: int = 0  # failed before; their pause is not over
    given_up: int = 0  # failed before, for good


class Stopped(KeyboardInterrupt):
    """The person pressed Ctrl-C, and the workers have stopped; begun files are kept and continued."""

    def __init__(self, report: DownloadReport) -> None:
        super().__init__()
        self.report = report


class Progress(Protocol):
    """Where progress is shown; units are videos."""

    def advance(self, amount: float) -> None: ...
    def grow(self, amount: float) -> None: ...
    def line(self, text: str) -> None: ...


def download(catalogue: Catalogue, settings: DownloadSettings, progress: Progress) -> DownloadReport:
    """Fetch and check all videos that are due.

    Raises `StageError` (disk-full) if there is no room to begin, and `Stopped` on Ctrl-C.
    """
    run = _Run(catalogue, settings, progress)
    return run.go()


class _Run:
    """One call: its workers and what they share."""

    def __init__(self, catalogue: Catalogue, settings: DownloadSettings, progress: Progress) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._progress = progress
        self._stop = threading.Event()
        self._fetcher = Fetcher(catalogue, self._make_web, keep_free=settings.keep_free)
        self._started = now()
        self._lock = threading.Lock()
        self._report = DownloadReport()
        self._taken = 0
        self._avoid: set[str] = set()
        self._working_on: dict[int, Claim] = {}
        self._crash: BaseException | None = None

    def _make_web(self) -> WebFetcher:
        from curation.providers.ytdlp import WebFetcher, WebSettings

        s = self._settings
        web = WebSettings(max_height=s.max_height, retries=s.network_retries, timeout=s.timeout)
        return WebFetcher(web, stop=self._stop, cache=self._catalogue.folder / ".cache" / "yt-dlp")

    def go(self) -> DownloadReport:
        free_leases_of_the_dead(self._catalogue, STAGE)
        with self._catalogue.reading() as session:
            leased = session.scalars(
                select(Lease.item_id).where(
                    Lease.stage == STAGE, Lease.owner.is_not(None), Lease.expires_at > self._started
                )
            ).all()
            due = self._candidates().subquery()
            total = session.scalar(select(func.count()).select_from(due)) or 0
            from_web = session.scalar(
                select(func.count())
                .select_from(due)
                .join(Video, Video.id == due.c.id)
                .where(Video.source.contains("://"))
            )
        sweep(self._catalogue, self._fetcher.partial, leased)
        if from_web:
            self._fetcher.guard_space()
        total = min(total, self._settings.limit or total)
        self._progress.grow(total)
        workers = [
            threading.Thread(target=self._work, args=(number,), name=f"download {number}", daemon=True)
            for number in range(min(self._settings.workers, total))
        ]
        for worker in workers:
            worker.start()
        try:
            while any(worker.is_alive() for worker in workers):
                time.sleep(0.05)
        except KeyboardInterrupt:
            self._stop_politely(workers)
            self._count_the_rest()
            raise Stopped(self._report) from None
        if self._crash is not None:
            raise self._crash
        with contextlib.suppress(OSError):  # not empty: begun files that wait to be continued
            self._fetcher.partial.rmdir()
        self._count_the_rest()
        return self._report

    def _stop_politely(self, workers: list[threading.Thread]) -> None:
        self._stop.set()
        self._progress.line("stopping; what has been fetched is kept (Ctrl-C again to stop at once)")
        deadline = time.monotonic() + PATIENCE
        with contextlib.suppress(KeyboardInterrupt):
            for worker in workers:
                worker.join(max(0.0, deadline - time.monotonic()))
        # Workers that hang in a read end with the process; others may have their videos at once.
        release(self._catalogue, list(self._working_on.values()))

    def _candidates(self) -> Select[Any]:
        """The ids of videos that are due, and that no call has tried since this one began."""
        due = Video.retry_at <= now()
        again = (
            Video.state == VideoState.FAILED if self._settings.retry else and_(Video.state == VideoState.FAILED, due)
        )
        tried = exists().where(Attempt.stage == STAGE, Attempt.item_id == Video.id, Attempt.ended_at >= self._started)
        query = select(Video.id).where(or_(Video.state == VideoState.QUEUED, again), ~tried)
        with self._lock:
            if self._report.paused_providers:
                query = query.where(Video.provider.not_in(self._report.paused_providers))
            if self._avoid:
                query = query.where(Video.id.not_in(self._avoid))
        return query.order_by(Video.query_id, Video.query_rank, Video.id)

    def _work(self, number: int) -> None:
        owner = worker_name(number)
        try:
            while not self._stop.is_set() and self._may_take():
                claims = claim(self._catalogue, STAGE, self._candidates(), owner, seconds=LEASE_SECONDS)
                if not claims:
                    return
                self._working_on[number] = claims[0]
                try:
                    self._one(claims[0])
                except Exception:
                    release(self._catalogue, claims)
                    raise
                finally:
                    del self._working_on[number]
        except Exception as error:  # noqa: BLE001  a thread's error is the call's: go() raises it
            with self._lock:
                self._crash = self._crash or error
            self._stop.set()

    def _may_take(self) -> bool:
        with self._lock:
            if self._settings.limit is not None and self._taken >= self._settings.limit:
                return False
            self._taken += 1
            return True

    def _one(self, claimed: Claim) -> None:
        started = now()
        with self._catalogue.reading() as session:
            video = session.get_one(Video, claimed.item_id)
        with held(self._catalogue, claimed, LEASE_SECONDS), self._shown() as watch:
            try:
                checked = self._fetcher.fetch(video, watch)
            except Cancelled:
                release(self._catalogue, [claimed])
            except BusyElsewhere:
                with self._lock:
                    self._avoid.add(video.id)
                release(self._catalogue, [claimed])
            except StageError as error:
                self._failed(claimed, started, video, error)
            else:
                self._done(claimed, started, checked)

    def _done(self, claimed: Claim, started: datetime, checked: Checked) -> None:
        try:
            stands = record_done(self._catalogue, claimed, started, checked)
        except LeaseLost:
            return  # the other worker's file has replaced, or will replace, this one
        self._fetcher.clean(claimed.item_id)
        if not stands and not checked.fetched.stays:
            self._catalogue.path(checked.stored).unlink(missing_ok=True)
        if not stands:
            return
        with self._lock:
            self._report.done.append(claimed.item_id)
            self._report.bytes += checked.bytes

    def _failed(self, claimed: Claim, started: datetime, video: Video, error: StageError) -> None:
        try:
            retry_at = record_failure(self._catalogue, claimed, started, error)
        except LeaseLost:
            return
        with self._lock:
            self._report.failed.append(FailedVideo(id=video.id, source=video.source, error=error, retry_at=retry_at))
            if error.error_class is ErrorClass.DISK_FULL:
                self._report.paused = self._report.paused or error
                self._stop.set()
            elif error.policy.action is Action.PAUSE:
                self._report.paused_providers.add(video.provider)

    @contextlib.contextmanager
    def _shown(self) -> Iterator[Watch]:
        """Show a video's bytes as a growing part of one, and the rest of it when it has ended."""
        shown = 0.0

        def watch(done: int, total: int | None) -> None:
            nonlocal shown
            part = min(done / total, 1.0) * 0.9 if total else 0.0  # the checks are the last tenth
            if part > shown:
                self._progress.advance(part - shown)
                shown = part

        yield watch
        if not self._stop.is_set():
            self._progress.advance(1.0 - shown)

    def _count_the_rest(self) -> None:
        with self._catalogue.reading() as session:
            leased = exists().where(
                Lease.stage == STAGE, Lease.item_id == Video.id, Lease.owner.is_not(None), Lease.expires_at > now()
            )
            here = {failed.id for failed in self._report.failed}
            failed = session.execute(select(Video.id, Video.retry_at).where(Video.state == VideoState.FAILED, ~leased))
            for id_, retry_at in failed:
                if id_ not in here and retry_at is not None:
                    self._report.waiting += 1
                elif id_ not in here:
                    self._report.given_up += 1
            open_ = Video.state.in_((VideoState.QUEUED, VideoState.FAILED))
            self._report.elsewhere = session.scalar(select(func.count(Video.id)).where(open_, leased)) or 0
            queued = Video.state == VideoState.QUEUED
            self._report.queued = session.scalar(select(func.count(Video.id)).where(queued, ~leased)) or 0
