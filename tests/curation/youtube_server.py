"""A local server that answers as the YouTube Data API v3 does: pages, a ceiling, allowances, and its errors' bodies."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "AIzaSyTestKeyThatIsNoRealKey0123456789a"
BEGAN = datetime(2010, 1, 1, tzinfo=UTC)
QUOTA = (
    "The request cannot be completed because you have exceeded your "
    '<a href="/youtube/v3/getting-started#quota">quota</a>.'
)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A video of the service. Uploads are listed by relevance."""

    id: str
    published: datetime
    title: str = "A river"
    channel: str = "Rivers"
    seconds: int = 600
    licence: str = "youtube"
    live: str = "none"
    gone: bool = False  # found by a search, but not to be had any more


def uploads(number: int, **facts: Any) -> list[Upload]:
    """Videos of some years, one every few hours, in an order of relevance that is not that of their dates."""
    every = timedelta(hours=7)
    order = sorted(range(number), key=lambda n: (n * 7919) % number)
    return [Upload(id=f"v{n:010d}", published=BEGAN + n * every, title=f"River {n}", **facts) for n in order]


def error(code: int, message: str, reason: str, domain: str, **more: Any) -> tuple[int, dict[str, Any]]:
    """An error's status and body, as Google words them."""
    listed = {"message": message, "domain": domain, "reason": reason}
    return code, {"error": {"code": code, "message": message, "errors": [listed], **more}}


def info(reason: str, **metadata: str) -> dict[str, Any]:
    kind = "type.googleapis.com/google.rpc.ErrorInfo"
    return {"@type": kind, "reason": reason, "domain": "googleapis.com", "metadata": metadata}


QUOTA_EXCEEDED = error(403, QUOTA, "quotaExceeded", "youtube.quota")
BAD_KEY = error(
    400, "API key not valid. Please pass a valid API key.", "badRequest", "global",
    status="INVALID_ARGUMENT", details=[info("API_KEY_INVALID", service="youtube.googleapis.com")],
)  # fmt: skip
OLD_BAD_KEY = error(400, "Bad Request", "keyInvalid", "usageLimits")
NOT_ENABLED = error(
    403, "YouTube Data API v3 has not been used in project 1 before or it is disabled.", "accessNotConfigured",
    "usageLimits", status="PERMISSION_DENIED", details=[info("SERVICE_DISABLED")],
)  # fmt: skip
A_DAY_IS_SPENT = error(
    429, "Quota exceeded for quota metric 'Search Queries' and limit 'Search Queries per day' of service "
    "'youtube.googleapis.com' for consumer 'project_number:1'.", "rateLimitExceeded", "global",
    status="RESOURCE_EXHAUSTED", details=[info("RATE_LIMIT_EXCEEDED", quota_limit="SearchQueriesPerDayPerProject")],
)  # fmt: skip
SLOWER = error(
    429, "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service.", "rateLimitExceeded",
    "global", status="RESOURCE_EXHAUSTED", details=[info("RATE_LIMIT_EXCEEDED", quota_limit="PerMinutePerProject")],
)  # fmt: skip
BAD_TOKEN = error(400, "The request specifies an invalid page token.", "invalidPageToken", "youtube.parameter")


class YouTubeServer(ThreadingHTTPServer):
    """Searches its `uploads`. `calls` counts by method; `next_errors` are answered first, by method."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.uploads: list[Upload] = []
        self.ceiling = 500
        self.searches_left: int | None = None
        self.calls: Counter[str] = Counter()
        self.asked: list[dict[str, str]] = []  # parameters of each search
        self.next_errors: dict[str, list[tuple[int, Any]]] = {"search": [], "videos": []}
        self.epoch = "A"  # of page tokens: those of another are not valid
        self.slow = 0.0  # s before each answer
        self.retry_after: str | None = None  # sent with each error
        self.lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, asked: dict[str, str]) -> tuple[int, Any]:
        with self.lock:
            self.calls[method] += 1
            if method == "search":
                self.asked.append(asked)
            if self.next_errors[method]:
                return self.next_errors[method].pop(0)
            if asked.get("key") != KEY:
                return BAD_KEY
            if method == "videos":
                return self._videos(asked)
            if self.searches_left is not None:
                if self.searches_left == 0:
                    return QUOTA_EXCEEDED
                self.searches_left -= 1
            return self._search(asked)

    def _search(self, asked: dict[str, str]) -> tuple[int, Any]:
        size = int(asked.get("maxResults", 5))
        assert asked["part"] == "snippet" and asked["type"] == "video" and asked["q"] and 0 <= size <= 50
        matching = [upload for upload in self.uploads if _matches(upload, asked)]
        start = 0
        if "pageToken" in asked:
            token = re.fullmatch(r"([A-Z]+)(\d+)", asked["pageToken"])
            if token is None or token[1] != self.epoch:
                return BAD_TOKEN
            start = int(token[2])
        shown = matching[: self.ceiling]
        body: dict[str, Any] = {
            "kind": "youtube#searchListResponse",
            "pageInfo": {"totalResults": min(len(matching) * 3, 1_000_000), "resultsPerPage": size},
            "items": [
                {"kind": "youtube#searchResult", "id": {"kind": "youtube#video", "videoId": upload.id}}
                for upload in shown[start : start + size]
            ],
        }
        if start + size < len(shown):
            body["nextPageToken"] = f"{self.epoch}{start + size}"
        return 200, body

    def _videos(self, asked: dict[str, str]) -> tuple[int, Any]:
        ids = asked["id"].split(",")
        assert len(ids) <= 50 and set(asked["part"].split(",")) == {"snippet", "contentDetails", "status"}
        known = {upload.id: upload for upload in self.uploads if not upload.gone}
        return 200, {
            "kind": "youtube#videoListResponse",
            "items": [_item(known[id_]) for id_ in ids if id_ in known],
        }

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed are part of the tests."""


def _matches(upload: Upload, asked: dict[str, str]) -> bool:
    if "publishedAfter" in asked and upload.published < _moment(asked["publishedAfter"]):
        return False
    if "publishedBefore" in asked and upload.published > _moment(asked["publishedBefore"]):
        return False
    if asked.get("videoLicense") not in (None, "any", upload.licence):
        return False
    minutes = upload.seconds / 60
    wanted = asked.get("videoDuration")
    return wanted is None or {"short": minutes < 4, "medium": 4 <= minutes <= 20, "long": minutes > 20}[wanted]


def _moment(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text), text
    return datetime.fromisoformat(text)


def _item(upload: Upload) -> dict[str, Any]:
    minutes, seconds = divmod(upload.seconds, 60)
    return {
        "kind": "youtube#video",
        "id": upload.id,
        "snippet": {
            "publishedAt": f"{upload.published:%Y-%m-%dT%H:%M:%SZ}",
            "channelId": f"UC{upload.channel}",
            "title": upload.title,
            "channelTitle": upload.channel,
            "liveBroadcastContent": upload.live,
        },
        "contentDetails": {"duration": "P0D" if upload.live != "none" else f"PT{minutes}M{seconds}S"},
        "status": {"privacyStatus": "public", "license": upload.licence},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet
    server: YouTubeServer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        method = parts.path.removeprefix("/youtube/v3/")
        status, body = self.server.answer(method, asked) if method in ("search", "videos") else (404, "<html>no")
        if self.server.slow:
            threading.Event().wait(self.server.slow)
        if status == 0:  # the connection breaks
            self.close_connection = True
            return
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(data)))
        if status != 200 and self.server.retry_after is not None:
            self.send_header("Retry-After", self.server.retry_after)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving() -> Iterator[YouTubeServer]:
    """A running server."""
    server = YouTubeServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
