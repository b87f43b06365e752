"""What the workers of a download are doing now: written by them, read by whoever shows it."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

SPEED_SECONDS = 5.0  # over which a speed is taken


@dataclass(kw_only=True)
class Doing:
    """One worker's video. `total` bytes are None where the site does not tell."""

    worker: int
    video: str
    host: str
    state: str = "asking"  # the site; then fetching, checking
    done: int = 0
    total: int | None = None
    speed: float | None = None  # bytes a second


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The whole call at one moment."""

    doing: list[Doing]
    videos: int  # in this call
    downloaded: int
    failed: Counter[str]  # by class of error
    bytes: int
    seconds: float
    speed: float  # of all workers together, bytes a second
    left: float | None  # s, at the pace so far


@dataclass(kw_only=True)
class _Worker:
    doing: Doing
    marks: deque[tuple[float, int]] = field(default_factory=deque)


class Board:
    """Any thread may write and read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._workers: dict[int, _Worker] = {}
        self._videos = 0
        self._downloaded = 0
        self._failed: Counter[str] = Counter()
        self._bytes = 0
        self._started = time.monotonic()

    def expect(self, videos: int) -> None:
        """So many videos are due."""
        with self._lock:
            self._videos = videos

    def begin(self, worker: int, video: str, host: str) -> None:
        """A worker has a video in hand."""
        with self._lock:
            self._workers[worker] = _Worker(doing=Doing(worker=worker, video=video, host=host))

    def grow(self, worker: int, done: int, total: int | None) -> None:
        """So many bytes of it are there."""
        with self._lock:
            now = self._workers.get(worker)
            if now is None:
                return
            moment = time.monotonic()
            marks = now.marks
            marks.append((moment, done))
            while len(marks) > 2 and moment - marks[0][0] > SPEED_SECONDS:
                marks.popleft()
            seconds, fetched = moment - marks[0][0], done - marks[0][1]
            now.doing.done, now.doing.total = done, total
            now.doing.state = "checking" if total is not None and done >= total else "fetching"
            now.doing.speed = fetched / seconds if seconds > 0 else None

    def end(self, worker: int) -> None:
        """The worker's hands are free."""
        with self._lock:
            self._workers.pop(worker, None)

    def downloaded(self, size: int) -> None:
        """A video has come in."""
        with self._lock:
            self._downloaded += 1
            self._bytes += size

    def failed(self, error_class: str) -> None:
        """A video has failed."""
        with self._lock:
            self._failed[error_class] += 1

    def snapshot(self) -> Snapshot:
        """How things stand."""
        with self._lock:
            seconds = time.monotonic() - self._started
            ended = self._downloaded + self._failed.total()
            rows = [self._workers[number].doing for number in sorted(self._workers)]
            return Snapshot(
                doing=[Doing(**vars(row)) for row in rows],
                videos=self._videos,
                downloaded=self._downloaded,
                failed=Counter(self._failed),
                bytes=self._bytes,
                seconds=seconds,
                speed=sum(row.speed or 0.0 for row in rows),
                left=seconds / ended * max(0, self._videos - ended) if ended else None,
            )
