"""Searching a provider by a phrase: page after page into the catalogue, resumable after each of them.

A query that its provider cuts off is asked again for parts of its span of publication dates. Where to go on stands in
`Query.progress`, written in the transaction that queues a page's videos: a search that stops for whatever reason is
continued by the same command, and asks for nothing twice but the page that it was at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from curation.finding.adding import Known, queue_new
from curation.providers.found import Found
from curation.providers.hits import Hit, HitPage, SearchProvider, SearchStopped, StaleToken, Wanted, Window
from db.engine import Catalogue
from db.models import Query, Video, now

BEGINNING = datetime(2005, 4, 23, tzinfo=UTC)  # of YouTube: its first video's date


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a search has come."""

    windows: list[Window]  # left to page through, in this order
    limit: int  # wanted by the newest call
    began: datetime
    found: int = 0  # hits that are wanted, new or known
    seen: list[str] = field(default_factory=list)  # all hits so far, wanted or not
    left_out: dict[str, int] = field(default_factory=dict)  # by reason
    crowded: int = 0  # windows of a second that hold more than their query tells

    def as_json(self) -> dict[str, Any]:
        """The progress as `Query.progress` keeps it."""
        return {
            **vars(self),
            "windows": [window.as_json() for window in self.windows],
            "began": self.began.isoformat(),
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Progress:
        """What `as_json` made."""
        windows = [Window.of_json(window) for window in stored["windows"]]
        return cls(**(stored | {"windows": windows, "began": datetime.fromisoformat(stored["began"])}))


@dataclass(kw_only=True)
class SearchReport:
    """What a call did. `found` and `left_out` are of the whole search, `new` and `known` of this call."""

    new: list[str] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)
    found: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    crowded: int = 0
    more: bool = False  # a larger limit would find more
    resumed: bool = False  # an earlier call's search was continued
    complete_since: datetime | None = None  # it was complete already: nothing was asked
    stopped: SearchStopped | None = None


def search(
    catalogue: Catalogue,
    provider: SearchProvider,
    wanted: Wanted,
    *,
    limit: int,
    again: bool = False,
    each: Callable[[int], None] = lambda found: None,
) -> SearchReport:
    """Queue the first `limit` videos that a provider finds, those known already among them.

    Continues the newest search of the same phrase and settings where that one stopped, or where its limit was
    smaller; if it is complete, nothing is asked, unless `again`. `each` is called with the number found before, and
    then with that of each page. Raises `SearchRefused` where the provider cannot be asked like this.
    """
    run = _Search(catalogue, provider, wanted, limit)
    report = run.begin(again)
    each(run.progress.found)
    if report.complete_since is None:
        try:
            run.go(report, each)
        except SearchStopped as stopped:
            report.stopped = stopped
    progress = run.progress
    report.found, report.left_out, report.crowded = progress.found, progress.left_out, progress.crowded
    report.more = bool(progress.windows)
    return report


def first_hits(provider: SearchProvider, wanted: Wanted, number: int) -> list[Hit]:
    """The first `number` hits that are wanted; nothing is recorded."""
    window: Window | None = Window(after=wanted.after, before=wanted.before)
    hits: dict[str, Hit] = {}
    while window is not None and len(hits) < number:
        page = provider.page(wanted, window)
        details = provider.details([id_ for id_ in page.ids if id_ not in hits])
        hits |= {id_: details[id_] for id_ in page.ids if id_ in details and wanted.refuses(details[id_]) is None}
        window = _next_page(window, page)
    return list(hits.values())[:number]


class _Search:
    """One call's work on one query."""

    def __init__(self, catalogue: Catalogue, provider: SearchProvider, wanted: Wanted, limit: int) -> None:
        self._catalogue = catalogue
        self._provider = provider
        self._wanted = wanted
        self._limit = limit
        self._id: int | None = None  # of the query; None: nothing is stored yet
        self._before: int | None = None  # id of the newest such query when this call began
        self._stored: dict[str, Any] | None = None  # its progress as this call knows it
        first = Window(after=wanted.after, before=wanted.before)
        self.progress = Progress(windows=[first], limit=limit, began=now())

    def begin(self, again: bool) -> SearchReport:
        """Find what is there of this search."""
        with self._catalogue.reading() as session:
            newest = self._newest(session)
            if newest is None:
                return SearchReport()
            self._before = newest.id
            if again or newest.progress is None:
                return SearchReport()
            before = Progress.of_json(newest.progress)
            unfinished = bool(before.windows) and before.found < self._limit
            if newest.state == "complete" and not unfinished:
                self.progress = before
                return SearchReport(complete_since=newest.created_at)
            self._id, self._stored = newest.id, newest.progress
            self.progress = replace(before, limit=self._limit)
            return SearchReport(resumed=True)

    def go(self, report: SearchReport, each: Callable[[int], None]) -> None:
        """Page after page, until enough is found or nothing is left."""
        while self.progress.found < self._limit and self.progress.windows:
            before = self.progress.found
            self._one_page(report)
            each(self.progress.found - before)
        self._store([], report, self.progress, done=True)

    def _one_page(self, report: SearchReport) -> None:
        window, *others = self.progress.windows
        try:
            page = self._provider.page(self._wanted, window)
        except StaleToken:
            self.progress = replace(self.progress, windows=[replace(window, token=None, hits=0), *others])
            return
        seen = set(self.progress.seen)
        fresh = [id_ for id_ in dict.fromkeys(page.ids) if id_ not in seen]
        details = self._provider.details(fresh)
        wanted: list[Found] = []
        left_out = Counter(self.progress.left_out)
        looked_at = 0
        for id_ in fresh:
            if self.progress.found + len(wanted) == self._limit:
                break
            looked_at += 1
            hit = details.get(id_)
            reason = "not available" if hit is None else self._wanted.refuses(hit)
            if hit is not None and reason is None:
                wanted.append(hit.video)
            elif reason is not None:
                left_out[reason] += 1
        # A page of which the limit left something out is asked for again if the limit grows.
        after = window if looked_at < len(fresh) else _next_page(window, page)
        after_this = replace(
            self.progress,
            windows=others if after is None else [after, *others],
            found=self.progress.found + len(wanted),
            seen=[*self.progress.seen, *fresh[:looked_at]],
            left_out=dict(left_out),
        )
        ended = replace(window, hits=window.hits + len(page.ids)) if after is None else None
        self._store(wanted, report, after_this, ended=ended)

    def _store(
        self,
        wanted: list[Found],
        report: SearchReport,
        progress: Progress,
        *,
        ended: Window | None = None,
        done: bool = False,
    ) -> None:
        """Queue a page's videos and say how far the search has come, in one transaction."""
        with self._catalogue.writing() as session:
            query = self._query(session)
            first_rank = self.progress.found
            added = queue_new(session, wanted, query_id=query.id, first_rank=first_rank)
            if ended is not None and self._provider.ceiling is not None and ended.hits >= self._provider.ceiling:
                session.flush()
                parts = _parts(session, query.id, ended, progress.began)
                progress = replace(
                    progress, windows=[*progress.windows, *parts], crowded=progress.crowded + (not parts)
                )
            query.progress = progress.as_json()
            query.state = "complete" if done else "open"
        self._id, self._stored, self.progress = query.id, query.progress, progress
        report.new += added.new
        report.known += added.known

    def _query(self, session: Session) -> Query:
        """The row of this search, which nobody else must have moved on."""
        newest = self._newest(session)
        if (None if newest is None else newest.id) != (self._before if self._id is None else self._id) or (
            newest is not None and self._id is not None and newest.progress != self._stored
        ):
            raise SearchStopped("another command is at the same search; what it finds stands")
        if self._id is not None and newest is not None:
            return newest
        query = Query(provider=self._provider.name, phrase=self._wanted.phrase, settings=self._wanted.settings())
        query.state = "open"
        session.add(query)
        session.flush()
        return query

    def _newest(self, session: Session) -> Query | None:
        """The newest search of this provider, phrase and settings."""
        same = select(Query).where(Query.provider == self._provider.name, Query.phrase == self._wanted.phrase)
        settings = self._wanted.settings()
        return next((q for q in session.scalars(same.order_by(Query.id.desc())) if q.settings == settings), None)


def _next_page(window: Window, page: HitPage) -> Window | None:
    """The window at its next page; None: that was the last."""
    if page.next_token is None or not page.ids:
        return None
    return replace(window, token=page.next_token, hits=window.hits + len(page.ids))


def _parts(session: Session, query_id: int, window: Window, began: datetime) -> list[Window]:
    """The two parts of a window, the newer first, as full as each other as far as is known; none if it is too narrow.

    Both hold the moment between them, as providers differ on whether a bound belongs to its span.
    """
    lower, upper = window.after or BEGINNING, window.before or began
    inside = (Video.query_id == query_id, Video.published_at > lower, Video.published_at < upper)
    number = session.scalar(select(func.count()).where(*inside)) or 0
    dates = select(Video.published_at).where(*inside).order_by(Video.published_at)
    median = session.scalar(dates.offset(number // 2).limit(1)) if number else None
    for moment in (median, lower + (upper - lower) / 2):
        middle = None if moment is None else moment.replace(microsecond=0)
        if middle is not None and lower < middle < upper:
            return [Window(after=middle, before=window.before), Window(after=window.after, before=middle)]
    return []
