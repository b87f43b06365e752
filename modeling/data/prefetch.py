"""Batches read ahead by a thread, in the order of their source, and how long the loop waited for them.

Decoding and copying release the interpreter's lock, so they run beside the networks' passes. Order and content are
the source's own: a thread in between cannot change a result.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

AHEAD = 4  #          batches that are held ready: the passes of a step, and one
LOOK_AGAIN = 0.2  # seconds after which a full queue's thread looks whether it is still wanted


@dataclass(frozen=True)
class _Failed:
    error: BaseException


@dataclass(frozen=True)
class _Ended:
    pass


class ReadAhead(Generic[T]):
    """Iterates over `source`, whose items a thread of its own takes from it, at most `ahead` too early.

    An exception of the source is raised where its item would have come. Close it to end the thread.
    """

    def __init__(self, source: Iterator[T], ahead: int = AHEAD) -> None:
        self._source = source
        self._queue: queue.Queue[T | _Failed | _Ended] = queue.Queue(ahead)
        self._unwanted = threading.Event()
        self._waited = 0.0
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        began = time.perf_counter()
        item = self._queue.get()
        self._waited += time.perf_counter() - began
        if isinstance(item, _Failed):
            self._queue.put(_Ended())  # who asks again is not left waiting
            raise item.error
        if isinstance(item, _Ended):
            self._queue.put(item)
            raise StopIteration
        return item

    def waited(self) -> float:
        """Seconds spent waiting for items since this was last asked."""
        seconds, self._waited = self._waited, 0.0
        return seconds

    def close(self) -> None:
        """End the thread; items that were read and not taken are dropped."""
        self._unwanted.set()
        self._thread.join()

    def _read(self) -> None:
        last: _Failed | _Ended = _Ended()
        try:
            for item in self._source:
                if not self._offer(item):
                    return
        # Whatever goes wrong here is the loop's to handle.
        except BaseException as error:  # noqa: BLE001
            last = _Failed(error)
        self._offer(last)

    def _offer(self, item: T | _Failed | _Ended) -> bool:
        """Hand on an item; False where nobody wants it any more."""
        while not self._unwanted.is_set():
            try:
                self._queue.put(item, timeout=LOOK_AGAIN)
            except queue.Full:
                continue
            return True
        return False
