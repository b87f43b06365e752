"""A local web server over a folder of videos, with the faults a downloader meets on request.

Serves GET and HEAD with byte ranges on 127.0.0.1, one thread a connection, and writes nothing to standard error.
"""

from __future__ import annotations

import mimetypes
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

BLOCK = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class ServerFault:
    """How a path misbehaves; fields combine. `times` ends the fault after so many requests (None: never)."""

    status: int | None = None  # answer this instead of the file
    retry_after: float | None = None  # seconds, sent as Retry-After
    stall: float = 0.0  # seconds of silence before the answer
    stall_after: int | None = None  # bytes of the body sent before the silence, instead of before the answer
    truncate: int | None = None  # close the connection after so many bytes of the body
    content_type: str | None = None  # claim this type
    body: bytes | None = None  # send this instead of the file
    bytes_per_second: float | None = None  # a slow link
    times: int | None = None

    def __post_init__(self) -> None:
        if self.status is not None and not 300 <= self.status <= 599:
            raise ValueError(f"a fault's status lies between 300 and 599, not {self.status}")
        if self.bytes_per_second is not None and self.bytes_per_second <= 0:
            raise ValueError(f"bytes_per_second must be positive, not {self.bytes_per_second}")
        if self.stall < 0 or min(self.truncate or 0, self.stall_after or 0, self.times or 0) < 0:
            raise ValueError("stall, stall_after, truncate and times must not be negative")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One answered request, for tests that count them."""

    method: str
    path: str  # decoded, without the leading slash
    range: str | None
    status: int


def parse_range(header: str | None, length: int) -> tuple[int, int] | None:
    """First and last byte (inclusive) of a single `bytes=` range; None for the whole body.

    Raises ValueError where the range lies outside the body (RFC 9110, 14.1.2). Forms it cannot serve count as absent.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip()) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":  # the last so many bytes
        if int(last) == 0 or length == 0:
            raise ValueError(f"range {header} of a body of {length} bytes")
        return max(0, length - int(last)), length - 1
    if last and int(last) < int(first):
        return None
    if int(first) >= length:
        raise ValueError(f"range {header} of a body of {length} bytes")
    return int(first), min(int(last) if last else length - 1, length - 1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in `FootageServer.requests`, not printed."""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        site = self.server.site
        path = unquote(urlsplit(self.path).path).lstrip("/")
        fault = site.take_fault(path) or ServerFault()
        if fault.stall_after is None:
            site.pause(fault.stall)
        if fault.status is not None:
            self._send_status(path, fault, fault.status, body)
            return
        content = fault.body if fault.body is not None else site.read(path)
        if content is None:
            self._send_status(path, fault, 404, body)
            return
        length = len(content) if isinstance(content, bytes) else content.stat().st_size
        asked = self.headers.get("Range")
        try:
            part = parse_range(asked, length)
        except ValueError:
            site.note(Request(method=self.command, path=path, range=asked, status=416))
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{length}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, last = part or (0, length - 1)
        site.note(Request(method=self.command, path=path, range=asked, status=206 if part else 200))
        self.send_response(206 if part else 200)
        self.send_header(
            "Content-Type", fault.content_type or mimetypes.guess_type(path)[0] or "application/octet-stream"
        )
        self.send_header("Content-Length", str(last - first + 1))
        self.send_header("Accept-Ranges", "bytes")
        if part:
            self.send_header("Content-Range", f"bytes {first}-{last}/{length}")
        self.end_headers()
        if body:
            self._send_body(content, first, last - first + 1, fault)

    def _send_status(self, path: str, fault: ServerFault, status: int, body: bool) -> None:
        self.server.site.note(Request(method=self.command, path=path, range=self.headers.get("Range"), status=status))
        text = f"{status}\n".encode() if fault.body is None else fault.body
        self.send_response(status)
        if fault.retry_after is not None:
            self.send_header("Retry-After", f"{fault.retry_after:g}")
        self.send_header("Content-Type", fault.content_type or "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)

    def _send_body(self, content: bytes | Path, first: int, length: int, fault: ServerFault) -> None:
        site, sent = self.server.site, 0
        limit = length if fault.truncate is None else min(length, fault.truncate)
        block = BLOCK if fault.bytes_per_second is None else max(1, min(BLOCK, int(fault.bytes_per_second / 20)))
        stream = None if isinstance(content, bytes) else content.open("rb")
        try:
            if stream:
                stream.seek(first)
            while sent < limit and not site.closing.is_set():
                size = min(block, limit - sent)
                if fault.stall_after is not None and sent <= fault.stall_after < sent + size:
                    size = max(fault.stall_after - sent, 0)
                    if size == 0:
                        site.pause(fault.stall)
                        size = min(block, limit - sent)
                data = stream.read(size) if stream else content[first + sent : first + sent + size]  # type: ignore[index]
                if not data:
                    break
                started = time.monotonic()
                self.wfile.write(data)
                sent += len(data)
                if fault.bytes_per_second is not None:
                    site.pause(len(data) / fault.bytes_per_second - (time.monotonic() - started))
        finally:
            if stream:
                stream.close()
        if sent < length:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    site: FootageServer

    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address, _Handler)
        self.open_sockets: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open_sockets.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is not news here; anything else is kept for the test to see."""
        error = sys.exc_info()[1]
        if not isinstance(error, (ConnectionError, TimeoutError)):
            self.site.errors.append(repr(error))


class FootageServer:
    """Serves `folder` while the context is open; `with FootageServer(folder) as server: server.url("a.mp4")`.

    `faults` maps a path inside the folder to how it misbehaves; such a path need not exist. `port` 0 picks a free one.
    """

    def __init__(self, folder: Path, *, faults: Mapping[str, ServerFault] | None = None, port: int = 0) -> None:
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is not a folder: there is nothing to serve")
        self.folder = folder.resolve()
        self.closing = threading.Event()
        self.errors: list[str] = []  # what a handler raised, but for clients that hung up
        self._faults = dict(faults or {})
        self._taken: dict[str, int] = {}
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> FootageServer:
        self._server = _Server(("127.0.0.1", self._port))
        self._server.site = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="footage-server", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._server.open_sockets):  # kept-alive and stalled clients would hold their threads
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # already closed by the client
        self._server.server_close()

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        if self._server is None:
            raise RuntimeError("the server is not running: use it as a context manager")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def url(self, path: str) -> str:
        return f"{self.base_url}/{quote(path)}"

    @property
    def requests(self) -> list[Request]:
        """All answered so far, in the order of their answers."""
        with self._lock:
            return list(self._requests)

    def set_fault(self, path: str, fault: ServerFault | None) -> None:
        """Makes a path misbehave from now on, or behave again."""
        with self._lock:
            self._taken.pop(path, None)
            if fault is None:
                self._faults.pop(path, None)
            else:
                self._faults[path] = fault

    def take_fault(self, path: str) -> ServerFault | None:
        """The fault that meets this request, counted."""
        with self._lock:
            fault = self._faults.get(path)
            if fault is None:
                return None
            taken = self._taken.get(path, 0)
            if fault.times is not None and taken >= fault.times:
                return None
            self._taken[path] = taken + 1
            return fault

    def note(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def read(self, path: str) -> Path | None:
        """The file a path names, None where there is none inside the folder."""
        file = (self.folder / path).resolve()
        return file if file.is_file() and file.is_relative_to(self.folder) else None

    def pause(self, seconds: float) -> None:
        """Waits, but no longer than the server lives."""
        if seconds > 0:
            self.closing.wait(seconds)
