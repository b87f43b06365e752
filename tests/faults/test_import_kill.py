"""An import of made videos killed outright at many moments: the same command mends it, byte for byte."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import func, select

from db.engine import create, open_catalogue
from db.files import sha256_of
from db.models import Video
from db.states import VideoState

CURATE = str(Path(sys.executable).parent / "curate")
COUNT = 140


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Small enough to make in seconds, many enough for several transactions."""
    path = tmp_path / "mnist_test_seq.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (4, COUNT, 24, 24), np.uint8))
    return path


def start(dataset: Path, digits: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [CURATE, "import", "moving-mnist", str(digits), "--dataset", str(dataset)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def made(dataset: Path) -> dict[str, str]:
    """Video files by name with their hashes; nothing else may lie there but the lock."""
    folder = dataset / "videos"
    assert [path.name for path in folder.iterdir() if path.suffix != ".mp4"] in ([], [".import-moving-mnist.lock"])
    return {path.name: sha256_of(path) for path in folder.glob("*.mp4")}


def rows(dataset: Path) -> int:
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        return session.scalar(select(func.count()).select_from(Video)) or 0


def test_killed_at_many_moments(tmp_path: Path, digits: Path) -> None:
    for name in ("whole", "killed"):
        create(tmp_path / name).close()
    _, errors = (process := start(tmp_path / "whole", digits)).communicate(timeout=60)
    assert process.returncode == 0, errors
    whole = made(tmp_path / "whole")
    assert len(whole) == COUNT

    dataset = tmp_path / "killed"
    rng = random.Random(0)
    kills = 0
    while rows(dataset) < COUNT and kills < 6:
        process = start(dataset, digits)
        before = len(list((dataset / "videos").glob("*.mp4")))
        while process.poll() is None and len(list((dataset / "videos").glob("*.mp4"))) <= min(before, COUNT - 1):
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.25))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
            for video in session.scalars(select(Video)):  # a row is a promise
                assert video.state == VideoState.DOWNLOADED
                assert sha256_of(catalogue.path(str(video.path))) == video.sha256
    assert kills >= 2
    process = start(dataset, digits)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert made(dataset) == whole
    assert rows(dataset) == COUNT


def test_two_at_once(tmp_path: Path, digits: Path) -> None:
    create(tmp_path / "data").close()
    with (tmp_path / "data" / "videos" / ".import-moving-mnist.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start(tmp_path / "data", digits)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "another import of moving-mnist" in errors and "Traceback" not in errors


def test_stopped_by_ctrl_c(tmp_path: Path, digits: Path) -> None:
    dataset = tmp_path / "data"
    create(dataset).close()
    process = start(dataset, digits)
    while process.poll() is None and len(list((dataset / "videos").glob("*.mp4"))) < 5:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "the same command goes on" in errors and "Traceback" not in errors
    assert 5 <= rows(dataset) == len(made(dataset)) < COUNT
