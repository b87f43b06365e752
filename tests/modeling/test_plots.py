"""Curves from metrics.jsonl: what is read, how it is grouped and smoothed, and the pictures of `modeling plot`."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.runs.curves import Curve, by_family, curves, label, read_records, smoothed, worth_drawing
from modeling.runs.plots import COLOURS, load, plot_runs
from tests.modeling.conftest import Run


def write_run(folder: Path, steps: int, **more: float) -> Path:
    """A run folder with nothing but a log of waves."""
    folder.mkdir()
    lines = []
    for step in range(1, steps + 1):
        wave = math.sin(step / 9)
        record = {"step": step, "epoch": step / 7, "loss_g": 5 * wave, "loss_d_v": -wave, "wasserstein_v": 9 + wave}
        record |= {"grad_norm_d_v": 10 ** (2 + wave), "lr": 3e-4, "seconds": 0.5, "wait": 0.001, **more}
        lines.append(json.dumps(record) + "\n")
    (folder / "metrics.jsonl").write_text("".join(lines))
    return folder


def pixels(path: Path, colour: str) -> int:
    """How many pixels of a picture have exactly this colour."""
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return int((image == [int(colour[place : place + 2], 16) for place in (1, 3, 5)]).all(axis=-1).sum())


def test_damaged_lines_are_left_out_and_repeated_steps_count_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        b'{"step": 2, "loss_g": 1}\n{"step": 1, "loss_g": 5, "flag": true, "name": "x"}\n[1]\n'
        b'{"loss_g": 3}\n\xff\xfe\n{"step": 2, "loss_g": 7}\n{"step": 3, "loss_g": NaN, "lr": 1e-3}\n{"step": 4, "los'
    )
    assert read_records(path) == [{"step": 1, "loss_g": 5}, {"step": 2, "loss_g": 7}, {"step": 3, "lr": 1e-3}]


def test_names_are_grouped_and_labelled_whatever_the_decomposition() -> None:
    names = ["step", "loss_g_v", "wasserstein_v", "gp_t", "grad_norm_d_s", "seconds", "wait", "motion_ratio", "lr"]
    assert {family.key: members for family, members in by_family(names).items()} == {
        "losses": ["loss_g_v"],
        "wasserstein": ["wasserstein_v"],
        "gradient-norms": ["grad_norm_d_s"],
        "penalties": ["gp_t"],
        "learning-rate": ["lr"],
        "seconds": ["seconds", "wait"],
        "others": ["motion_ratio"],
    }
    labels = {"loss_g_v": "G from D_V", "wasserstein_v": "D_V", "grad_norm_d_s": "D_S", "loss_g": "G"}
    assert {name: label(name) for name in labels} == labels
    assert label("motion_ratio") == "motion_ratio"


def test_a_metric_that_comes_now_and_then_keeps_its_own_steps() -> None:
    found = curves([{"step": 1, "gp_s": 2.0, "lr": 1.0}, {"step": 2, "lr": 1.0}, {"step": 3, "gp_s": 4.0, "lr": 1.0}])
    assert found["gp_s"].steps.tolist() == [1, 3]
    assert found["gp_s"].values.tolist() == [2, 4]
    assert set(found) == {"gp_s", "lr"}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=40), st.integers(1, 60))
def test_the_running_mean_is_the_mean_of_the_neighbours(values: list[float], width: int) -> None:
    found = smoothed(Curve(np.arange(len(values), dtype=float), np.array(values)), width)
    for place, mean in enumerate(found.values):
        near = [value for other, value in enumerate(values) if abs(other - place) <= width // 2]
        assert mean == pytest.approx(statistics.fmean(near), abs=1e-9)


def test_a_dashboard_shows_about_a_thousand_points() -> None:
    for steps in (50, 1000, 42_000, 1_000_000):
        drawn = [step for step in range(1, steps + 1) if worth_drawing(step, steps)]
        assert drawn[:50] == list(range(1, 51))
        assert min(steps, 700) <= len(drawn) <= 1200


def test_a_run_being_trained_is_drawn(tmp_path: Path, modeling: Run) -> None:
    run = write_run(tmp_path / "run", 300, motion_ratio=0.5)
    with (run / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 301, "loss_g"')
    result = modeling("plot", "--run", run, "--json")
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert said["runs"] == {str(run): 300}
    written = {Path(path).name for path in said["plots"]}
    assert written == {
        "losses.png",
        "wasserstein.png",
        "gradient-norms.png",
        "learning-rate.png",
        "seconds.png",
        "motion_ratio.png",
    }
    assert {file.name for file in (run / "plots").iterdir()} == written
    assert pixels(run / "plots" / "losses.png", COLOURS["G"]) > 500
    assert pixels(run / "plots" / "losses.png", COLOURS["D_V"]) > 500
    assert pixels(run / "plots" / "wasserstein.png", COLOURS["D_V"]) > 500
    assert pixels(run / "plots" / "wasserstein.png", COLOURS["G"]) == 0


def test_one_extreme_step_does_not_flatten_the_curve(tmp_path: Path) -> None:
    heights = []
    for name, spike in (("plain", 1.0), ("spike", 1e6)):
        run = write_run(tmp_path / name, 400)
        lines = (run / "metrics.jsonl").read_text().splitlines()
        last: Mapping[str, float] = json.loads(lines[200])
        lines[200] = json.dumps({**last, "loss_g": spike})
        (run / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        plot_runs([load(run)], tmp_path / name)
        image = cv2.cvtColor(cv2.imread(str(tmp_path / name / "losses.png")), cv2.COLOR_BGR2RGB)
        left = image[:, : image.shape[1] // 3]  # the axes, before the extreme step
        rows = np.nonzero((left == [0, 0x9E, 0x73]).all(axis=-1))[0]
        heights.append(np.ptp(rows))
    assert heights[1] > 0.5 * heights[0] > 50


def test_one_step_and_several_runs(tmp_path: Path, trained_run: Path, modeling: Run) -> None:
    one = write_run(tmp_path / "one", 1)
    assert modeling("plot", "--run", one).exit_code == 0
    assert pixels(one / "plots" / "losses.png", COLOURS["G"]) > 20
    result = modeling("plot", "--run", one, "--run", trained_run, "--out", tmp_path / "both")
    assert result.exit_code == 0
    assert f"{trained_run}: 3 steps" in result.stdout
    both = cv2.imread(str(tmp_path / "both" / "losses.png"))
    assert both.shape[1] > both.shape[0] > 500


def test_what_cannot_be_drawn_is_said_in_a_line(tmp_path: Path, modeling: Run) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "metrics.jsonl").write_text('{"step": 1')
    run = write_run(tmp_path / "run", 2)
    for arguments, words in (
        (["--run", empty], "has no metrics.jsonl"),
        (["--run", tmp_path / "none"], "is no folder"),
        (["--run", begun], "holds no step yet"),
        (["--run", run, "--run", run], "give --out DIR"),
        (["--run", run] * 5 + ["--out", tmp_path / "out"], "4 at most"),
    ):
        result = modeling("plot", *arguments)
        assert result.exit_code == 2
        assert words in result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()
