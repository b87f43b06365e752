"""A local web server that serves videos, and misbehaves in the ways that a test asks for."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class Page:
    """What one path answers. `statuses` are for its first requests, in order; after them it answers well.

    `cut_at`: the connection is dropped after this byte of the file, in the first `cuts` good answers. `stall_at`:
    nothing comes after this byte, in the first `stalls` good answers. `rate` is bytes a second.
    yt-dlp asks twice for a plain file: once to see what it is, once to fetch it.
    """

    body: bytes = b""
    content_type: str = "video/mp4"
    statuses: list[int] = field(default_factory=list)
    retry_after: str | None = None
    cut_at: int | None = None
    cuts: int = 0
    stall_at: int | None = None
    stalls: int = 0
    rate: float | None = None
    ranges: bool = True
    length: bool = True
    headers: dict[str, str] = field(default_factory=dict)  # of refusals


CHALLENGE = {"cf-mitigated": "challenge"}  # with a 403: how one kind of bot check comes


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as it came in."""

    path: str
    first_byte: int | None  # of its Range header
    agent: str
    cookie: str | None
    moment: float  # time.monotonic()


class FaultServer(ThreadingHTTPServer):
    """Serves `pages` by path and keeps what was `asked`, and how many bytes of each file were `sent`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.sent: dict[str, int] = {}
        self.sent_in_ranges: dict[str, int] = {}  # of them, those that a Range header asked for
        self.completed: dict[str, int] = {}  # answers that went to the last byte of the file
        self.closing = threading.Event()
        self.lock = threading.Lock()

    def put(self, name: str, page: Page) -> str:
        """Serve `page` as /`name`; returns its URL."""
        self.pages[f"/{name}"] = page
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def first_bytes(self, name: str) -> list[int | None]:
        """Where each request for a file began."""
        return [asked.first_byte for asked in self.asked if asked.path == f"/{name}"]

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultServer

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path)
        wanted = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        with self.server.lock:
            self.server.asked.append(
                Asked(
                    path=self.path,
                    first_byte=int(wanted[1]) if wanted else None,
                    agent=self.headers.get("User-Agent", ""),
                    cookie=self.headers.get("Cookie"),
                    moment=time.monotonic(),
                )
            )
            status = 404 if page is None else page.statuses.pop(0) if page.statuses else 200
        if page is None or status != 200:
            self._refuse(status, page)
            return
        start, stop = 0, len(page.body)
        if wanted and page.ranges:
            start = int(wanted[1])
            stop = min(stop, int(wanted[2]) + 1) if wanted[2] else stop
        if start and start >= len(page.body):
            self._refuse(416, page)
            return
        self.send_response(206 if wanted and page.ranges else 200)
        if wanted and page.ranges:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(page.body)}")
        if page.length:
            self.send_header("Content-Length", str(stop - start))
        else:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.send_header("Content-Type", page.content_type)
        self.end_headers()
        self._send(page, start, stop)

    def _refuse(self, status: int, page: Page | None) -> None:
        self.send_response(status)
        for name, value in (page.headers if page is not None else {}).items():
            self.send_header(name, value)
        if page is not None and page.retry_after is not None:
            self.send_header("Retry-After", page.retry_after)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, page: Page, start: int, stop: int) -> None:
        with self.server.lock:
            cut = page.cut_at if page.cuts > 0 else None
            stall = page.stall_at if page.stalls > 0 else None
            page.cuts, page.stalls = page.cuts - 1, page.stalls - 1
        end_at = min([stop, *(limit for limit in (cut, stall) if limit is not None and limit >= start)])
        position = start
        while position < end_at:
            end = end_at if page.rate is None else min(position + max(1, int(page.rate / 20)), end_at)
            self.wfile.write(page.body[position:end])
            self.wfile.flush()
            with self.server.lock:
                self.server.sent[self.path] = self.server.sent.get(self.path, 0) + end - position
                if "Range" in self.headers:
                    self.server.sent_in_ranges[self.path] = (
                        self.server.sent_in_ranges.get(self.path, 0) + end - position
                    )
            position = end
            if page.rate is not None:
                self.server.closing.wait(1 / 20)
        if stall is not None and position == stall:
            self.server.closing.wait(30)
        if position < stop:
            self.close_connection = True
        elif stop == len(page.body):
            with self.server.lock:
                self.server.completed[self.path] = self.server.completed.get(self.path, 0) + 1

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[FaultServer]:
    """A running server."""
    server = FaultServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
