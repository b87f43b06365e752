"""A watcher that does its work in a daemon thread behind a bounded queue.

A server that is dead, or a disk that is full, costs the training nothing: what does not fit into the queue is dropped
and counted. Work begins afresh, after growing pauses, until it succeeds again; steps that went by meanwhile are then
read from metrics.jsonl.
"""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling.runs.curves import read_records
from modeling.watchers import RunStart

QUEUE_LENGTH = 512  #     steps and samples waiting to be shown
BETWEEN_SENDS = 0.5  #    seconds: the steps of this span travel together
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between attempts after a failure
CLOSE_WITHIN = 5.0  #     seconds that the end of a run waits for what is still to be shown


@dataclass(frozen=True)
class Sample:
    step: int
    video: Path


@dataclass(frozen=True)
class _Stop:
    pass


Record = Mapping[str, float]


class Display(ABC):
    """Where steps and samples are shown; made anew after each failure. Any call may raise."""

    @abstractmethod
    def show(self, records: Sequence[Record], samples: Sequence[Sample]) -> None:
        """Steps in their order, each once, and sample videos."""

    @abstractmethod
    def close(self) -> None:
        """Nothing more comes."""


class BackgroundWatcher(ABC):
    """Shows a run's steps and samples on a `Display`. `say` gets a line when that fails and when it works again."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.dropped = 0
        self._say = say
        self._start: RunStart | None = None
        self._queue: queue.Queue[RunStart | Record | Sample | _Stop] = queue.Queue(QUEUE_LENGTH)
        self._closing, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)
        self._thread.start()

    @abstractmethod
    def _open(self, start: RunStart | None) -> tuple[Display, int]:
        """A display, and the last step that it shows already."""

    @abstractmethod
    def _failure(self, error: Exception) -> str:
        """What is said when showing fails, without what follows from it."""

    @abstractmethod
    def _recovery(self) -> str:
        """What is said when it works again."""

    def begin(self, start: RunStart) -> None:
        self._offer(start)

    def step(self, record: Record) -> None:
        self._offer(dict(record))

    def sample(self, step: int, video: Path) -> None:
        self._offer(Sample(step, video))

    def close(self, wait: float = CLOSE_WITHIN) -> None:
        """Show what is waiting, for at most `wait` seconds."""
        self._offer(_Stop())
        self._closing.set()  # a pause between attempts ends here
        self._thread.join(wait)
        self._stopping.set()

    def _offer(self, item: RunStart | Record | Sample | _Stop) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        """The thread: collect for a moment, show together, and start afresh after any failure."""
        display: Display | None = None
        pause, silent, last = FIRST_PAUSE, False, 0
        while not self._stopping.is_set():
            items = self._collect()
            stop = any(isinstance(item, _Stop) for item in items)
            for item in items:
                if isinstance(item, RunStart):
                    self._start = item
            records = [item for item in items if isinstance(item, Mapping)]
            samples = [item for item in items if isinstance(item, Sample)]
            try:
                if display is None:
                    display, last = self._open(self._start)
                    records = self._missed(last, records)
                records = [record for record in records if record["step"] > last]
                display.show(records, samples)
                last = max([last, *(int(record["step"]) for record in records)])
                if stop:
                    display.close()
                if silent:
                    self._say(self._recovery())
                pause, silent = FIRST_PAUSE, False
            # Whatever a client library, a server or a disk does wrong must end here and not in the training.
            except Exception as error:  # noqa: BLE001
                display = None
                self.dropped += len(records) + len(samples)
                if not silent:
                    self._say(f"{self._failure(error)}: training goes on")
                silent = True
                if stop:
                    return
                self._closing.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            if stop:
                return

    def _missed(self, last: int, records: list[Record]) -> list[Record]:
        """The steps after `last`, those of before the display was there too, and then `records`."""
        if self._start is None:
            return records
        written = [record for record in read_records(self._start.metrics_file) if record["step"] > last]
        newest = written[-1]["step"] if written else last
        return [*written, *(record for record in records if record["step"] > newest)]

    def _collect(self) -> list[RunStart | Record | Sample | _Stop]:
        items = [self._queue.get()]
        deadline = time.monotonic() + BETWEEN_SENDS
        while not isinstance(items[-1], _Stop):
            try:
                items.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        return items
