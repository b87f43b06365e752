"""The panes: HTML out to the page, the page's events in, through Visdom's Python client."""

from __future__ import annotations

import queue
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from annotation_server.events import Event, parse
from annotation_server.lean_visdom import Client

GRID, STATUS = "grid", "status"
LOOK_SECONDS = 1.0
RECONNECT_SECONDS = 6.0  # the client tries every 3 s
_TITLES = {GRID: "clips", STATUS: "review"}
# Visdom lays panes out by these; the page's style sheet then fits them to the window.
_SIZES = {GRID: (826, 492), STATUS: (300, 492)}


class DisplayError(Exception):
    """Visdom's server does not answer; the message names it."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A pane was closed, or the server came back without them: show both again."""


class Display:
    """Two panes in a Visdom environment of their own.

    Events are queued by the client's socket thread and read by the caller. `junk` counts what was no event.
    """

    def __init__(self, url: str, env: str, *, username: str | None = None, password: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise DisplayError(f"{url} is not the address of a Visdom server, such as http://localhost:8097")
        self.env = env
        self.junk = 0
        self._url = url
        self._events: queue.SimpleQueue[Event | Lost] = queue.SimpleQueue()
        self._looked_at = time.monotonic()
        self._forgotten_at: float | None = None
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        try:
            self._client = Client(
                server=f"{parts.scheme}://{host}",
                port=parts.port or (443 if parts.scheme == "https" else 80),
                base_url=parts.path.rstrip("/") or "/",
                env=env,
                username=username,
                password=password,
                raise_exceptions=True,
            )
        except (ConnectionError, requests.RequestException) as error:
            raise DisplayError(f"no Visdom server answers at {url}; start one, or leave --server out") from error
        except RuntimeError as error:
            raise DisplayError(f"{url}: {error}; set VISDOM_USERNAME and VISDOM_PASSWORD") from error
        if not self._client.socket_alive:
            raise DisplayError(f"the Visdom server at {url} gives no events back (its socket cannot be reached)")
        for window in (GRID, STATUS):
            self._client.register_event_handler(self._receive, window)

    def show(self, window: str, content: str) -> bool:
        """Put HTML into a pane. False if the server does not answer now; `next_event` tells when it is back."""
        width, height = _SIZES[window]
        opts = {"title": _TITLES[window], "width": width, "height": height}
        try:
            self._client.text(content, win=window, opts=opts)
        except ConnectionError:
            return False
        return True

    def next_event(self, timeout: float) -> Event | Lost | None:
        """The next event, or None if none came within `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return self._look_for_panes()

    def waiting(self) -> bool:
        """Whether more events are there already."""
        return not self._events.empty()

    def close(self) -> None:
        """Take no more events; what is shown stays."""
        self._client.use_socket = False

    def _receive(self, message: dict[str, Any]) -> None:
        # Handlers are keyed by window alone, so events of other environments arrive here too.
        if message.get("eid") != self.env:
            return
        if message.get("event_type") == "close":
            self._events.put(Lost())
            return
        event = parse(message.get("key"))
        if event is None:
            self.junk += 1
        else:
            self._events.put(event)

    def _look_for_panes(self) -> Lost | None:
        """Ask the server, now and then, whether it still has the panes: one that was started again has forgotten."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return None
        self._looked_at = time.monotonic()
        try:
            # The public win_exists prints where no server answers.
            there = self._client._send({"win": STATUS, "eid": self.env}, endpoint="win_exists") != "false"
        except ConnectionError:
            return None
        if there:
            return None
        if self._forgotten_at is None:
            # A curator who sees the panes will click, so events must come through first: the client says so by
            # setting this again. (That it lost its connection it fails to note with newer websocket clients.)
            self._forgotten_at = time.monotonic()
            self._client.socket_alive = False
        if self._client.socket_alive or time.monotonic() - self._forgotten_at > RECONNECT_SECONDS:
            self._forgotten_at = None
            return Lost()
        return None
