"""Evaluations side by side: which files are read, which numbers compare, what table, curves and page say."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
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


def change(run: Path, **facts: object) -> None:
    """Facts of the protocol of a run's only evaluation."""
    [file] = run.glob("evaluation/*")
    report = json.loads(file.read_text())
    report["protocol"].update(facts)
    file.write_text(json.dumps(report))


def score(run: Path, row: str, **values: float) -> None:
    """More numbers of a run's only evaluation."""
    [file] = run.glob("evaluation/*")
    report = json.loads(file.read_text())
    for name, value in values.items():
        number = {"value": value, "low": None, "high": None, "n": [6, 6], "few": False, "note": ""}
        report["metrics"].setdefault(row, {})[name.replace("_fd", "-fd")] = number
    file.write_text(json.dumps(report))


def empty(run: Path) -> None:
    shutil.rmtree(run / "evaluation")
    (run / "config.yaml").unlink()


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


def test_runs_compare_in_what_both_have(runs: list[Path], tmp_path: Path) -> None:
    """One was evaluated with FID besides: SSIM compares all the same."""
    inception, other = {"digest": "1" * 64, "resize": "tensorflow"}, {"digest": "2" * 64, "resize": "torch"}
    change(runs[0], extractors={"inception": inception}, protocol_hash="with FID")
    score(runs[0], "model", fid=10.0)
    score(runs[0], "copied_frame", fid=8.0)
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 0, said
    assert "‡" not in (tmp_path / "out/comparison.md").read_text()

    change(runs[1], extractors={"inception": other})
    score(runs[1], "model", fid=20.0)
    score(runs[1], "copied_frame", fid=18.0)
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 2 and 'inception.resize: "tensorflow" in a, "torch" in b (FID)' in said and "ssim" not in said
    status, said = compare(*runs, "--out", tmp_path / "out", "--force")
    assert status == 0, said
    text = (tmp_path / "out/comparison.md").read_text()
    assert "| b | 20.00 ‡ | **0.7500 [0.6500, 0.8500]** |" in text and "| a | 10.00 | 0.5000 [0.4000, 0.6000] |" in text
    written = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [(row["title"], row["other_protocol"]) for row in written["rows"]] == [
        ("a", []),
        ("b", ["fid"]),
        ("input frame copied", []),
        ("input frame copied (as for b)", ["fid"]),
    ]
    assert set(written["rows"][2]["metrics"]) == {"fid", "ssim"} and set(written["rows"][3]["metrics"]) == {"fid"}
    why = 'inception.resize: "tensorflow" in a, "torch" in b'
    assert [why in row["differs"].get("fid", []) for row in written["rows"]] == [False, True, False, True]
    lines = [line for line in csv.DictReader((tmp_path / "out/comparison.csv").open()) if line["differs"]]
    assert [(line["row"], line["metric"]) for line in lines] == [("b", "fid"), ("copied_frame", "fid")]
    assert all(why in line["differs"] for line in lines)
    page = (tmp_path / "out/index.html").read_text()
    assert page.count('<td class="marked" title="inception.digest') == 2 and "<strong>0.7500</strong>" in page


def test_numbers_rest_on_their_own_facts(runs: list[Path], tmp_path: Path) -> None:
    """Which frames a curve is compared with is not the table's; how many futures there were is the best one's."""
    change(runs[0], reference="pooled", futures=2)
    change(runs[1], reference="same-step", futures=3)
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 2 and 'reference: "pooled" in a, "same-step" in b (proxy-FD of' in said and "futures" not in said
    change(runs[1], reference="pooled")
    assert compare(*runs, "--out", tmp_path / "out")[0] == 0
    for run in runs:
        score(run, "model", best_of_k_psnr=30.0)
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 2 and "futures: 2 in a, 3 in b (PSNR, best of k)" in said


def test_each_data_set_has_its_own_table(runs: list[Path], tmp_path: Path) -> None:
    third = write_run(tmp_path / "c", ssim=0.6)
    for run, data in zip([*runs, third], ("rivers", "seas", "rivers"), strict=True):
        change(run, data_recipe_hash=data, frames=13 if data == "seas" else 25)
    status, said = compare(*runs, third, "--out", tmp_path / "out")
    assert status == 0 and "2 data sets, each with a table of its own: a, c | b" in said, said
    written = json.loads((tmp_path / "out/comparison.json").read_text())
    told = [(row["title"], row["data"].split()[-1], row["best"]) for row in written["rows"]]
    assert told == [
        ("a", "rivers", []),
        ("c", "rivers", ["ssim"]),
        ("input frame copied", "rivers", []),
        ("b", "seas", []),
        ("input frame copied", "seas", []),
    ]
    assert (tmp_path / "out/comparison.md").read_text().count("## test clips of 32x32 pixels, data") == 2
    assert {file.name for file in (tmp_path / "out").glob("curves*")} == {"curves.png", "curves-2.png"}


def test_data_sets_of_one_recipe_are_told_apart(runs: list[Path], tmp_path: Path) -> None:
    """All that is exported alike has one recipe; a report from before data had a hash goes by that."""
    change(runs[0], data_recipe_hash="alike", data_hash="1" * 16, clips_hash="p", data="/data/rivers/shards")
    change(runs[1], data_recipe_hash="alike", data_hash="2" * 16, clips_hash="q", data="seas/shards")
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 0 and "2 data sets" in said, said
    rows = json.loads((tmp_path / "out/comparison.json").read_text())["rows"]
    assert rows[0]["data"] == "test clips of 32x32 pixels of rivers/shards, data 111111111111"
    change(runs[1], data_hash=None)
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 2 and 'clips_hash: "p" in a, "q" in b' in said


def test_equal_notes_are_said_once(runs: list[Path], tmp_path: Path) -> None:
    for run in runs:
        score(run, "model", psnr=20.0, lpips=0.5)
        [file] = run.glob("evaluation/*")
        file.write_text(
            file.read_text().replace(
                '"low": null, "high": null, "n": [6, 6], "few": false, "note": ""',
                '"low": null, "high": null, "n": [6, 6], "few": false, "note": "x"',
            )
        )
    assert compare(*runs, "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out/comparison.md").read_text().count("\n- PSNR, LPIPS (a, b): x\n") == 1
    assert (tmp_path / "out/index.html").read_text().count("<li>PSNR, LPIPS (a, b): x</li>") == 1


@pytest.mark.parametrize(
    ("name", "values", "best"),
    [
        ("psnr", (20.0, 30.0), "b"),
        ("proxy_fd", (20.0, 30.0), "a"),
        ("motion_amount", (0.7, 1.2), "b"),  # the nearer to the real clips' the better
        ("looping", (0.7, 0.2), None),  #       what the real clips' is, this does not know
        ("psnr", (20.0, 20.0), "ab"),
    ],
)
def test_best_is_the_best_way_round(runs: list[Path], tmp_path: Path, name: str, values: Any, best: str | None) -> None:
    for run, value in zip(runs, values, strict=True):
        change(run, extractors={"proxy": {"digest": "version 1"}})
        score(run, "model", **{name: value})
    assert compare(*runs, "--out", tmp_path / "out")[0] == 0
    rows = json.loads((tmp_path / "out/comparison.json").read_text())["rows"]
    assert "".join(row["title"] for row in rows if name.replace("_fd", "-fd") in row["best"]) == (best or "")


def test_reports_of_samples_stand_beside_runs(runs: list[Path], tmp_path: Path) -> None:
    """Of a folder with its evaluation, of --out, or the file itself; a run's own protocol can be chosen."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    file = write_evaluation(theirs, ssim=0.9, kind="samples")
    for place in (theirs, file.parent, file):
        status, said = compare(runs[0], place, "--out", tmp_path / "out")
        assert status == 0, said
        rows = json.loads((tmp_path / "out/comparison.json").read_text())["rows"]
        assert [(row["title"], row["kind"]) for row in rows[:2]] == [("a", "model"), ("theirs: samples", "samples")]
        assert rows[1]["best"] == ["ssim"]
    write_evaluation(runs[0], ssim=0.1, step=8)
    change(runs[1], name="as-published")
    status, said = compare(runs[0], theirs, "--out", tmp_path / "out")
    assert status == 0 and "a: test-step-00000008.json, the newest that fits of 2 evaluations" in said
    status, said = compare(runs[1], "--out", tmp_path / "out", "--protocol", "standard")
    assert status == 2 and "has no evaluation of protocol standard" in said


def test_newest_evaluation_or_the_one_asked_for(runs: list[Path]) -> None:
    old = write_evaluation(runs[0], ssim=0.1, step=3)
    os.utime(old, (1, 1))
    assert read_evaluations(runs, None)[0].protocol["step"] == 7
    assert read_evaluations(runs[:1], None, step=3)[0].report["metrics"]["model"]["ssim"]["value"] == 0.1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: empty(run), "is no run folder"),
        (lambda run: shutil.rmtree(run), "is not there"),
        (lambda run: next(run.glob("evaluation/*")).unlink(), "has no evaluation"),
        (lambda run: next(run.glob("evaluation/*")).write_text("{"), "cannot be read"),
        (lambda run: next(run.glob("evaluation/*")).write_text('{"protocol": {}}'), "is of format 1"),
        (lambda run: next(run.glob("evaluation/*")).write_text('{"format": 2, "protocol": {}}'), "is damaged"),
        (lambda run: edit(run, '"value": 0.75', '"value": NaN'), "is damaged (metrics.model.ssim"),
        (lambda run: edit(run, '"value": 0.75', '"value": "high"'), "is damaged (metrics.model.ssim"),
        (lambda run: change(run, extractors={"proxy": "version 1"}), "is damaged (protocol.extractors"),
        (lambda run: edit(run, '"frames": 25', '"frames": "all"'), "is damaged (protocol.frames"),
        (lambda run: edit(run, "[0.9, 0.5", "[[], 0.5"), "is damaged (curves.model.ssim_per_frame"),
    ],
)
def test_unusable_runs_are_one_line(runs: list[Path], tmp_path: Path, spoil: Any, words: str) -> None:
    spoil(runs[1])
    status, said = compare(*runs, "--out", tmp_path / "out")
    assert status == 2 and words in said and len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_bad_options_and_folders_of_others(runs: list[Path], tmp_path: Path) -> None:
    for options in (["--names", "one"], ["--names", "x,x"], ["--frames", "1,x"], ["--frames", "150"], ["--step", "99"]):
        status, said = compare(*runs, "--out", tmp_path / "out", *options)
        assert status == 2 and len(said.splitlines()) == 1, said
    status, said = compare(*runs, runs[0], "--out", tmp_path / "out")
    assert status == 2 and "is given 2 times" in said
    assert compare(*runs, "--out", runs[0])[0] == 2
    assert (runs[0] / "config.yaml").is_file()


def test_returns_are_dips_of_distances_counted_from_the_input(runs: list[Path]) -> None:
    first = read_evaluations(runs, None)[0]
    assert curves.returns(first, "proxy_fd_per_frame") == [4]  # the fourth generated frame: index 3
    assert curves.returns(first, "self_similarity") == [4]  # a peak
    assert curves.returns(first, "ssim_per_frame") == []
    flat = [100.0, 102.0, 99.0, 102.0, 100.0]  # ripples are no returns, whatever their share of the range
    report = {**first.report, "curves": {"model": {"proxy_fd_per_frame": flat}}}
    assert curves.returns(replace(first, report=report), "proxy_fd_per_frame") == []


def test_page_escapes_names(runs: list[Path], tmp_path: Path) -> None:
    status, _ = compare(*runs, "--out", tmp_path / "out", "--names", "<script>x</script>,b&c")
    page = (tmp_path / "out/index.html").read_text()
    assert status == 0 and "<script>x" not in page and "&lt;script&gt;x" in page and "b&amp;c" in page
