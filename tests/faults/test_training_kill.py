"""Kill -9 in the middle of a run, and disks that are full: what was saved stays, and the run goes on bit for bit."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from modeling.commands import main
from modeling.runs.checkpoint import load_checkpoint
from tests.modeling.moving_textures import write_textures

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["frames=8", "d_s.frames=4", "generator.ch=4", "d_s.ch=2", "d_t.ch=2"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_textures(tmp_path_factory.mktemp("data") / "shards", {"train": [[30, 26, 40], [28]], "val": [[30]]})


def arguments(shards: Path, run: Path, steps: int, every: int, *more: str) -> list[str]:
    options = ["--data", str(shards), "--run", str(run), "--steps", str(steps), "--checkpoint-every", str(every)]
    return ["train", "--preset", "tiny", *options, *(word for option in SMALL for word in ("--set", option)), *more]


def here(shards: Path, run: Path, steps: int, every: int, *more: str) -> Result:
    """The command in this process; an exception that is not a clean exit is raised."""
    torch.set_num_threads(1)
    result = CliRunner().invoke(main, arguments(shards, run, steps, every, *more))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def steps_logged(run: Path) -> list[int]:
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["step"] for line in lines if line.endswith("}")]


def assert_same(first: object, second: object, where: str = "") -> int:
    """Equal in every tensor's bits; the number of tensors compared."""
    if isinstance(first, torch.Tensor):
        assert isinstance(second, torch.Tensor)
        assert torch.equal(first, second), where
        return 1
    if isinstance(first, dict):
        assert isinstance(second, dict)
        assert first.keys() == second.keys(), where
        return sum(assert_same(value, second[key], f"{where}.{key}") for key, value in first.items())
    assert first == second, where
    return 0


# Batches of three clips in micro-batches of two, read by two processes; styles, batch norm and its average.
EACH = ["--set", "training.batch=3", "--set", "micro_batch=2", "--workers", "2"]
KINDS = {
    "style": ["--set", "style_mixing=0.5", "--set", "latent=4", "--set", "penalty_every=2"],
    "dvdgan-s": ["--set", "generator.kind=dvdgan-s", "--set", "encoder_norm=batch"],
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_steps_straight_equal_a_run_killed_in_the_middle(shards: Path, tmp_path: Path, kind: str) -> None:
    """3 steps, a checkpoint, at least one step more, kill -9, 3 steps from the checkpoint: 6 in one go, bit for bit.

    The run in one go reads its batches by itself.
    """
    straight, killed, more = tmp_path / "straight", tmp_path / "killed", [*EACH, *KINDS[kind]]
    assert here(shards, straight, 6, 3, *more, "--workers", "0").exit_code == 0

    start = "import torch; torch.set_num_threads(1); from modeling.commands import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", start, *arguments(shards, killed, 6, 3, *more)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while len(steps_logged(killed)) < 4 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    logged = steps_logged(killed)
    assert logged[:4] == [1, 2, 3, 4]
    assert logged[-1] < 6
    assert (killed / "checkpoints" / "latest").read_text() == "step-00000003.pt\n"

    done = here(shards, killed, 6, 3, *more)
    assert done.exit_code == 0, done.output
    assert "step-00000003.pt at step 3" in done.stderr
    assert steps_logged(killed) == steps_logged(straight) == list(range(1, 7))
    first, second = (load_checkpoint(run / "checkpoints" / "step-00000006.pt", CPU) for run in (straight, killed))
    assert assert_same(first, second) > 200
    assert any("running_mean" in name for name in first["ema"]) == (kind == "dvdgan-s")
    for name in ("model.safetensors", "outliers.jsonl", "gradient-norms.jsonl"):
        assert (straight / name).read_bytes() == (killed / name).read_bytes(), name
    clock = ("seconds", "wait", "clips_per_second", "memory_mb")
    lines = [
        [
            {key: value for key, value in json.loads(line).items() if key not in clock}
            for line in (run / "metrics.jsonl").read_text().splitlines()
        ]
        for run in (straight, killed)
    ]
    assert lines[0] == lines[1]
    assert [line["step"] for line in lines[0] if "motion_ratio" in line] == [3, 6]


def assert_stopped_by_the_disk(done: Result, run: Path, before: dict[str, bytes]) -> None:
    assert done.exit_code == 1, done.output
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert "could not be written" in last
    for name, content in before.items():
        assert (run / "checkpoints" / name).read_bytes() == content
    assert {file.name for file in (run / "checkpoints").iterdir()} == set(before)


def checkpoints(run: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (run / "checkpoints").iterdir()}


def test_a_file_that_may_not_grow_stops_the_run_and_keeps_the_older_checkpoint(shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert here(shards, run, 2, 2).exit_code == 0
    before = checkpoints(run)
    limit = len(before["step-00000002.pt"]) // 2

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (limit, hard)
    )  # Python ignores its signal, so a write fails with an error
    try:
        done = here(shards, run, 3, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_stopped_by_the_disk(done, run, before)
    assert here(shards, run, 3, 2).exit_code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_full_disk_stops_the_run_and_keeps_the_older_checkpoint(shards: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let tests mount a disk")
    try:
        run = disk / "run"
        assert here(shards, run, 2, 2).exit_code == 0
        before = checkpoints(run)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(b"x" * (free - 300_000))
        done = here(shards, run, 3, 2)
        assert "No space left on device" in done.stderr
        assert_stopped_by_the_disk(done, run, before)
        (disk / "filler").unlink()
        assert here(shards, run, 3, 2).exit_code == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)
