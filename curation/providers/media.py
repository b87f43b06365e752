"""A video's media on its server, read in parts: what `curate download --sections` needs of a provider."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from yt_dlp import YoutubeDL
from yt_dlp.networking import Request
from yt_dlp.networking.exceptions import HTTPError, TransportError

from curation.classify import classify
from curation.errors import ErrorClass, StageError
from curation.providers.found import Cancelled, Details
from curation.providers.ranges import SMALLEST, NotInParts, RangeFile

PIECE = 1 << 16  # bytes read before a stop is looked for
LONGEST_SLEEP = 10.0  # s, between tries
PROTOCOLS = ("http", "https")


class Media:
    """One chosen format of a video. `watch` is told of each byte that came."""

    def __init__(
        self,
        downloader: YoutubeDL,
        chosen: Mapping[str, Any],
        details: Details,
        *,
        retries: int,
        rate: float | None,
        stop: threading.Event,
    ) -> None:
        self.details = details
        self.bytes = 0  # that came
        self.size = 0  # of the file
        self.watch: Callable[[int], None] = lambda done: None
        self.version = ""  # changes when the file on the server does
        self._downloader = downloader
        self._url = str(chosen["url"])
        self._headers = dict(chosen.get("http_headers") or {}) | {"Accept-Encoding": "identity"}
        self._retries = retries
        self._rate = rate
        self._stop = stop
        self._started = time.monotonic()

    def open(self) -> RangeFile:
        """The media's file. Raises `NotInParts` where its server only sends it whole."""
        head, size = self._first()
        self.size = size
        file = RangeFile(self.get, size)
        file.keep(0, head)
        return file

    def get(self, first: int, end: int) -> bytes:
        """The bytes of [first, end), tried again from where a connection broke. Raises `StageError`, `Cancelled`."""
        got = bytearray()
        failures = 0
        while len(got) < end - first:
            before = len(got)
            try:
                self._read(first + before, end, got)
            except (HTTPError, TransportError, OSError) as error:
                failures = 1 if len(got) > before else failures + 1
                self._wait_or_raise(error, failures)
            else:
                if len(got) == before:
                    raise StageError(ErrorClass.NETWORK, f"the server sent nothing for bytes {first}-{end - 1}")
        return bytes(got)

    def _first(self) -> tuple[bytes, int]:
        failures = 0
        while True:
            try:
                with self._ask(0, SMALLEST) as response:
                    size = _size_of(response)
                    self.version = str(response.headers.get("ETag") or response.headers.get("Last-Modified") or "")
                    head = response.read(min(SMALLEST, size))
                    self._count(len(head))
                    return head, size
            except (HTTPError, TransportError, OSError) as error:
                failures += 1
                self._wait_or_raise(error, failures)

    def _read(self, first: int, end: int, got: bytearray) -> None:
        with self._ask(first, end) as response:
            if _first_byte_of(response) != first:
                raise StageError(ErrorClass.NETWORK, "the server sent another range than it was asked for")
            while first < end and (piece := response.read(min(PIECE, end - first))):
                got += piece
                first += len(piece)
                self._count(len(piece))
                if self._stop.is_set():
                    raise Cancelled

    def _ask(self, first: int, end: int) -> Any:
        return self._downloader.urlopen(
            Request(self._url, headers=self._headers | {"Range": f"bytes={first}-{end - 1}"})
        )

    def _count(self, amount: int) -> None:
        self.bytes += amount
        self.watch(self.bytes)
        if self._rate is not None:
            ahead = self.bytes / self._rate - (time.monotonic() - self._started)
            if ahead > 0:
                self._stop.wait(ahead)

    def _wait_or_raise(self, error: Exception, failures: int) -> None:
        if self._stop.is_set():
            raise Cancelled from None
        if classify(error).error_class is not ErrorClass.NETWORK or failures > self._retries:
            raise error
        if self._stop.wait(min(2.0 ** (failures - 1), LONGEST_SLEEP)):
            raise Cancelled from None


def chosen_format(info: Mapping[str, Any]) -> Mapping[str, Any]:
    """The format with the pictures that yt-dlp selected. Raises `NotInParts` unless it is one plain file."""
    formats = info.get("requested_formats") or [info]
    chosen: Mapping[str, Any] = next((f for f in formats if f.get("vcodec") != "none"), formats[0])
    protocol = str(chosen.get("protocol") or "")
    if protocol not in PROTOCOLS or chosen.get("fragments") or not chosen.get("url"):
        raise NotInParts(f"its site serves it in fragments ({protocol or 'unknown protocol'})")
    return chosen


def _size_of(response: Any) -> int:
    stated = re.fullmatch(r"bytes 0-\d+/(\d+)", str(response.headers.get("Content-Range") or "").strip())
    if response.status != 206 or stated is None:
        raise NotInParts("its server does not serve ranges of bytes")
    return int(stated[1])


def _first_byte_of(response: Any) -> int | None:
    stated = re.match(r"bytes (\d+)-", str(response.headers.get("Content-Range") or "").strip())
    return int(stated[1]) if response.status == 206 and stated else None
