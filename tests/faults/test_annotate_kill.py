"""kill -9 at random moments of a review: what was confirmed stands, marks come back, nothing is lost or doubled."""

from __future__ import annotations

import contextlib
import random
import re
import signal
import threading
import time
from pathlib import Path

import pytest
import websocket
from sqlalchemy import func, select

from db.models import Batch, Clip, Decision
from tests.browser.review_dataset import make_dataset
from tests.browser.review_process import SocketCurator, annotating

CLIPS = 180
SIZE = 6
KILLS = 5


def _clips_of(curator: SocketCurator) -> dict[int, int]:
    """cell -> the clip's number, which its name's start time and video tell."""
    html = curator.panes["grid"].html
    found = re.findall(r'data-cell="(\d+)" title="[^"]*?(\d+)\.0-', html)
    return {int(cell): round(int(start) / 12) for cell, start in found}


@pytest.mark.slow
def test_a_review_killed_again_and_again_ends_with_exactly_the_scripts_decisions(tmp_path: Path) -> None:
    review_through_kills(tmp_path, clips=CLIPS, kills=KILLS, size=SIZE)


def review_through_kills(folder: Path, *, clips: int, kills: int, size: int, seed: int = 5) -> int:
    """Judge `clips` clips by a script that rejects each whose place in its video is divisible by 3, through `kills`
    kills at random moments; what is decided in the end must be exactly what the script wanted. Returns how many of
    the kills hit a review that was not over yet.
    """
    rng = random.Random(seed)
    catalogue = make_dataset(folder, clips, seconds=0.5)
    options = ("--annotator", "ada", "--min-view", "0", "--batch-size", str(size))
    hits = 0
    for _ in range(kills):
        with annotating(folder, *options) as running, contextlib.suppress(websocket.WebSocketException, OSError):
            curator = SocketCurator(running.address)
            token = ""
            for _ in range(rng.randint(0, 2)):
                token = _judge(curator, token)
            # Marks are saved, a batch is confirmed and the next one is taken within about this time.
            fuse = threading.Timer(rng.uniform(0, 0.06), running.kill)
            fuse.start()
            while not curator.ended:
                token = _judge(curator, token)
        fuse.join()
        hits += running.process.returncode == -signal.SIGKILL
    with annotating(folder, *options) as running:
        curator = SocketCurator(running.address)
        token = ""
        while not curator.ended:
            token = _judge(curator, token)
        assert running.rest().startswith("annotate:")
    with catalogue.reading() as session:
        verdicts = {row.clip_id: row.verdict for row in session.scalars(select(Decision))}
        assert session.scalar(select(func.count()).select_from(Decision)) == clips, "a decision was lost or doubled"
        wanted = {c.id: "reject" if c.index % 3 == 0 else "accept" for c in session.scalars(select(Clip))}
        assert verdicts == wanted
        states = {
            c.id: {"rejected": "reject", "accepted": "accept"}.get(c.state) for c in session.scalars(select(Clip))
        }
        assert states == wanted
        assert session.scalar(select(func.count()).where(Batch.state == "open")) == 0
    catalogue.close()
    return hits


def _judge(curator: SocketCurator, token: str) -> str:
    """Judge the batch that follows the one with this token, by the script; returns its token."""

    def there() -> bool:
        grid, status = curator.panes.get("grid"), curator.panes.get("status")
        return curator.ended or bool(grid and status and grid.token not in ("", token) and grid.token == status.token)

    curator.until(there)
    if curator.ended:
        return token
    curator.mark({cell for cell, number in _clips_of(curator).items() if number % 3 == 0})
    curator.enter()
    return curator.panes["grid"].token


def test_marks_of_an_unconfirmed_batch_come_back_after_kill_9(tmp_path: Path) -> None:
    make_dataset(tmp_path, 30, seconds=0.5).close()
    with annotating(tmp_path, "--annotator", "ada") as running:
        curator = SocketCurator(running.address)
        token = curator.until_batch()
        curator.mark({0, 13, 24})
        running.kill()
    began = time.monotonic()
    with annotating(tmp_path, "--annotator", "ada") as running:
        assert time.monotonic() - began < 30, "a dead process must not be waited for"
        curator = SocketCurator(running.address)
        assert curator.until_batch() == token
        assert curator.marked == {0, 13, 24}
        assert curator.clips == 25
