"""Ten thousand junk and hostile events against a real review: nothing changes, nothing leaks, nothing falls over."""

from __future__ import annotations

import http.client
import json
import random
import re
import string
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket
from sqlalchemy import select

from db.engine import Catalogue
from db.models import Batch, BatchClip, Clip, Decision
from tests.browser.review_dataset import make_dataset
from tests.browser.review_process import SocketCurator, annotating

EVENTS = 10_000
TITLE = 'Sea <script>alert(1)</script> "quoted" & <img src=x onerror=alert(2)>'
TRAVERSALS = (
    "../catalogue.sqlite", "..%2fcatalogue.sqlite", "%2e%2e/%2e%2e/etc/passwd", "....//....//etc/passwd",
    "/etc/passwd", "%2fetc%2fpasswd", "..\\..\\etc\\passwd", "secret.mp4", "..;/secret.mp4", "%00", "%ff%fe", "",
)  # fmt: skip


def _hostile_key(rng: random.Random, token: str, foreign: str) -> object:
    kinds = [
        lambda: f"cell:{foreign}:{rng.randint(0, 24)}:1",
        lambda: f"cell:{token}:{rng.choice([25, 64, 999, 9999])}:1",
        lambda: f"cell:{token}:{rng.randint(0, 24)}:1:{rng.choice([0, 7, 8, 9, 66])}",
        lambda: f"cell:{token}:-{rng.randint(1, 9)}:1",
        lambda: f"enter:{foreign}:60000",
        lambda: f"enter:{token}:{10 ** rng.randint(9, 40)}",
        lambda: f"enter:{token}:1e9",
        lambda: f"stop:{foreign}",
        lambda: f"back:{token}:1",
        lambda: f"clear:{token} ",
        lambda: f"stop:{token}\n",
        lambda: f"cell:{token}:0:1<script>",
        lambda: "x" * rng.choice([97, 5_000, 15_000]),
        lambda: "".join(rng.choices(string.printable, k=rng.randint(0, 90))),
        lambda: rng.choice([None, True, 7, 1.5, [], {}, [token], {"key": f"stop:{token}"}]),
    ]
    return rng.choice(kinds)()


def _messages(rng: random.Random, token: str, foreign: str) -> Iterator[str]:
    for _ in range(EVENTS):
        roll = rng.random()
        if roll < 0.8:
            data = {
                "event_type": "KeyPress",
                "key": _hostile_key(rng, token, foreign),
                "target": rng.choice(["status", "grid", "nowhere", "../x", 7, None]),
                "eid": rng.choice(["curate", "curate", "main", "../x", "", None, ["curate"]]),
            }
            yield json.dumps({"cmd": "forward_to_vis", "data": data})
        elif roll < 0.9:
            name = rng.choice(["../../x", "<b>x</b>", "curate", "a" * 300])
            yield json.dumps(
                rng.choice(
                    [
                        {"cmd": "delete_env", "eid": name},
                        {"cmd": "save", "data": {"x": name}, "prev_eid": "curate", "eid": name},
                        {"cmd": "save_layouts", "data": name},
                        {"cmd": "layout_item_update", "eid": name, "win": name},
                        {"cmd": "pop_embeddings_pane", "data": {"eid": name, "target": "grid"}},
                        {"cmd": "echo", "data": name},
                    ]
                )
            )
        else:
            yield rng.choice(["", "{", "[]", "null", "\x00", "[" * 500, json.dumps({"cmd": {"$": 1}}), "x" * 20_000])


def _state(catalogue: Catalogue) -> object:
    with catalogue.reading() as session:
        return (
            session.execute(select(Clip.id, Clip.state, Clip.reason).order_by(Clip.id)).all(),
            session.execute(select(Decision.id)).all(),
            session.execute(select(Batch.id, Batch.state, Batch.token).order_by(Batch.id)).all(),
            session.execute(select(BatchClip.batch_id, BatchClip.position, BatchClip.marked, BatchClip.reason)).all(),
        )


def _wait_for_the_batch_after(catalogue: Catalogue) -> None:
    """The server takes the next batch ahead: a change of its own, which must not come in between."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with catalogue.reading() as session:
            if len(session.execute(select(Batch.id)).all()) == 2:
                return
        time.sleep(0.05)
    raise AssertionError("the next batch was not taken ahead")


@pytest.mark.slow
def test_ten_thousand_hostile_events_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    catalogue = make_dataset(tmp_path, 60, seconds=0.5, title=TITLE)
    rng = random.Random(11)
    with annotating(tmp_path, "--annotator", "<i>ada</i>", "--min-view", "0") as running:
        curator = SocketCurator(running.address)
        token = curator.until_batch()
        assert "<script>alert" not in curator.panes["grid"].html and "<i>ada" not in curator.panes["status"].html
        curator.mark({3})
        _wait_for_the_batch_after(catalogue)
        before = _state(catalogue)
        pages = [websocket.create_connection(f"ws://127.0.0.1:{running.port}/socket", timeout=30) for _ in range(3)]
        for number, message in enumerate(_messages(rng, token, "f" * 32)):
            page = pages[number % 3]
            try:
                page.send(message)
            except (websocket.WebSocketException, OSError):  # it may be hung up on; then it comes back
                pages[number % 3] = websocket.create_connection(f"ws://127.0.0.1:{running.port}/socket", timeout=30)
            if number % 100 == 0:
                _ask_for_files(running.port, rng, token)
        # What the curator does still arrives, and only that.
        curator.mark({3, 4})
        curator.mark({3})
        assert _state(catalogue) == before
        curator.enter()
        curator.until_batch(other_than=token)
        curator.key(f"stop:{curator.panes['grid'].token}")
        told = running.rest()
        for page in pages:
            page.close()
    assert running.process.returncode == 0
    assert "24 kept, 1 rejected, 35 left" in told
    ignored = re.search(r"([\d,]+) events that came late", told)
    assert ignored and int(ignored[1].replace(",", "")) > 0.95 * EVENTS, "what was refused is counted"
    assert (tmp_path / "secret.mp4").read_bytes() == b"secret"
    catalogue.close()


def _ask_for_files(port: int, rng: random.Random, token: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for route in ("mosaics", "closeups", "static", "user"):
        path = rng.choice(TRAVERSALS)
        connection.request("GET", f"/{route}/{path}")
        answer = connection.getresponse()
        body = answer.read()
        assert b"secret" not in body and b"root:" not in body and b"SQLite" not in body
        if route in ("mosaics", "closeups"):
            assert answer.status in (400, 403, 404), (route, path)
    connection.request("GET", f"/closeups/{token}-{rng.choice([99, 77])}.mp4")
    assert connection.getresponse().read() is not None
    connection.close()
