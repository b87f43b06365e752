"""The download stage: every queued video fetched and checked, by several workers, in one call or many at once.

A video is `downloaded` only when its file is in place, probes, decodes at both ends and is hashed. What failed is
classed: passing troubles are met again by a later call, after a growing pause; lasting ones when a person asks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from sqlalchemy import Select, and_, exists, func, or_, select

from curation.downloading.board import Board
from curation.downloading.checked import Checked, CheckedSections
from curation.downloading.fetching import BusyElsewhere, Fetcher, Watch
from curation.downloading.orphans import STAGE, sweep, sweep_placed
from curation.downloading.outcomes import record_done, record_failure
from curation.downloading.pacing import Pacing
from curation.downloading.pauses import of_sites, paused, site_of
from curation.downloading.report import DownloadReport, FailedVideo, count_the_rest
from curation.downloading.section_fetching import SectionsWanted, sections_wanted
from curation.downloading.settings import DownloadSettings as DownloadSettings
from curation.errors import Action, ErrorClass, StageError
from curation.providers.found import Cancelled
from curation.providers.urls import is_url
from curation.sources import locate as locate
from db.engine import Catalogue
from db.leases import Claim, LeaseLost, claim, free_leases_of_the_dead, held, release, worker_name
from db.models import Attempt, Lease, Video, now
from db.states import VideoState

if TYPE_CHECKING:
    from curation.providers.ytdlp import WebFetcher

LEASE_SECONDS = 60.0
PATIENCE = 5.0  # s that workers get to stop by themselves


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


def download(
    catalogue: Catalogue, settings: DownloadSettings, progress: Progress, board: Board | None = None
) -> DownloadReport:
    """Fetch and check all videos that are due. The workers write what they do on `board`.

    Raises `StageError` (disk-full) if there is no room to begin, and `Stopped` on Ctrl-C.
    """
    return _Run(catalogue, settings, progress, board or Board()).go()


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A claimed video."""

    claim: Claim
    video: Video
    wanted: SectionsWanted
    site: str

    @property
    def web(self) -> bool:
        return is_url(self.video.source)


class _Run:
    """One call: its workers and what they share."""

    def __init__(self, catalogue: Catalogue, settings: DownloadSettings, progress: Progress, board: Board) -> None:
        self._catalogue = catalogue
        self._settings = settings
        self._cookies = settings.cookies is not None
        self._progress = progress
        self._board = board
        self._stop = threading.Event()
        self._fetcher = Fetcher(catalogue, self._make_web, keep_free=settings.keep_free)
        self._pacing = Pacing(settings.sleep)
        self._started = now()
        self._lock = threading.Lock()
        self._report = DownloadReport()
        self._taken = 0
        self._avoid: set[str] = set()
        self._working_on: dict[int, Claim] = {}
        self._crash: BaseException | None = None

    def _make_web(self) -> WebFetcher:
        from curation.providers.ytdlp import WebFetcher

        s = self._settings
        rate = None if s.rate_limit is None else s.rate_limit / s.workers
        return WebFetcher(s, stop=self._stop, cache=self._catalogue.folder / ".cache" / "yt-dlp", rate=rate)

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
        sweep_placed(self._catalogue, self._fetcher.partial.parent)
        if from_web:
            self._fetcher.guard_space()
        total = min(total, self._settings.limit or total)
        self._progress.grow(total)
        self._board.expect(total)
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
            count_the_rest(self._catalogue, self._report, cookies=self._cookies)
            raise Stopped(self._report) from None
        if self._crash is not None:
            raise self._crash
        with contextlib.suppress(OSError):  # not empty: begun files that wait to be continued
            self._fetcher.partial.rmdir()
        count_the_rest(self._catalogue, self._report, cookies=self._cookies)
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
        """The ids of videos that are due, whose sites are not paused, and that no call has tried since this one."""
        due = Video.retry_at <= now()
        again = (
            Video.state == VideoState.FAILED if self._settings.retry else and_(Video.state == VideoState.FAILED, due)
        )
        tried = exists().where(Attempt.stage == STAGE, Attempt.item_id == Video.id, Attempt.ended_at >= self._started)
        query = select(Video.id).where(
            or_(Video.state == VideoState.QUEUED, again), ~tried, ~paused(cookies=self._cookies)
        )
        with self._lock:
            if self._avoid:
                query = query.where(Video.id.not_in(self._avoid))
        return query.order_by(Video.query_id, Video.query_rank, Video.id)

    def _work(self, number: int) -> None:
        owner = worker_name(number)
        try:
            while not self._stop.is_set() and self._may_take():
                task = self._take(owner)
                if task is None:
                    return
                self._working_on[number] = task.claim
                try:
                    self._one(task, number)
                except Exception:
                    release(self._catalogue, [task.claim])
                    raise
                finally:
                    self._board.end(number)
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

    def _take(self, owner: str) -> _Task | None:
        """Claim the next video whose site may be asked, waiting for one where there is one; None: nothing is left."""
        while not self._stop.is_set():
            resting = self._pacing.resting()
            due = self._candidates()
            claims = claim(self._catalogue, STAGE, due.where(~of_sites(resting)), owner, seconds=LEASE_SECONDS)
            if not claims:
                if not resting or not self._left(due):
                    return None
                self._stop.wait(min(resting.values()))
                continue
            task = self._task(claims[0])
            if task.web and not self._pacing.begin(task.site):
                release(self._catalogue, claims)
                continue
            return task
        return None

    def _left(self, due: Select[Any]) -> bool:
        """Whether anything is due that nobody has in hand."""
        in_hand = exists().where(
            Lease.stage == STAGE, Lease.item_id == Video.id, Lease.owner.is_not(None), Lease.expires_at > now()
        )
        with self._catalogue.reading() as session:
            return session.scalar(due.where(~in_hand).limit(1)) is not None

    def _task(self, claimed: Claim) -> _Task:
        with self._catalogue.reading() as session:
            video = session.get_one(Video, claimed.item_id)
            wanted = sections_wanted(self._catalogue, session, video, self._settings.sections)
        return _Task(claim=claimed, video=video, wanted=wanted, site=site_of(video.provider, video.source))

    def _one(self, task: _Task, number: int) -> None:
        started = now()
        host = urlsplit(task.video.source).netloc.rpartition("@")[2] if task.web else "this machine"
        self._board.begin(number, task.video.id, host)
        with held(self._catalogue, task.claim, LEASE_SECONDS), self._shown(number) as watch:
            try:
                checked = self._fetcher.fetch(task.video, watch, task.wanted)
            except Cancelled:
                release(self._catalogue, [task.claim])
            except BusyElsewhere:
                with self._lock:
                    self._avoid.add(task.video.id)
                release(self._catalogue, [task.claim])
            except StageError as error:
                self._failed(task, started, error)
            else:
                self._done(task, started, checked)
        if task.web:
            self._pacing.end(task.site)

    def _done(self, task: _Task, started: datetime, checked: Checked | CheckedSections) -> None:
        self._pacing.refused(task.site, None)
        try:
            stands = record_done(self._catalogue, task.claim, started, checked, site=task.site)
        except LeaseLost:
            return  # the other worker's file has replaced, or will replace, this one
        self._fetcher.clean(task.video.id)
        if not stands:
            for stored in checked.own_files:
                self._catalogue.path(stored).unlink(missing_ok=True)
            return
        self._board.downloaded(checked.bytes)
        with self._lock:
            self._report.done.append(task.video.id)
            self._report.bytes += checked.bytes
            if isinstance(checked, CheckedSections):
                self._report.sections += len(checked.own_files)
            elif checked.whole_because is not None:
                self._report.whole_because[checked.whole_because] += 1

    def _failed(self, task: _Task, started: datetime, error: StageError) -> None:
        refused = self._pacing.refused(task.site, error.error_class)
        pauses = error.error_class is ErrorClass.BOT_CHECK or refused
        try:
            retry_at = record_failure(
                self._catalogue,
                task.claim,
                started,
                error,
                pause_site=task.site if pauses else None,
                cookies=self._cookies,
            )
        except LeaseLost:
            return
        video = task.video
        self._board.failed(error.error_class)
        with self._lock:
            self._report.failed.append(FailedVideo(id=video.id, source=video.source, error=error, retry_at=retry_at))
            if pauses:
                self._report.paused_providers.add(task.site)
            elif error.policy.action is Action.PAUSE:
                self._report.stopped_by = self._report.stopped_by or error
                self._stop.set()

    @contextlib.contextmanager
    def _shown(self, number: int) -> Iterator[Watch]:
        """Show a video's bytes as a growing part of one, and the rest of it when it has ended."""
        shown = 0.0

        def watch(done: int, total: int | None) -> None:
            nonlocal shown
            self._board.grow(number, done, total)
            part = min(done / total, 1.0) * 0.9 if total else 0.0  # the checks are the last tenth
            if part > shown:
                self._progress.advance(part - shown)
                shown = part

        yield watch
        if not self._stop.is_set():
            self._progress.advance(1.0 - shown)
