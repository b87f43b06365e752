"""Processes under torchrun: equal to one process with the whole batch, one message, one stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from modeling.commands import main
from modeling.config import ConfigError
from modeling.data.windows import BatchOrder
from modeling.errors import UsageError
from modeling.runs.checkpoint import load_checkpoint
from modeling.training.distributed import Processes, buckets, joined

ROOT = Path(__file__).resolve().parents[2]
CPU = torch.device("cpu")
SMALL = ["frames=6", "d_s.frames=3", "generator.ch=4", "d_s.ch=2", "d_t.ch=2", "training.batch=4", "precision=fp64"]


def arguments(data: Path, run: Path, steps: int, *overrides: str) -> list[str]:
    options = [word for override in (*SMALL, *overrides) for word in ("--set", override)]
    return ["train", "--data", str(data), "--preset", "tiny", "--run", str(run), "--steps", str(steps), *options]


def start(processes: int, words: list[str]) -> subprocess.Popen[str]:
    """`torchrun --nproc-per-node N -m -- modeling WORDS...`, on a port of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.Popen(
        [*command, "-m", "--", "modeling", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def torchrun(processes: int, words: list[str]) -> tuple[int, str, str]:
    with start(processes, words) as process:
        out, err = process.communicate(timeout=180)
    return process.returncode, out, err


def tensors(state: object, where: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(state, torch.Tensor):
        yield where, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from tensors(value, f"{where}.{key}")


def final_state(run: Path, step: int) -> dict[str, torch.Tensor]:
    return dict(tensors(load_checkpoint(run / "checkpoints" / f"step-{step:08d}.pt", CPU)))


def assert_close(first: Path, second: Path, step: int) -> None:
    """Weights, optimisers, averages and every logged number agree to 1e-9."""
    one, two = final_state(first, step), final_state(second, step)
    assert one.keys() == two.keys()
    assert len(one) > 200
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-9, atol=1e-9, msg=name)
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in (first, second)]
    assert len(logs[0]) == len(logs[1]) == step
    for ours, theirs in zip(*logs, strict=True):
        for name in ours.keys() - {"seconds", "wait", "clips_per_second", "memory_mb", "motion_ratio"}:
            assert theirs[name] == pytest.approx(ours[name], rel=1e-9, abs=1e-9), name


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, textures: Path) -> Path:
    """Three steps of one process with the whole batch."""
    run = tmp_path_factory.mktemp("runs") / "alone"
    assert CliRunner().invoke(main, arguments(textures, run, 3)).exit_code == 0
    return run


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch(alone: Path, textures: Path, tmp_path: Path) -> None:
    """Two clips each against four; then a stop after two steps, and a third by one process: the same again."""
    run = tmp_path / "two"
    status, out, err = torchrun(2, [*arguments(textures, run, 2), "--json"])
    assert status == 0, err
    assert json.loads(out)["step"] == 2  # one object: the other process says nothing
    assert err.count("left out 1 clips shorter") == 1
    about = json.loads((run / "environment.json").read_text())
    assert (about["processes"], about["device"]) == (2, "cpu")
    assert CliRunner().invoke(main, arguments(textures, run, 3)).exit_code == 0
    assert json.loads((run / "environment.json").read_text())["resumed"][0]["processes"] == 1
    assert_close(alone, run, 3)
    lines = (run / "outliers.jsonl").read_text(), (alone / "outliers.jsonl").read_text()
    assert lines[0] == lines[1]


@pytest.mark.slow
def test_what_is_wrong_is_said_once(textures: Path, tmp_path: Path) -> None:
    """A batch that does not divide; both processes find it, one speaks, and no folder is made."""
    status, out, err = torchrun(2, arguments(textures, tmp_path / "run", 3, "training.batch=3"))
    assert status != 0
    assert out == ""
    assert err.count("Error: training.batch=3 does not divide among 2 processes") == 1
    assert "Traceback (most recent call last)" not in err.split("ChildFailedError")[0].split("Error: training")[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_at_one_step(textures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(2, arguments(textures, run, 200)) as process:
        try:
            log = run / "metrics.jsonl"
            deadline = time.monotonic() + 120
            while (not log.exists() or not log.read_text()) and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.05)
            second = next(pid for pid in children(process.pid) if environment_of(pid).get("RANK") == "1")
            os.kill(second, signal.SIGTERM)  # the one that writes nothing
            out, _ = process.communicate(timeout=120)
        finally:
            process.kill()
    step = len(log.read_text().splitlines())
    assert f"interrupted at step {step} of 200; the same command resumes it" in out
    assert (run / "checkpoints" / "latest").read_text() == f"step-{step:08d}.pt\n"


def children(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def environment_of(pid: int) -> dict[str, str]:
    pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(pair.partition("=")[::2] for pair in pairs)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_with_one_message(textures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(2, arguments(textures, run, 200)) as process:
        try:
            log = run / "metrics.jsonl"
            deadline = time.monotonic() + 120
            while (not log.exists() or not log.read_text()) and time.monotonic() < deadline:
                assert process.poll() is None
                time.sleep(0.05)
            second = next(pid for pid in children(process.pid) if environment_of(pid).get("RANK") == "1")
            os.kill(second, signal.SIGKILL)
            _, err = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode != 0
    assert err.count("Error: lost another process of this training") == 1


def test_parts_make_up_the_whole_batch() -> None:
    parts = [Processes(rank, 4).part(8) for rank in range(4)]
    assert [sample for part in parts for sample in part] == list(range(8))
    with pytest.raises(ConfigError, match=r"training\.batch=8 does not divide among 3 processes"):
        Processes(0, 3).part(8)
    whole = list(BatchOrder(first_step=3, end_step=5, d_passes=2, batch=8))
    shared = [list(BatchOrder(first_step=3, end_step=5, d_passes=2, batch=8, part=part)) for part in parts]
    assert [[draw for part in draws for draw in part] for draws in zip(*shared, strict=True)] == whole
    assert whole[2] == BatchOrder(first_step=0, end_step=1, d_passes=2, batch=8).whole(3, 2)


def test_buckets_hold_one_type_and_a_limited_size() -> None:
    given = [torch.ones(3), torch.ones(4), torch.ones(20), torch.ones(2).double(), torch.ones(1).double()]
    groups = [[len(tensor) for tensor in bucket] for bucket in buckets(given, size=8)]
    assert groups == [[3, 4], [20], [2, 1]]
    assert list(buckets([])) == []


def test_alone_nothing_is_exchanged() -> None:
    one, tensor = Processes(), torch.arange(3.0)
    one.add_up([tensor])
    assert tensor.tolist() == [0, 1, 2]
    assert (one.largest(4, -1), one.smallest(5), one.first) == ([4, -1], 5, True)
    one.wait()


def test_an_environment_that_is_not_torchrun_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    words = r"RANK, LOCAL_RANK, MASTER_ADDR, MASTER_PORT does not: start with torchrun"
    with pytest.raises(UsageError, match=words), joined("cpu"):
        pass
    monkeypatch.setenv("WORLD_SIZE", "1")
    with joined("cpu") as processes:
        assert (processes.size, processes.device) == (1, CPU)
