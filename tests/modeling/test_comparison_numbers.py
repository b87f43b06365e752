"""Evaluations side by side: which files are read, which numbers compare, what table, curves and page say."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modeling.commands import main
from modeling.comparison import curves
from modeling.comparison.evaluations import read_evaluations
from tests.modeling.evaluated_runs import write_evaluation, write_run


def compare(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["compare", *map(str, arguments)])
    return result.exit_code, result.output


def edit(run: Path, old: str, new: str) -> None:
    [file] = run.glob("evaluation/*")
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / "a", ssim=0.5), write_run(tmp_path / "b", ssim=0.75)]


def test_table_has_the_runs_then_the_baselines_once(runs: list[Path], tmp_path: Path) -> None:
    status, said = compare(*runs, "--out", tmp_path / "out", "--names", "one,two")
    assert status == 0, said
    written = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [row["title"] for row in written["rows"]] == ["one", "two", "input frame copied"]
    rows = list(csv.DictReader((tmp_path / "out/comparison.csv").open()))
    values = [(row["row"], row["value"], row["low"]) for row in rows if row["metric"] == "ssim"]
    assert values == [("one", "0.5", "0.4"), ("two", "0.75", "0.65"), ("copied_frame", "0.25", "0.15")]
    assert "0.7500 [0.6500, 0.8500]" in (tmp_path / "out/comparison.md").read_text()


def test_other_protocols_are_refused_and_marked_where_forced(runs: list[Path], tmp_path: Path) -> None:
    write_evaluation(runs[1], ssim=0.75, frames=13, protocol_hash="other")
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 2 and "frames: 25 in a, 13 in b" in said and not (tmp_path / "out").exists()
    assert "step:" not in said  # tells where numbers come from, not under which conditions they hold
    status, said = compare(*runs, "--out", tmp_path / "out", "--force")
    assert status == 0, said
    text = (tmp_path / "out/comparison.md").read_text()
    assert "0.7500 [0.6500, 0.8500] ‡" in text and "0.5000 [0.4000, 0.6000] |" in text


def test_newest_evaluation_or_the_one_asked_for(runs: list[Path]) -> None:
    old = write_evaluation(runs[0], ssim=0.1, step=3)
    os.utime(old, (1, 1))
    assert read_evaluations(runs, None)[0].protocol["step"] == 7
    assert read_evaluations(runs[:1], None, step=3)[0].report["metrics"]["model"]["ssim"]["value"] == 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda run: (run / "config.yaml").unlink(), "no run folder"),
        (lambda run: next(run.glob("evaluation/*")).unlink(), "has no evaluation"),
        (lambda run: next(run.glob("evaluation/*")).write_text("{"), "cannot be read"),
        (lambda run: next(run.glob("evaluation/*")).write_text('{"protocol": {}}'), "is of format 1"),
        (lambda run: next(run.glob("evaluation/*")).write_text('{"format": 2, "protocol": {}}'), "is damaged"),
        (lambda run: edit(run, '"value": 0.75', '"value": NaN'), "is damaged (metrics.model.ssim"),
        (lambda run: edit(run, '"value": 0.75', '"value": "high"'), "is damaged (metrics.model.ssim"),
        (lambda run: edit(run, '"frames": 25', '"frames": "all"'), "is damaged (protocol.frames"),
        (lambda run: edit(run, "[0.9, 0.5", "[[], 0.5"), "is damaged (curves.model.ssim_per_frame"),
    ],
)
def test_unusable_runs_are_one_line(runs: list[Path], tmp_path: Path, change: Any, words: str) -> None:
    change(runs[1])
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 2 and words in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bad_options_and_folders_of_others(runs: list[Path], tmp_path: Path) -> None:
    for options in (["--names", "one"], ["--names", "x,x"], ["--frames", "1,x"], ["--frames", "150"], ["--step", "99"]):
        status, said = compare(*runs, "--out", tmp_path / "out", *options)
        assert status == 2 and len(said.splitlines()) == 1, said
    assert compare(*runs, "--out", runs[0])[0] == 2
    assert (runs[0] / "config.yaml").is_file()


def test_returns_are_dips_of_distances_counted_from_the_input(runs: list[Path]) -> None:
    first = read_evaluations(runs, None)[0]
    assert curves.returns(first, "proxy_fd_per_frame") == [4]  # the fourth generated frame: index 3
    assert curves.returns(first, "self_similarity") == [4]  # a peak
    assert curves.returns(first, "ssim_per_frame") == []


def test_page_escapes_names(runs: list[Path], tmp_path: Path) -> None:
    status, _ = compare(*runs, "--out", tmp_path / "out", "--names", "<script>x</script>,b&c")
    page = (tmp_path / "out/index.html").read_text()
    assert status == 0 and "<script>x" not in page and "&lt;script&gt;x" in page and "b&amp;c" in page
