"""What a person sees of a running download: a table on a terminal, lines elsewhere; stdout stays what it is."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest
from rich.console import Console

from curation.commands import live
from curation.commands.live import render, shown, summary
from curation.downloading.board import Board
from db.engine import Catalogue
from tests.curation.download_cases import add
from tests.curation.fault_server import FaultServer, Page


def on_a_terminal(
    catalogue: Catalogue, *arguments: str, during: Callable[[subprocess.Popen[bytes]], None] = lambda process: None
) -> tuple[int, str, str]:
    """Exit status, stdout, and what appeared on the terminal that is stderr."""
    ours, theirs = pty.openpty()
    code = "from curation.commands import main; main()"
    command = [sys.executable, "-c", code, "download", "--dataset", str(catalogue.folder), "--keep-free", "0"]
    environment = os.environ | {"COLUMNS": "120", "TERM": "xterm"}
    process = subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    during(process)
    seen = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # how a terminal ends
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.stdout is not None
    out = process.stdout.read().decode()
    return process.wait(30), out, seen.decode()


def test_a_table_of_the_workers(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    slow = [server.put(f"{n}.mp4", Page(body=movie, rate=len(movie) / 0.8)) for n in range(2)]
    ids = add(catalogue, *slow, server.put("gone.mp4", Page(statuses=[404] * 9)))
    status, out, seen = on_a_terminal(catalogue, "--workers", "3", "--json")
    assert status == 1
    assert json.loads(out)["downloaded"] == 2, "one JSON object, nothing else"
    for video_id in ids[:2]:
        assert video_id in seen
    assert f"127.0.0.1:{server.server_port}" in seen
    assert "fetching" in seen and "MB/s" in seen and "1 failed (gone 1)" in seen and "of 3 videos" in seen
    assert "\x1b[" not in out


def test_ctrl_c_on_a_terminal(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    add(catalogue, server.put("a.mp4", Page(body=movie, rate=len(movie) / 8)))

    def interrupt(process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 30
        while not server.sent.get("/a.mp4", 0) > len(movie) // 8 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)

    status, out, seen = on_a_terminal(catalogue, during=interrupt)
    assert status == 130 and "Traceback" not in seen
    assert "what has been fetched is kept" in seen and "the same command goes on" in out


def filled() -> Board:
    board = Board()
    board.expect(5)
    board.begin(0, "web-0123456789ab", "example.org")
    board.begin(1, "[bold]odd[/bold]", "example.org")
    board.grow(0, 1_000_000, 4_000_000)
    board.grow(1, 500_000, None)
    board.downloaded(2_000_000)
    board.failed("gone")
    board.failed("network")
    board.failed("network")
    return board


def test_the_table_says_what_the_board_says() -> None:
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123
    console.print(render(filled().snapshot()))
    text = console.export_text()
    assert "web-0123456789ab" in text and "1.0 of 4.0" in text and "fetching" in text
    assert "[bold]odd[/bold]" in text, "an id is no markup"
    assert "4 of 5 videos, 1 downloaded, 3 failed (network 2, gone 1), 2 MB" in text


def test_the_board_adds_up() -> None:
    board = filled()
    board.grow(0, 4_000_000, 4_000_000)
    board.end(1)
    now = board.snapshot()
    assert [(row.video, row.state) for row in now.doing] == [("web-0123456789ab", "checking")]
    assert (now.videos, now.downloaded, now.failed, now.bytes) == (5, 1, Counter(network=2, gone=1), 2_000_000)
    assert now.speed >= 0 and now.left is not None and now.left == pytest.approx(now.seconds / 4)
    board.grow(9, 1, 2)  # a worker that has ended
    assert len(board.snapshot().doing) == 1


def test_lines_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(live, "LINE_SECONDS", 0.01)
    board = filled()
    with shown(board, quiet=False) as view:
        time.sleep(0.1)
        view.line("stopping")
    said = capsys.readouterr()
    assert said.out == ""
    assert summary(board.snapshot()).split(" MB")[0] in said.err and "stopping\n" in said.err
    with shown(board, quiet=True):
        time.sleep(0.05)
    assert capsys.readouterr().err == ""
