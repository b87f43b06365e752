"""A whole review: the annotator's lock, the server, the batches built ahead, and the loop over events."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from annotation_server import mosaic, page
from annotation_server.batches import BatchStore
from annotation_server.closeups import Closeups, Maker
from annotation_server.display import GRID, STATUS, Display, Lost
from annotation_server.events import Bye
from annotation_server.offers import Ranker
from annotation_server.records import Confirmed, OpenBatch, Order, Pass, Totals
from annotation_server.server import ENV, Login, Server
from annotation_server.session import Outcome, Review, Shown
from db.engine import Catalogue

MAX_BATCH = 64
KEPT_MOSAICS = 4  # the one on screen, the next, and two to go back to
IDLE_SECONDS = 0.5
BYE_SECONDS = 1.5
SLOW_SECONDS = 0.15


class ReviewError(Exception):
    """The review cannot begin or go on; the message says why and what to do, in one line."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to review. `server` is the address of a running Visdom server, to be used instead of an own one."""

    annotator: str
    review: Pass = Pass.FIRST
    order: Order = Order.TIME
    ranker: Ranker | None = None  # for Order.RANKED
    preselect: bool = False  # mark what the ranker proposes to reject
    again: bool = False  # offer clips once more that were skipped before
    overlap: float = 0.0  # share of the clips that a second annotator shall see too, 0 to 1
    only: tuple[str, ...] = ()  # the clips of a pass AGAIN
    batch_size: int = 25
    min_view: float = 1.0  # s that a batch must have been watched before Enter counts
    host: str = "127.0.0.1"
    port: int = 0
    server: str | None = None
    login: Login | None = None
    closeup: Maker | None = None  # films a clip, larger, for the cell under the mouse
    closeup_failures: tuple[type[Exception], ...] = (OSError,)  # what it raises where a clip cannot be filmed

    def __post_init__(self) -> None:
        if not 1 <= len(self.annotator) <= 64 or not self.annotator.isprintable() or self.annotator.isspace():
            raise ReviewError("an annotator's name has 1 to 64 printable characters")
        if not 1 <= self.batch_size <= MAX_BATCH:
            raise ReviewError(f"a batch has 1 to {MAX_BATCH} clips")
        if (self.order is Order.RANKED) != (self.ranker is not None):
            raise ReviewError("a ranked order needs a ranker, and no other order has one")
        if not 0 <= self.overlap <= 1:
            raise ReviewError("the overlap is a share from 0 to 1")
        if not 0 <= self.min_view <= 3600:
            raise ReviewError("the least time to watch a batch is 0 to 3600 s")


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a review ended: what was confirmed in it, and where the data set stands."""

    batches: int
    confirmed: Confirmed
    totals: Totals
    finished: bool  # nothing is left to this annotator
    holders: dict[str, int]  # other annotators -> clips in their open batches
    ignored: int  # events that were not for the batch on screen, or that no page of ours sends; they changed nothing


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A batch with its mosaic built."""

    shown: Shown
    geometry: mosaic.Geometry
    video: Path | None


def run(catalogue: Catalogue, settings: Settings, *, ready: Callable[[str], None]) -> Result:
    """Review until the curator stops or nothing is left; `ready` gets the page's address once it can be opened.

    Raises `ReviewError`, `DisplayError`, `ServerError`, `AssetsError` or `MosaicError`, all with a one-line message.
    """
    with _only_one(catalogue, settings), _terminated_like_interrupted():
        return _Run(catalogue, settings).run(ready)


def take_over(catalogue: Catalogue, settings: Settings, annotator: str) -> int:
    """Free the clips in another annotator's open batches, unless that annotator is at work now."""
    theirs = Settings(annotator=annotator, review=settings.review)
    store = BatchStore(catalogue, annotator=settings.annotator, review=settings.review)
    with _only_one(catalogue, theirs):
        return store.take_over(annotator)


@contextlib.contextmanager
def _only_one(catalogue: Catalogue, settings: Settings) -> Iterator[None]:
    """Hold the annotator's lock: two processes on one batch would overwrite each other. A killed one lets go."""
    name = hashlib.sha256(f"{settings.review}:{settings.annotator}".encode()).hexdigest()[:16]
    with catalogue.path(f".annotate-{name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReviewError(
                f"{settings.annotator} is reviewing this dataset already; use the page that is open, "
                "or another name (--annotator)"
            ) from None
        yield


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends a review as Ctrl-C and Escape do."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Run:
    def __init__(self, catalogue: Catalogue, settings: Settings) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._store = BatchStore(
            catalogue,
            annotator=settings.annotator,
            review=settings.review,
            size=settings.batch_size,
            order=settings.order,
            ranker=settings.ranker,
            preselect=settings.preselect,
            again=settings.again,
            overlap=settings.overlap,
            only=settings.only,
        )
        self._review = Review(self._store, min_view=settings.min_view)
        self._built: dict[object, _Prepared] = {}
        self._last_token = ""
        self._junk = 0
        self._closeups: Closeups | None = None

    def run(self, ready: Callable[[str], None]) -> Result:
        batch = self._store.take()
        if batch is None:
            return self._result(finished=True)
        with (
            tempfile.TemporaryDirectory(prefix="stillflow-mosaics-") as media,
            ThreadPoolExecutor(1, thread_name_prefix="mosaics") as self._builder,
        ):
            self._media = Path(media)
            if self._settings.closeup is not None:
                self._closeups = Closeups(self._media, self._settings.closeup, failures=self._settings.closeup_failures)
            finished = False
            try:
                first: Future[_Prepared | None] = self._builder.submit(self._prepare, batch)
                with self._opened_display() as address:
                    finished = self._serve(first, lambda: ready(address))
            except KeyboardInterrupt:
                finished = False
            finally:
                self._builder.shutdown(cancel_futures=True)
                self._store.release_unseen()
        return self._result(finished=finished)

    @contextlib.contextmanager
    def _opened_display(self) -> Iterator[str]:
        login = self._settings.login
        credentials = {"username": login.username, "password": login.password} if login else {}
        with contextlib.ExitStack() as stack:
            if self._settings.server is None:
                server = Server(
                    self._media,
                    host=self._settings.host,
                    port=self._settings.port,
                    login=login,
                    closeup=self._closeups.film if self._closeups else None,
                )
                stack.callback(server.start().stop)
                stack.callback(lambda: self._count_junk(server.dropped))
                # By the port, not the address: with a login the address is that of the login page.
                host = server.address.rsplit(":", 1)[0]
                self._display = Display(f"{host}:{server.port}", ENV, **credentials)
                address = server.address
            else:
                env = _environment(self._settings, self._catalogue.folder)
                self._display = Display(self._settings.server, env, **credentials)
                address = f"{self._settings.server.rstrip('/')}/env/{env}"
            stack.callback(self._display.close)
            stack.callback(lambda: self._count_junk(self._display.junk))
            yield address

    def _count_junk(self, events: int) -> None:
        self._junk += events

    def _serve(self, first: Future[_Prepared | None], ready: Callable[[], None]) -> bool:
        """Show batch after batch. True if nothing is left, False if the curator stopped."""
        prepared = first.result()
        announced = False
        while prepared is not None:
            self._review.show(prepared.shown)
            self._last_token = prepared.shown.batch.token
            self._totals = self._store.totals()
            if self._closeups is not None:
                cells = prepared.shown.batch.cells
                self._closeups.show(self._last_token, {cell.position: cell.clip_id for cell in cells})
            self._publish(prepared)
            self._builder.submit(self._prepare_ahead, prepared.shown.batch.id)
            if not announced:
                ready()
                announced = True
            try:
                stopped = self._until_left(prepared) is Outcome.STOPPED
            except KeyboardInterrupt:
                stopped = True
            if stopped:
                self._end(finished=False)
                return False
            coming = self._builder.submit(self._take_and_prepare)
            if not _done_within(coming, SLOW_SECONDS):
                self._show_status(None, message="The next batch is being built ...")
            prepared = coming.result()
        self._end(finished=True)
        return True

    def _until_left(self, prepared: _Prepared) -> Outcome:
        changed = False
        while True:
            if changed and not self._display.waiting():
                self._show_status(prepared.shown)
                changed = False
            event = self._display.next_event(IDLE_SECONDS)
            if isinstance(event, Lost):
                self._publish(prepared)
            elif event is not None:
                outcome = self._review.handle(event)
                if outcome in (Outcome.LEFT, Outcome.STOPPED):
                    return outcome
                changed = changed or outcome is Outcome.CHANGED

    def _publish(self, prepared: _Prepared) -> None:
        full = mosaic.Geometry.of(self._settings.batch_size, self._settings.batch_size)
        self._show_status(prepared.shown)
        video = self._source(prepared.video)
        # A Visdom server of somebody else's has no route for them.
        closeups = "/closeups/" if self._closeups is not None and self._settings.server is None else None
        self._display.show(GRID, page.grid(prepared.shown, prepared.geometry, full, video, closeups))

    def _source(self, video: Path | None) -> str | None:
        if video is None:
            return None
        if self._settings.server is None:
            return f"/mosaics/{video.name}"
        return "data:video/mp4;base64," + base64.b64encode(video.read_bytes()).decode()

    def _show_status(self, shown: Shown | None, message: str | None = None) -> None:
        """The status of the batch on screen; without one (`shown` is None), the totals alone."""
        judging = shown is not None and message is None
        state = page.Status(
            annotator=self._settings.annotator,
            review=self._settings.review if shown is None else shown.batch.review,
            token=self._last_token,
            clips=0 if shown is None else len(shown.batch.cells),
            marks=self._review.marks if judging else {},
            skipped=self._review.skipped if judging else frozenset(),
            totals=self._totals,
            pace=self._review.pace,
            message=self._review.message if message is None else message,
            told=self._settings.ranker.told if self._settings.ranker else "",
        )
        self._display.show(STATUS, page.status(state))

    def _end(self, *, finished: bool) -> None:
        """Tell the page how the review ended, and give it time to show it."""
        result = self._result(finished=finished)
        done = result.confirmed
        lines = [
            "Nothing is left to review." if finished else "The review is stopped.",
            f"In this review {done.kept:,} clips were kept and {done.rejected:,} rejected.",
            "You can close this page." if finished else "To go on, start curate annotate again.",
        ]
        self._totals = result.totals
        self._show_status(None, message="")
        self._display.show(GRID, page.ended(lines, self._last_token))
        deadline = time.monotonic() + BYE_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if isinstance(self._display.next_event(left), Bye):
                return

    def _result(self, *, finished: bool) -> Result:
        return Result(
            batches=self._review.batches,
            confirmed=self._review.confirmed,
            totals=self._store.totals(),
            finished=finished,
            holders=self._store.holders(),
            ignored=self._review.ignored + self._junk,
        )

    # In the builder's thread:

    def _take_and_prepare(self) -> _Prepared | None:
        batch = self._store.take()
        return None if batch is None else self._prepare(batch)

    def _prepare_ahead(self, after: int) -> None:
        batch = self._store.take_ahead(after)
        if batch is not None:
            self._prepare(batch)

    def _prepare(self, batch: OpenBatch) -> _Prepared:
        known = self._built.pop(batch.contents, None)
        if known is not None:
            # The same mosaic; the marks may have changed since.
            shown = Shown(batch=batch, unplayable=known.shown.unplayable, loop_seconds=known.shown.loop_seconds)
            prepared = _Prepared(shown=shown, geometry=known.geometry, video=known.video)
        else:
            prepared = self._build(batch)
        self._built[batch.contents] = prepared
        while len(self._built) > KEPT_MOSAICS:
            oldest = self._built.pop(next(iter(self._built)))
            if oldest.video is not None:
                oldest.video.unlink(missing_ok=True)
        return prepared

    def _build(self, batch: OpenBatch) -> _Prepared:
        used = 1 + max(cell.position for cell in batch.cells)
        geometry = mosaic.Geometry.of(max(self._settings.batch_size, used), used)
        digest = hashlib.sha256(repr(batch.contents).encode()).hexdigest()[:8]
        built = mosaic.build(
            {cell.position: cell.preview for cell in batch.cells if cell.preview is not None},
            geometry,
            self._media / f"{batch.token}-{digest}.mp4",
        )
        errors = {cell.position: cell.error for cell in batch.cells if cell.error is not None}
        shown = Shown(batch=batch, unplayable={**errors, **built.errors}, loop_seconds=built.seconds)
        return _Prepared(shown=shown, geometry=geometry, video=built.video)


def _environment(settings: Settings, folder: Path) -> str:
    """A Visdom environment's name that is this annotator's on this dataset alone."""
    plain = re.sub(r"[^a-z0-9]+", "-", settings.annotator.lower()).strip("-") or "annotator"
    digest = hashlib.sha256(f"{folder}:{settings.review}:{settings.annotator}".encode()).hexdigest()[:8]
    return f"{ENV}-{plain}-{digest}"


def _done_within(future: Future[_Prepared | None], seconds: float) -> bool:
    with contextlib.suppress(TimeoutError):
        future.exception(seconds)
        return True
    return False
