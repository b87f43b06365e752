"""Watchers whose server or disk is good, dead, hung, full, or gone midway; none may stop or slow a run."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import pytest
import tornado.httpserver
import tornado.netutil
import visdom.server.app
from rich.console import Console

from modeling.config import apply_overrides
from modeling.errors import UsageError
from modeling.presets import get
from modeling.watchers import RunStart, background
from modeling.watchers import tensorboard as tensorboard_module
from modeling.watchers.background import QUEUE_LENGTH
from modeling.watchers.tensorboard import TensorBoardWatcher
from modeling.watchers.terminal import TerminalWatcher, duration
from modeling.watchers.visdom import VisdomWatcher
from tests.modeling.conftest import QUICK, Run


def record(step: int) -> dict[str, float]:
    return {
        "step": step,
        "loss_g": 0.5 * step,
        "loss_d_s": 1.0,
        "wasserstein_s": 2.0,
        "grad_norm_g": 3.0,
        "seconds": 0.1,
    }


def wait_for(condition: Any, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


class VisdomServer:
    """Visdom's own application in a thread, without its pages."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        [listening] = tornado.netutil.bind_sockets(port, "127.0.0.1", family=socket.AF_INET)
        self.port = listening.getsockname()[1]
        up = threading.Event()

        def serve() -> None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)

            async def begin() -> None:
                self.application = visdom.server.app.Application(port=self.port, base_url="", env_path=str(folder))
                self.server = tornado.httpserver.HTTPServer(self.application)
                self.server.add_sockets([listening])

            self.loop.run_until_complete(begin())
            up.set()
            self.loop.run_forever()
            self.loop.close()

        self.thread = threading.Thread(target=serve, daemon=True)
        self.thread.start()
        assert up.wait(30)

    def windows(self, environment: str) -> dict[str, Any]:
        state: dict[str, Any] = self.application.state.get(environment, {"jsons": {}})["jsons"]
        return state

    def stop(self) -> None:
        async def end() -> None:
            self.server.stop()
            await self.server.close_all_connections()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "BETWEEN_SENDS", 0.05)
    monkeypatch.setattr(background, "FIRST_PAUSE", 0.05)


def test_a_real_server_shows_curves_and_the_newest_sample(tmp_path: Path, quick: None) -> None:
    server = VisdomServer(tmp_path / "environments")
    said: list[str] = []
    video = tmp_path / "sample.mp4"
    video.write_bytes(b"frames")
    try:
        watcher = VisdomWatcher(f"http://127.0.0.1:{server.port}", "run-1", said.append)
        for step in range(1, 6):
            watcher.step(record(step))
        watcher.sample(5, video)
        assert wait_for(lambda: "samples" in server.windows("run-1"))
        for step in range(6, 9):
            watcher.step(record(step))
        watcher.close(wait=10)
        windows = server.windows("run-1")
    finally:
        server.stop()
    curves = {trace["name"]: trace for trace in windows["losses"]["content"]["data"]}
    assert set(curves) == {"G", "D_S"}
    assert curves["G"]["x"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert curves["G"]["y"] == [0.5 * step for step in range(1, 9)]
    assert windows["wasserstein"]["title"] == "Wasserstein estimate (real - fake)"
    assert windows["samples"]["title"] == "input | generated | real, step 5"
    assert "autoplay" in windows["samples"]["content"]
    assert said == []
    assert watcher.dropped == 0


def test_a_port_where_nobody_listens(quick: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said: list[str] = []
    watcher = VisdomWatcher(f"http://127.0.0.1:{port}", "run", said.append)
    for step in range(1, 50):
        watcher.step(record(step))
    assert wait_for(lambda: said)
    watcher.close(wait=0)
    assert len(said) == 1
    assert "does not answer" in said[0]
    assert "training goes on" in said[0]


def test_a_run_trains_beside_a_dead_server(textures: Path, tmp_path: Path, modeling: Run, quick: None) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    options = ["--preset", "tiny", "--run", tmp_path / "run", "--steps", 2, "--visdom", address]
    result = modeling("train", "--data", textures, *options, *QUICK)
    assert result.exit_code == 0
    assert "from step 0 to 2" in result.stdout
    assert f"visdom at {address} does not answer" in result.stderr


@contextmanager
def hung_server() -> Iterator[tuple[int, threading.Event]]:
    """A server that takes every request and answers none until the block ends."""
    let_go, asked = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            let_go.wait(60)

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], asked
    finally:
        let_go.set()
        server.shutdown()
        server.server_close()


def test_a_server_that_never_answers_fills_a_bounded_queue_and_blocks_nobody(quick: None) -> None:
    with hung_server() as (port, asked):
        watcher = VisdomWatcher(f"http://127.0.0.1:{port}", "run", lambda line: None)
        watcher.step(record(1))
        assert asked.wait(20)
        # The sending thread is stuck in its request now; a call that waited for it would never come back.
        for step in range(2, 3 * QUEUE_LENGTH):
            watcher.step(record(step))
        assert watcher.dropped >= QUEUE_LENGTH
        watcher.close(wait=0)


def test_a_server_killed_midway_is_named_once_and_found_again(tmp_path: Path, quick: None) -> None:
    server = VisdomServer(tmp_path / "environments")
    port, said = server.port, []
    watcher = VisdomWatcher(f"http://127.0.0.1:{port}", "run", said.append)
    watcher.step(record(1))
    assert wait_for(lambda: "losses" in server.windows("run"))
    server.stop()
    step = 1
    while not said and step < 500:
        step += 1
        watcher.step(record(step))
        time.sleep(0.02)
    assert ["does not answer" in line for line in said] == [True]
    server = VisdomServer(tmp_path / "environments", port)
    try:
        while len(said) < 2 and step < 1000:
            step += 1
            watcher.step(record(step))
            time.sleep(0.02)
        watcher.close(wait=10)
        [trace] = [t for t in server.windows("run")["losses"]["content"]["data"] if t["name"] == "G"]
    finally:
        server.stop()
    assert "answers again" in said[1]
    assert trace["x"][-1] == step


@pytest.mark.parametrize("url", ["localhost:8097", "http://localhost", "ftp://a:1", "http://a:b", ""])
def test_an_ill_formed_address_is_bad_usage(url: str) -> None:
    with pytest.raises(UsageError, match="--visdom takes http://host:port"):
        VisdomWatcher(url, "run", lambda line: None)


def start_of(run: Path, lines: int, *, first_step: int) -> RunStart:
    """A run whose metrics.jsonl has so many lines."""
    run.mkdir(exist_ok=True)
    metrics = run / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(record(step)) + "\n" for step in range(1, lines + 1)))
    config = apply_overrides(get("tiny"), ["training.steps=9000"])
    return RunStart(run=run, config=config, metrics_file=metrics, first_step=first_step)


def test_a_resumed_run_is_drawn_once_and_thinned(tmp_path: Path, quick: None) -> None:
    server = VisdomServer(tmp_path / "environments")
    address, run = f"http://127.0.0.1:{server.port}", tmp_path / "run"
    try:
        for lines in (400, 1000):  # the second session goes on after step 1000
            watcher = VisdomWatcher(address, "run", lambda line: None)
            watcher.begin(start_of(run, lines, first_step=lines))
            watcher.step(record(lines))  # its line is in the file already
            watcher.step(record(lines + 8 if lines == 1000 else lines + 1))
            watcher.close(wait=20)
        windows = server.windows("run")
    finally:
        server.stop()
    [trace] = [each for each in windows["losses"]["content"]["data"] if each["name"] == "G"]
    assert trace["x"] == [*range(1, 201), *range(207, 1000, 9), 1008]
    assert trace["y"] == [0.5 * step for step in trace["x"]]
    assert "training.steps" not in windows["configuration"]["content"]
    assert "steps: 9000" in windows["configuration"]["content"]


def scalars(run: Path) -> dict[int, float]:
    """What TensorBoard itself reads of loss_g."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = event_accumulator.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    found = events.Scalars("losses/loss_g")
    assert len({event.step for event in found}) == len(found)
    return {event.step: event.value for event in found}


def test_tensorboard_shows_a_resumed_run_once(tmp_path: Path, quick: None) -> None:
    pytest.importorskip("tensorboard")
    run, said = tmp_path / "run", []
    # Begun without TensorBoard: the steps of before are taken from metrics.jsonl.
    watcher = TensorBoardWatcher(run, said.append)
    watcher.begin(start_of(run, 3, first_step=3))
    for step in range(4, 9):
        watcher.step(record(step))
    watcher.close(wait=20)
    assert scalars(run) == {step: 0.5 * step for step in range(1, 9)}
    # Killed after step 8 with a checkpoint of step 5: 6 to 8 are done again, with other values.
    watcher = TensorBoardWatcher(run, said.append)
    watcher.begin(start_of(run, 5, first_step=5))
    for step in range(6, 8):
        watcher.step({**record(step), "loss_g": 100.0})
    watcher.close(wait=20)
    assert scalars(run) == {**{step: 0.5 * step for step in range(1, 6)}, 6: 100.0, 7: 100.0}
    assert said == []


def test_a_full_disk_is_said_once_and_nothing_is_missing_afterwards(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    run, said = tmp_path / "run", []
    full = threading.Event()
    writes = tensorboard_module._EventFile._write

    def write(self: Any, **fields: Any) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        writes(self, **fields)

    monkeypatch.setattr(tensorboard_module._EventFile, "_write", write)
    watcher = TensorBoardWatcher(run, said.append)
    start = start_of(run, 0, first_step=0)
    watcher.begin(start)

    def do(step: int) -> None:
        with start.metrics_file.open("a") as stream:
            stream.write(json.dumps(record(step)) + "\n")
        watcher.step(record(step))

    do(1)
    assert wait_for(lambda: watcher.reached == 1)
    full.set()
    do(2)
    assert wait_for(lambda: said)
    for step in range(3, 6):
        do(step)
    time.sleep(0.3)
    full.clear()
    do(6)
    assert wait_for(lambda: watcher.reached == 6)
    watcher.close(wait=20)
    assert scalars(run) == {step: 0.5 * step for step in range(1, 7)}
    folder = run / "tensorboard"
    assert said == [
        f"{folder} cannot be written (No space left on device): training goes on",
        f"{folder} is written again",
    ]


def test_a_run_writes_scalars_and_a_playing_sample(textures: Path, tmp_path: Path, modeling: Run) -> None:
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = ["--preset", "tiny", "--run", tmp_path / "run", "--steps", 2, "--tensorboard"]
    assert modeling("train", "--data", textures, *options, *QUICK).exit_code == 0
    events = event_accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"losses/loss_d_t", "wasserstein/wasserstein_s", "seconds/wait"} <= set(events.Tags()["scalars"])
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    found = [event.value for event in events.Scalars("gradient-norms/grad_norm_d_t")]
    assert found == pytest.approx([line["grad_norm_d_t"] for line in lines])
    [image] = events.Images(events.Tags()["images"][0])
    (tmp_path / "sample.gif").write_bytes(image.encoded_image_string)
    with av.open(str(tmp_path / "sample.gif")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8


def test_without_the_package_the_message_says_what_to_install(
    textures: Path, tmp_path: Path, modeling: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    options = ["--preset", "tiny", "--run", tmp_path / "run", "--steps", 1, "--tensorboard"]
    result = modeling("train", "--data", textures, *options, *QUICK)
    assert result.exit_code == 2
    assert "pip install stillflow[tensorboard]" in result.stderr
    assert not (tmp_path / "run").exists()


def test_the_terminal_names_a_wait_that_is_noticed_and_the_memory() -> None:
    stream = io.StringIO()
    watcher = TerminalWatcher(9, Console(file=stream, force_terminal=True, width=160))
    line = {"step": 1, "seconds": 2.0, "clips_per_second": 3.0, "memory_mb": 2048.0}
    watcher.step({**line, "wait": 0.03})
    watcher.close()
    assert "2.00 s/step, 3.0 clips/s, 2.0 GB, 16 s left" in stream.getvalue()
    watcher = TerminalWatcher(9, Console(file=stream, force_terminal=True, width=160))
    watcher.step({**line, "wait": 0.5})
    watcher.close()
    assert "25% of it waiting for the loader" in stream.getvalue()


def test_the_terminal_shows_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    watcher = TerminalWatcher(200, Console(file=stream, force_terminal=True, width=120))
    for step in range(1, 101):
        watcher.step({"step": step, "seconds": 0.5, "clips_per_second": 12.0})
    watcher.close()
    assert "0.50 s/step, 12.0 clips/s, 50 s left" in stream.getvalue()
    assert "100/200" in stream.getvalue()

    plain = io.StringIO()
    moments = iter(range(0, 10_000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
    watcher = TerminalWatcher(200, Console(file=plain, force_terminal=False, width=120))
    for step in range(1, 11):
        watcher.step({"step": step, "seconds": 2.0, "clips_per_second": 3.0})
    lines = plain.getvalue().splitlines()
    assert 2 <= len(lines) < 10
    assert all("s/step" in line for line in lines)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.6, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min"), (273600, "3 d 4 h")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words
