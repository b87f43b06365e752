"""The harness of the comparison: budgets, equal parameters, resumed trials, tables, and its command end to end."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import compare_generators, fast_recipe
from benchmarks.experiment import jobs, summary
from benchmarks.experiment.arms import base_config, parameters, with_parameters
from benchmarks.experiment.command import parser_of, run_experiment
from benchmarks.experiment.figures import curves, strips
from benchmarks.experiment.jobs import run_all
from benchmarks.experiment.scores import HeldOut, references
from benchmarks.experiment.trial import Budget, Trial, run_trial
from benchmarks.water.shards import write_water
from modeling.config import apply_overrides

SMALL = [
    "frames=5",
    "d_s.frames=2",
    "training.batch=1",
    "training.micro_batch=1",
    "generator.ch=2",
    "d_s.ch=2",
    "d_t.ch=2",
]


@pytest.fixture(scope="module")
def water(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("water") / "data"
    write_water(folder, side=32, clips=20, frames=6, takes=1, seed=0)
    return folder


@pytest.fixture(scope="module")
def held(water: Path) -> HeldOut:
    return HeldOut.open(water, "test", resolution=32, frames=6)


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(st.none(), st.integers(1, 500)),
    st.one_of(st.none(), st.floats(0.01, 5)),
    st.integers(1, 60),
    st.floats(0.01, 3),
)
def test_a_budget_is_met_and_hardly_passed(steps: int | None, minutes: float | None, every: int, pace: float) -> None:
    budget = Budget(steps=steps, minutes=minutes, every=every)
    step, stops = 0, []
    while (stop := budget.next_stop(step, step * pace)) is not None:
        assert step < stop <= step + every
        stops.append(stop)
        step = stop
        assert len(stops) < 100_000
    if steps is not None:
        assert steps in stops, "equal clips are scored"
    if minutes is not None:
        assert step * pace >= 0.99 * 60 * minutes
        first = next(stop for stop in stops if stop * pace >= 0.99 * 60 * minutes)
        # Without a pace so far, the first stretch is as long as it is.
        assert first * pace <= 60 * minutes + 1.001 * pace or first in (stops[0], steps)


def test_equal_parameters_are_equal_within_a_few_percent() -> None:
    style = parameters(base_config([]))
    config = base_config(["generator.kind=dvdgan-s"])
    options = with_parameters(config, style)
    assert parameters(apply_overrides(config, options)) == pytest.approx(style, rel=0.03)
    own = with_parameters(config, parameters(config))
    assert parameters(apply_overrides(config, own)) == parameters(config)


def test_scores_of_the_truth_and_of_a_copy(held: HeldOut) -> None:
    truth = held.score(held.real)
    assert truth["psnr"] == 60.0  # no error: clipped
    assert truth["ssim"] == pytest.approx(1)
    assert truth["motion_r"] == pytest.approx(1)
    assert truth["motion_ratio"] == pytest.approx(1)
    assert truth["proxy_fd"] == pytest.approx(0, abs=1e-6)
    assert held.score_quiet(held.real) == {"quiet_motion_r": pytest.approx(1), "quiet_motion_ratio": pytest.approx(1)}
    copy = held.score(held.copied())
    assert copy["motion_r"] is None
    assert copy["motion_ratio"] == 0
    assert copy["proxy_fd"] is not None
    assert copy["proxy_fd"] > 0.1


def test_a_trial_stopped_and_resumed_equals_one_in_one_go(tmp_path: Path, water: Path, held: HeldOut) -> None:
    config = base_config(SMALL)
    told: list[str] = []
    whole, parts = (Trial(folder=tmp_path / name, config=config) for name in ("whole", "parts"))
    budget = Budget(steps=4, minutes=None, every=2)
    assert run_trial(whole, water, held, budget, told.append) is None
    assert run_trial(parts, water, held, Budget(steps=2, minutes=None, every=2), told.append) is None
    cut = parts.evaluations_file.read_text()
    parts.evaluations_file.write_text(cut + '{"step": 4, "cli')  # a kill in the middle of a line
    assert run_trial(parts, water, held, budget, told.append) is None
    assert [each["step"] for each in whole.evaluations()] == [0, 2, 4]
    assert [each["scores"] for each in parts.evaluations()] == [each["scores"] for each in whole.evaluations()]
    np.testing.assert_array_equal(np.load(parts.strip_file(4)), np.load(whole.strip_file(4)))
    step, seconds = parts.progress()
    assert step == 4
    assert seconds == parts.stretches()[4] > parts.stretches()[2] > 0
    parts.stretches_file.write_text(json.dumps({"2": parts.stretches()[2]}))  # killed in the second stretch
    lines = [json.loads(line) for line in (parts.run / "metrics.jsonl").read_text().splitlines()]
    clock = sum(line["seconds"] for line in lines if line["step"] > 2)
    assert parts.progress() == (4, pytest.approx(parts.stretches()[2] + clock))
    count = len(told)
    assert run_trial(parts, water, held, budget, told.append) is None  # nothing is left to do
    assert len(told) == count


def record(step: int, seconds: float, fd: float, r: float | None = 0.2) -> summary.Record:
    scores = {"proxy_fd": fd, "motion_r": r, "motion_r_of_clips": r, "motion_ratio": 1.0, "psnr": 20.0, "ssim": 0.5}
    return {"step": step, "clips": 4 * step, "seconds": seconds, "parameters": 10, "scores": scores}


def test_equal_clips_and_equal_time_pick_their_evaluations() -> None:
    records = [record(0, 0, 9), record(10, 30, 5), record(20, 61, 4), record(30, 92, 3)]
    assert summary.at_steps(records, 20) is records[2]
    assert summary.at_steps(records, 15) is None
    assert summary.at_time(records, 1) is records[2]
    assert summary.at_time(records, 0.5) is records[1]
    assert summary.at_time(records, 2) is None
    assert summary.effort([records[1], records[3]]) == (pytest.approx((3 + 92 / 30) / 2), 20)


def test_tables_tell_mean_and_range() -> None:
    page = summary.table({"ours": [record(1, 1, 4.0), record(1, 1, 8.0, None)]}, {"copied": {"psnr": 24.0, "n": 3}})
    ours, copied = page.splitlines()[2:]
    cells = ["6.0 (4.0 to 8.0)", "0.20", "0.20", "1.00 (1.00 to 1.00)", "-", "-", "20.00 (20.00 to 20.00)"]
    assert ours.strip("| ").split(" | ") == ["ours", *cells, "0.500 (0.500 to 0.500)"]
    assert copied == "| copied, 3 clips | - | - | - | - | - | - | 24.00 | - |"
    assert summary.ratios([record(1, 1, 4), record(1, 1, 9)], [record(1, 1, 8), record(1, 1, 3)]) == [0.5, 3.0]


def test_figures_are_drawn(tmp_path: Path, water: Path, held: HeldOut) -> None:
    beside = references(water, held, resolution=32, frames=6)
    one = [record(0, 0, 9, None), record(10, 30, 5)]
    curves(tmp_path / "curves.png", {"ours": [one, one[:1]], "theirs": [one]}, beside)
    strip = held.strip(held.real)
    assert strip.shape[1:] == (4, 32, 32, 3)
    strips(tmp_path / "strips.png", strip, {"ours": strip})
    for name in ("curves.png", "strips.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_jobs_run_so_many_at_a_time_and_tell_who_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "POLL", 0.01)
    said: list[str] = []
    commands = {"good": ["true"], "bad": ["sh", "-c", "echo too bad; exit 3"], "last": ["true"]}
    logs = {name: tmp_path / name / "log.txt" for name in commands}
    assert run_all(commands, logs, 1, said.append) == {"good": 0, "bad": 3, "last": 0}
    assert [line.split(":")[0] for line in said] == ["good", "good", "bad", "bad", "last", "last"]
    assert "failed (too bad)" in said[3]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give a budget"),
        (["--steps", "0"], "--steps must be above 0"),
        (["--steps", "2", "--only", "stile"], "there is no arm 'stile'"),
        (["--steps", "2", "--set", "frames=2"], "frames must be 4 or more"),
        (["--steps", "2", "--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_arguments_are_told_in_a_line(
    arguments: list[str], said: str, water: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed = parser_of("").parse_args(["--data", str(water), "--out", str(tmp_path / "out"), *arguments])
    assert run_experiment(parsed, Path("x.py"), compare_generators.arms, compare_generators.report) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_recipe_knows_its_arms() -> None:
    names = [arm.name for arm in fast_recipe.arms([])]
    assert names[0] == "base"
    assert len(set(names)) == len(names) == 1 + len(fast_recipe.CHOICES)
    plain = base_config([]).to_dict()
    for arm in fast_recipe.arms([])[1:]:
        assert arm.config(base_config([]), 0).to_dict() != plain, f"{arm.name} changes nothing"


def test_the_comparison_end_to_end(water: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two arms in processes of their own, a report with both budgets, and other settings refused."""
    out = tmp_path / "out"
    arguments = ["--data", str(water), "--out", str(out), "--seeds", "1", "--steps", "2", "--minutes", "0.001"]
    arguments += [
        "--every",
        "2",
        "--frames",
        "6",
        "--only",
        compare_generators.STYLE,
        "--only",
        compare_generators.SAME_CH,
    ]
    for option in SMALL:
        arguments += ["--set", option]
    monkeypatch.setattr("sys.argv", ["compare_generators.py", *arguments])
    assert compare_generators.main() == 0
    result = json.loads((out / "report.json").read_text())
    assert set(result["curves"]) == {compare_generators.STYLE, compare_generators.SAME_CH}
    assert [each["step"] for each in result["clips"]["rows"][compare_generators.STYLE]] == [2]
    page = (out / "report.md").read_text()
    for part in ("Equal clips: after 2 steps", "Equal time", "copied frame", "dvdgan-s, same ch, untrained"):
        assert part in page
    for name in ("curves.png", "strips-clips.png", "strips-time.png"):
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("sys.argv", ["compare_generators.py", *arguments, "--frames", "5", "--report"])
    assert compare_generators.main() == 2
