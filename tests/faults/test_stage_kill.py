"""`curate score` killed outright at many moments, and two at once: nothing is lost, nothing is done twice."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from curation.commands import main
from db.engine import Catalogue, open_catalogue
from db.models import Attempt, Lease, Score
from tests.fresh_dataset import fresh_dataset

CURATE = str(Path(sys.executable).parent / "curate")


def curate(dataset: Path, command: str, *options: str) -> dict[str, object]:
    done = CliRunner().invoke(main, [command, "--dataset", str(dataset), "--json", *options])
    assert done.exit_code == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    """Three videos with 20 short clips each, cut but not scored."""
    there = tmp_path_factory.mktemp("prepared")
    folder = there / "data"
    fresh_dataset(folder).close()
    videos = [str(make_video(there / f"{i}.mp4", frames=220, height=240, width=320, seed=i)) for i in range(3)]
    curate(folder, "add", *videos)
    curate(folder, "download")
    assert curate(folder, "cut", "--length", "0.4", "--margin", "0", "--spacing", "0")["new_clips"] == 60
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "data"))


def scored(dataset: Path) -> tuple[dict[str, float], Counter[str]]:
    """Each clip's variance, and how often its scoring was recorded as done."""
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        values = {score.clip_id: score.value for score in session.scalars(select(Score))}
        attempts = Counter(
            session.scalars(select(Attempt.item_id).where(Attempt.stage == "score", Attempt.outcome == "done"))
        )
        assert session.scalars(select(Lease).where(Lease.stage == "score", Lease.owner.is_not(None))).all() == []
    return values, attempts


def how_many_scored(catalogue: Catalogue) -> int:
    with catalogue.reading() as session:
        return session.scalar(select(func.count(Score.clip_id.distinct()))) or 0


def test_killed_at_many_moments(dataset: Path) -> None:
    rng, catalogue = random.Random(0), open_catalogue(dataset)
    before = 0
    for _ in range(6):
        process = subprocess.Popen(
            [CURATE, "score", "--dataset", str(dataset), "--workers", "1"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        while how_many_scored(catalogue) == before:  # it has begun to score
            assert process.poll() is None
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        before = how_many_scored(catalogue)
        assert before < 60
    catalogue.close()
    curate(dataset, "score")
    values, attempts = scored(dataset)
    assert len(values) == 60
    assert set(attempts.values()) == {1}
    assert set(attempts) == set(values)


def test_two_at_once_share_the_work(dataset: Path) -> None:
    processes = [
        subprocess.Popen(
            [CURATE, "score", "--dataset", str(dataset), "--workers", "1", "--json"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    told = []
    for process in processes:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        told.append(json.loads(output)["clips"])
    assert sum(told) == 60
    values, attempts = scored(dataset)
    assert len(values) == 60
    assert set(attempts.values()) == {1}
