"""Extreme gradient norms: what counts as one, what a resume does to the log, and how clips are ranked."""

from __future__ import annotations

import json
import math
import random
import shutil
import statistics
from pathlib import Path

import pytest

from modeling.config import Config, apply_overrides
from modeling.data.windows import Window
from modeling.presets import get
from modeling.runs.folder import RunFolder
from modeling.training.outliers import FEWEST, NORMS_FILE, OUTLIERS_FILE, WINDOW, OutlierLog, RunningNorms, rank
from tests.modeling.conftest import Run

CLIPS = [f"clip-{number}" for number in range(40)]


def config(*overrides: str) -> Config:
    return apply_overrides(get("tiny"), overrides)


def extreme(earlier: list[float], norm: float) -> bool:
    """The rule once more, from its words."""
    logs = [math.log(value) for value in earlier[-500:]]
    if len(logs) < 50:
        return False
    median = statistics.median(logs)
    spread = 1.4826 * statistics.median([abs(value - median) for value in logs])
    return math.log(norm) > median + 6 * spread and norm > 2 * math.exp(median)


def test_what_is_extreme_is_what_the_rule_says() -> None:
    rng, running, seen, found = random.Random(0), RunningNorms(), [], 0
    for number in range(1500):
        norm = math.exp(rng.gauss(3 + number / 500, 0.3)) * (rng.choice([1, 5, 30]) if number % 37 == 0 else 1)
        excess = running.add(norm)
        assert (excess is not None) == extreme(seen, norm), number
        if excess is not None:
            found += 1
            assert excess.norm == norm
            assert excess.median == pytest.approx(statistics.median(seen[-500:]), rel=0.05)
            assert excess.spreads > 6
        seen.append(norm)
    assert 8 <= found <= 41


def test_an_even_training_has_no_extremes_below_twice_its_norm() -> None:
    running = RunningNorms()
    assert all(running.add(1.0) is None for _ in range(FEWEST))
    assert running.add(1.9) is None
    found = running.add(2.1)
    assert found is not None
    assert found.spreads == math.inf


def write_steps(folder: RunFolder, made: Config, first: int, last: int, *, bad: str | None = None) -> None:
    """Steps first..last of two D passes and one of G, whose norms are a function of the step; `bad` upsets D_T."""
    log = OutlierLog(folder, made, last_step=first - 1)
    for step in range(first, last + 1):
        for index in range(3):
            rng = random.Random(step * 10 + index)
            ids = rng.sample(CLIPS, 4)
            windows = [Window(CLIPS.index(clip), rng.randrange(9), rng.random() < 0.5) for clip in ids]
            due = (step - 1) * 2 + index
            lazy = 50 if due % made.training.penalty_every == 0 and made.training.penalty_every > 1 else 1
            norms = {name: math.exp(rng.gauss(1, 0.1)) for name in (("g",) if index == 2 else ("d_s", "d_t"))}
            if bad in ids and "d_t" in norms:
                norms["d_t"] *= 20
            stats = {f"{name}_grad_norm": norm * (lazy if name != "g" else 1) for name, norm in norms.items()}
            log.passed(step, index, {**stats, "loss": 1e9}, windows, ids)
    log.sync()
    log.close()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.record_config(config())
    return run


def test_a_clip_that_upsets_training_comes_first(folder: RunFolder, modeling: Run) -> None:
    write_steps(folder, config(), 1, 200, bad="clip-7")
    ranking = rank(folder)
    assert ranking.suspects[0].clip == "clip-7"
    assert ranking.suspects[0].networks == {"d_t"}
    assert ranking.suspects[0].times == ranking.passes > 10
    assert ranking.suspects[0].times > 2 * ranking.suspects[1].times
    assert ranking.steps == 200
    result = modeling("outliers", "--run", folder.path, "--top", 3, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert [clip["id"] for clip in said["clips"]] == [suspect.clip for suspect in ranking.suspects[:3]]
    assert said["next"].startswith("curate review clip-7 ")
    text = modeling("outliers", "--run", folder.path).stdout
    assert "clip-7" in text
    assert "next: curate review clip-7 " in text


def test_one_batch_that_upsets_two_networks_counts_once(folder: RunFolder) -> None:
    line = {"step": 3, "pass": 0, "norm": 8.0, "median": 1.0, "spreads": 9.0}
    clips = [{"id": "a", "start": 4, "flip": False}, {"id": "a", "start": 6, "flip": True}]
    lines = [{**line, "network": "d_s", "clips": clips}, {**line, "network": "d_t", "norm": 16.0, "clips": clips}]
    (folder.path / OUTLIERS_FILE).write_text("".join(json.dumps(each) + "\n" for each in lines) + '{"step": 4, "cl')
    [suspect] = rank(folder).suspects
    assert (suspect.times, suspect.doublings, suspect.largest) == (1, 4.0, 16.0)
    assert suspect.networks == {"d_s", "d_t"}


@pytest.mark.parametrize("every", [1, 4])
def test_a_resume_finds_what_an_uninterrupted_run_finds(folder: RunFolder, tmp_path: Path, every: int) -> None:
    made = config(f"training.penalty_every={every}")
    last = WINDOW // 2 + 150  # more passes than the estimate looks back on
    write_steps(folder, made, 1, last, bad="clip-7")
    other = RunFolder(tmp_path / "resumed")
    shutil.copytree(folder.path, other.path)
    for name in (OUTLIERS_FILE, NORMS_FILE):  # a line that a kill cut short
        with (other.path / name).open("a") as stream:
            stream.write('{"step": 9')
    write_steps(other, made, last - 99, last, bad="clip-7")
    for name in (OUTLIERS_FILE, NORMS_FILE):
        assert (other.path / name).read_bytes() == (folder.path / name).read_bytes()
    assert len((folder.path / OUTLIERS_FILE).read_text().splitlines()) > 10


def test_passes_with_a_lazy_penalty_are_no_outliers(folder: RunFolder) -> None:
    write_steps(folder, config("training.penalty_every=4"), 1, 300)
    assert (folder.path / OUTLIERS_FILE).read_text() == ""


def test_a_run_writes_the_norms_of_every_pass(trained_run: Path) -> None:
    lines = [json.loads(line) for line in (trained_run / NORMS_FILE).read_text().splitlines()]
    metrics = [json.loads(line) for line in (trained_run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    for line, record in zip(lines, metrics, strict=True):
        assert {name: len(norms) for name, norms in line["norms"].items()} == {"d_s": 2, "d_t": 2, "g": 1}
        assert statistics.mean(line["norms"]["d_t"]) == pytest.approx(record["grad_norm_d_t"])
    assert (trained_run / OUTLIERS_FILE).read_text() == ""


def test_a_folder_without_a_log_is_told_what_to_do(folder: RunFolder, tmp_path: Path, modeling: Run) -> None:
    result = modeling("outliers", "--run", folder.path)
    assert result.exit_code == 2
    assert "outliers.jsonl is missing" in result.stderr
    result = modeling("outliers", "--run", tmp_path / "none")
    assert result.exit_code == 2
    assert "is no run folder" in result.stderr
