"""A live dashboard on a Visdom server: losses, Wasserstein estimates (Fig. 3.2), gradient norms, playing samples.

Each session, and each return of a server that was away, draws the run anew from metrics.jsonl: no step comes twice,
and none is missing. Long runs are thinned, so that the page stays quick.
"""

from __future__ import annotations

import base64
import html
import logging
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
import visdom
import yaml

from modeling.errors import UsageError
from modeling.runs.curves import by_family, curves, label, worth_drawing
from modeling.watchers import RunStart
from modeling.watchers.background import BackgroundWatcher, Display, Record, Sample

ANSWER_WITHIN = 5.0  # seconds for one request
SHOWN = ("losses", "wasserstein", "gradient-norms", "seconds", "others")  # families with a pane of their own
WIDTH, HEIGHT = 500, 330  # pixels of a pane with curves
# Of Okabe and Ito's palette, told apart by all eyes; one network has one colour in all panes.
COLOURS = {"D_S": (0, 114, 178), "D_T": (213, 94, 0), "D_V": (204, 121, 167), "G": (0, 158, 115)}
FURTHER = ((86, 180, 233), (230, 159, 0), (75, 75, 75), (240, 228, 66))


class _Client(visdom.Visdom):
    """Visdom's own client with a time limit on each request, which it does not set."""

    session: requests.Session

    def _handle_post(self, url: str, data: Any = None) -> str:
        response = self.session.post(url, data=data or {}, timeout=ANSWER_WITHIN)
        response.raise_for_status()
        return str(response.text)


class VisdomWatcher(BackgroundWatcher):
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
        self._address: dict[str, Any] = {
            "server": f"{parts.scheme}://{parts.hostname}",
            "port": port,
            "base_url": parts.path.rstrip("/") or "/",
            "username": parts.username,
            "password": parts.password,
            "env": environment,
        }
        self._shown = f"{parts.scheme}://{parts.hostname}:{port}"
        super().__init__(say)

    def _open(self, start: RunStart | None) -> tuple[Display, int]:
        logging.getLogger("visdom").setLevel(logging.ERROR)  # it warns about the event socket that we do not open
        requests.get(self._shown, timeout=ANSWER_WITHIN)  # the client's own first request has no clear error
        client = _Client(**self._address, use_incoming_socket=False, raise_exceptions=True)
        return _Dashboard(client, start), 0  # nothing is taken over: panes of an earlier session are drawn anew

    def _failure(self, error: Exception) -> str:
        return f"visdom at {self._shown} does not answer ({type(error).__name__})"

    def _recovery(self) -> str:
        return f"visdom at {self._shown} answers again"


class _Dashboard(Display):
    def __init__(self, client: _Client, start: RunStart | None) -> None:
        self._client = client
        self._steps = None if start is None else start.config.training.steps
        self._drawn: set[str] = set()  # panes of this session
        self._curves: dict[str, set[str]] = {}  # their curves
        if start is None:
            return
        self._configuration(start)
        samples = sorted((start.run / "samples").glob("step-*.mp4"))
        if samples:
            self._video(Sample(int(samples[-1].stem.removeprefix("step-")), samples[-1]))

    def show(self, records: Sequence[Record], samples: Sequence[Sample]) -> None:
        steps = self._steps
        drawn = [record for record in records if steps is None or worth_drawing(int(record["step"]), steps)]
        found = curves(drawn)
        for family, names in by_family(found).items():
            if family.key not in SHOWN:
                continue
            opts = _pane(family.title, log=family.log)
            for name in names:
                self._line(family.key, label(name), found[name].steps, found[name].values, opts)
        if samples:  # only the newest is still of interest
            self._video(samples[-1])

    def close(self) -> None:
        """The panes stay on the server."""

    def _line(self, pane: str, name: str, x: Any, y: Any, opts: dict[str, Any]) -> None:
        known = self._curves.setdefault(pane, set())
        colours = [colour for colour in FURTHER if name not in COLOURS]
        colour = COLOURS.get(name) or colours[len(known - set(COLOURS)) % len(colours)]
        line = {"line": {"width": 1.2, "color": f"rgb{colour}"}}
        first = {"traceopts": {"plotly": {name: line}}} if name not in known else {}
        self._client.line(
            X=x, Y=y, win=pane, name=name, update="append" if pane in self._drawn else None, opts={**opts, **first}
        )
        self._drawn.add(pane)
        known.add(name)

    def _video(self, sample: Sample) -> None:
        title = f"input | generated | real, step {sample.step}"
        data = base64.b64encode(sample.video.read_bytes()).decode()
        # Muted, and with a size: browsers start no other video by themselves, and Visdom's own player is cut off.
        player = (
            f'<video autoplay loop muted playsinline controls style="width:100%;height:100%;object-fit:contain" '
            f'src="data:video/mp4;base64,{data}"></video>'
        )
        self._client.text(player, win="samples", opts={"title": title, "width": WIDTH, "height": HEIGHT})

    def _configuration(self, start: RunStart) -> None:
        text = yaml.safe_dump(start.config.to_dict(), sort_keys=False)
        self._client.text(
            f'<pre style="font-size:11px;line-height:1.25">{html.escape(text)}</pre>',
            win="configuration",
            opts={"title": f"configuration of {start.run.name}", "width": WIDTH, "height": HEIGHT},
        )


def _pane(title: str, *, log: bool) -> dict[str, Any]:
    return {
        "title": title,
        "xlabel": "step",
        "ytype": "log" if log else "linear",
        "showlegend": True,
        "width": WIDTH,
        "height": HEIGHT,
        "marginleft": 55,
        "marginright": 15,
        "margintop": 35,
        "marginbottom": 40,
    }
