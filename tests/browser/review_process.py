"""Runs `curate annotate` in a process of its own, and speaks to it as a page does, without a browser."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import websocket

ROOT = Path(__file__).parents[2]
PATIENCE = 30.0  # s; a loaded machine is slow


class Annotate:
    """A running `curate annotate`; `address` is where its page is."""

    def __init__(self, folder: Path, *options: str, env: dict[str, str] | None = None) -> None:
        command = [sys.executable, "-c", "from curation.commands import main; main()", "annotate"]
        self.process = subprocess.Popen(
            [*command, "--dataset", str(folder), *options],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        first = self._lines.get(timeout=PATIENCE)
        if not first.startswith("open http"):
            self.process.kill()
            raise AssertionError(f"{first!r}, then: {self.rest()}")
        self.address = first.split()[1]
        self.port = int(re.search(r":(\d+)/", self.address)[1])  # type: ignore[index]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def rest(self) -> str:
        """What it prints up to its end."""
        self.process.wait(PATIENCE)
        time.sleep(0.1)
        lines = []
        with contextlib.suppress(queue.Empty):
            while True:
                lines.append(self._lines.get_nowait())
        assert self.process.stderr is not None
        return "".join(lines) + self.process.stderr.read()

    def kill(self) -> None:
        """kill -9, as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def annotating(folder: Path, *options: str, env: dict[str, str] | None = None) -> Iterator[Annotate]:
    running = Annotate(folder, *options, env=env)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.kill()


@dataclass
class Pane:
    """What the grid or the status pane says."""

    html: str = ""

    @property
    def token(self) -> str:
        match = re.search(r'data-token="([0-9a-f]{32})"', self.html)
        return match[1] if match else ""


@dataclass
class SocketCurator:
    """A page without a browser: sees the panes, sends keys."""

    address: str
    env: str = "curate"
    panes: dict[str, Pane] = field(default_factory=dict)

    def __post_init__(self) -> None:
        base = self.address.split("/env/")[0]
        self.socket = websocket.create_connection(base.replace("http", "ws", 1) + "/socket", timeout=PATIENCE)
        registered = json.loads(self.socket.recv())
        body = json.dumps({"sid": registered["data"]}).encode()
        urllib.request.urlopen(f"{base}/env/{self.env}", data=body, timeout=PATIENCE).read()

    def close(self) -> None:
        self.socket.close()

    @property
    def marked(self) -> set[int]:
        """The rejected cells, as the status pane has them."""
        match = re.search(r'data-marked="([0-9:,]*)"', self.panes["status"].html)
        assert match is not None
        return {int(mark.split(":")[0]) for mark in match[1].split(",") if mark}

    @property
    def clips(self) -> int:
        return self.panes["grid"].html.count('class="sf-cell"')

    def receive(self) -> None:
        """Take in one message of the server."""
        message = json.loads(self.socket.recv())
        if message.get("command") == "window":
            self.panes[message["id"]] = Pane(message["content"])

    def until(self, condition: object, what: str = "the page to change") -> None:
        """Take in messages until `condition()` holds."""
        assert callable(condition)
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {what}; status: {self.panes.get('status')}")
            self.receive()

    def until_batch(self, other_than: str = "") -> str:
        """Wait for a batch in both panes (another than the given one); returns its token."""

        def there() -> bool:
            grid, status = self.panes.get("grid"), self.panes.get("status")
            return bool(grid and status and grid.token and grid.token == status.token and grid.token != other_than)

        self.until(there, "the next batch")
        return self.panes["grid"].token

    @property
    def ended(self) -> bool:
        return "sf-ended" in self.panes.get("grid", Pane()).html and 'class="sf-cell"' not in self.panes["grid"].html

    def key(self, key: str) -> None:
        """Send a key as Visdom's page does."""
        data = {"event_type": "KeyPress", "key": key, "key_code": 0, "target": "status", "eid": self.env}
        self.socket.send(json.dumps({"cmd": "forward_to_vis", "data": data}))

    def mark(self, cells: set[int]) -> None:
        """Reject exactly these cells of the batch on screen, and see it confirmed."""
        token = self.panes["grid"].token
        for cell in self.marked ^ cells:
            self.key(f"cell:{token}:{cell}:{int(cell in cells)}")
        self.until(lambda: self.marked == cells, "the marks")

    def enter(self, seen_ms: int = 60_000) -> None:
        token = self.panes["grid"].token
        self.key(f"playing:{token}")
        self.key(f"enter:{token}:{seen_ms}")
