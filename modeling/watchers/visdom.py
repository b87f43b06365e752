"""A live dashboard on a Visdom server: losses, Wasserstein estimates, gradient norms, playing samples.

Everything is sent from a daemon thread behind a bounded queue. A server that is dead, slow or was never there costs
the training nothing: what does not fit into the queue is dropped and counted.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import requests
import visdom

from modeling.errors import UsageError

QUEUE_LENGTH = 512  #          steps and samples waiting to be sent
ANSWER_WITHIN = 5.0  #         seconds for one request
BETWEEN_SENDS = 0.5  #         seconds: the steps of this span travel together
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds between attempts to reach a server that does not answer

# A window each: title and the names of the metrics that it draws.
PLOTS = {
    "losses": ("loss_d_s", "loss_d_t", "loss_g"),
    "Wasserstein estimate (real - fake)": ("wasserstein_s", "wasserstein_t"),
    "gradient norm before clipping": ("grad_norm_g", "grad_norm_d_s", "grad_norm_d_t"),
    "seconds a step": ("seconds",),
}


class _Client(visdom.Visdom):
    """Visdom's own client with a time limit on each request, which it does not set."""

    session: requests.Session

    def _handle_post(self, url: str, data: Any = None) -> str:
        response = self.session.post(url, data=data or {}, timeout=ANSWER_WITHIN)
        response.raise_for_status()
        return str(response.text)


@dataclass(frozen=True)
class _Sample:
    step: int
    video: Path


@dataclass(frozen=True)
class _Stop:
    pass


class VisdomWatcher:
    """Draws a run on the Visdom server at `url` (http://host:port), in the environment `environment`.

    `say` gets a line when the server stops answering and when it answers again. UsageError for an ill-formed URL.
    """

    def __init__(self, url: str, environment: str, say: Callable[[str], None]) -> None:
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = None
        if parts.scheme not in ("http", "https") or not parts.hostname or port is None:
            raise UsageError(f"--visdom takes http://host:port, not {url!r}")
        self.dropped = 0
        self._address: dict[str, Any] = {
            "server": f"{parts.scheme}://{parts.hostname}",
            "port": port,
            "base_url": parts.path.rstrip("/") or "/",
            "username": parts.username,
            "password": parts.password,
            "env": environment,
        }
        self._shown = f"{parts.scheme}://{parts.hostname}:{port}"
        self._say = say
        self._queue: queue.Queue[Mapping[str, float] | _Sample | _Stop] = queue.Queue(QUEUE_LENGTH)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="visdom-watcher", daemon=True)
        self._thread.start()

    def step(self, record: Mapping[str, float]) -> None:
        self._offer(dict(record))

    def sample(self, step: int, video: Path) -> None:
        self._offer(_Sample(step, video))

    def close(self, wait: float = 2.0) -> None:
        """Send what is waiting, for at most `wait` seconds."""
        self._offer(_Stop())
        self._thread.join(wait)
        self._stopping.set()

    def _offer(self, item: Mapping[str, float] | _Sample | _Stop) -> None:
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self.dropped += 1

    def _run(self) -> None:
        """The thread: collect for a moment, send together, and start afresh after any failure."""
        client: _Client | None = None
        pause, silent = FIRST_PAUSE, False
        while not self._stopping.is_set():
            items = self._collect()
            try:
                if client is None:
                    client = self._connect()
                _send(client, items)
                if silent:
                    self._say(f"visdom at {self._shown} answers again")
                pause, silent = FIRST_PAUSE, False
            # Whatever the client library or the server does wrong must end here and not in the training.
            except Exception as error:  # noqa: BLE001
                client = None
                self.dropped += sum(not isinstance(item, _Stop) for item in items)
                if not silent:
                    self._say(f"visdom at {self._shown} does not answer ({type(error).__name__}): training goes on")
                silent = True
                if self._stopping.wait(pause):
                    return
                pause = min(2 * pause, LONGEST_PAUSE)
            if any(isinstance(item, _Stop) for item in items):
                return

    def _collect(self) -> list[Mapping[str, float] | _Sample | _Stop]:
        items = [self._queue.get()]
        deadline = time.monotonic() + BETWEEN_SENDS
        while not isinstance(items[-1], _Stop):
            try:
                items.append(self._queue.get(timeout=max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                break
        return items

    def _connect(self) -> _Client:
        logging.getLogger("visdom").setLevel(logging.ERROR)  # it warns about the event socket that we do not open
        requests.get(self._shown, timeout=ANSWER_WITHIN)  # the client's own first request has no clear error
        return _Client(**self._address, use_incoming_socket=False, raise_exceptions=True)


def _send(client: _Client, items: list[Mapping[str, float] | _Sample | _Stop]) -> None:
    records = [item for item in items if isinstance(item, Mapping)]
    for title, names in PLOTS.items():
        drawn = [name for name in names if any(name in record for record in records)]
        if not drawn:
            continue
        steps = np.array([record["step"] for record in records], dtype=float)
        for name in drawn:
            client.line(
                X=steps,
                Y=np.array([record.get(name, np.nan) for record in records], dtype=float),
                win=title,
                name=name,
                update="append",
                opts={"title": title, "xlabel": "step", "showlegend": True},
            )
    samples = [item for item in items if isinstance(item, _Sample)]
    if samples:  # only the newest is still of interest
        newest = samples[-1]
        client.video(
            videofile=str(newest.video),
            win="samples",
            opts={"title": f"input | generated | real, step {newest.step}", "autoplay": True, "loop": True},
        )
