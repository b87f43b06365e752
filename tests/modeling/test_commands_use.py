"""`modeling animate`, `evaluate` and `describe` as their users type them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from tests.modeling.conftest import Run


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "river.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    return path


def test_animate(trained_run: Path, image: Path, tmp_path: Path, modeling: Run) -> None:
    out = tmp_path / "out"
    result = modeling("animate", "--run", trained_run, image, "--frames", 11, "--out", out)
    assert result.exit_code == 0, result.output
    assert f"{image} -> {out / 'river.mp4'} (32x32, 11 frames)" in result.stdout
    assert "11 frames are more than the 8 that it was trained on" in result.stderr
    with av.open(str(out / "river.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 11


def test_animate_lists_what_failed(trained_run: Path, image: Path, tmp_path: Path, modeling: Run) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("words")
    out = tmp_path / "out"
    result = modeling("animate", "--run", trained_run, image, bad, "--frames", 4, "--out", out, "--json")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert [Path(video["video"]).name for video in said["videos"]] == ["river.mp4"]
    assert [failure["image"] for failure in said["failures"]] == [str(bad)]
    assert "Traceback" not in result.output
    assert (out / "river.mp4").is_file()


def test_animate_says_that_a_model_without_noise_is_deterministic(
    trained_run: Path, image: Path, tmp_path: Path, modeling: Run
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    about = json.loads((run / "model.json").read_text())
    about["config"]["generator"]["noise"] = False
    (run / "model.json").write_text(json.dumps(about))
    from safetensors.torch import load_file, save_file

    weights = load_file(run / "model.safetensors")
    save_file({k: v for k, v in weights.items() if not k.endswith("noise_strength")}, run / "model.safetensors")
    result = modeling("animate", "--run", run, image, "--frames", 4, "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["deterministic"] is True
    assert "deterministic: one image has one future" in result.stderr


def test_animate_from_a_checkpoint(trained_run: Path, image: Path, tmp_path: Path, modeling: Run) -> None:
    checkpoint = trained_run / "checkpoints" / "step-00000002.pt"
    arguments = ["animate", "--run", trained_run, image, "--frames", 4, "--out", tmp_path, "--json"]
    result = modeling(*arguments, "--checkpoint", checkpoint)
    assert json.loads(result.stdout)["step"] == 2
    foreign = tmp_path / "foreign.pt"
    torch.save({"format_version": 1, "step": 1, "config": {"preset": "bair-64"}}, foreign)
    result = modeling(*arguments, "--checkpoint", foreign)
    assert result.exit_code == 2
    assert "is of preset bair-64, this run is of preset tiny" in result.stderr


@pytest.mark.parametrize("damage", ["no folder", "no model", "cut weights", "bad json", "other weights"])
def test_runs_that_cannot_be_used(trained_run: Path, image: Path, tmp_path: Path, modeling: Run, damage: str) -> None:
    run = tmp_path / "run"
    if damage != "no folder":
        shutil.copytree(trained_run, run)
    model = run / "model.safetensors"
    if damage == "no model":
        model.unlink()
    elif damage == "cut weights":
        model.write_bytes(model.read_bytes()[:-100])
    elif damage == "bad json":
        (run / "model.json").write_text("{")
    elif damage == "other weights":
        about = json.loads((run / "model.json").read_text())
        about["config"]["generator"]["ch"] = 6
        (run / "model.json").write_text(json.dumps(about))
    result = modeling("animate", "--run", run, image, "--out", tmp_path / "out")
    assert result.exit_code in (1, 2)
    assert str(run) in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_evaluate(trained_run: Path, textures: Path, modeling: Run) -> None:
    arguments = ["evaluate", "--run", trained_run, "--data", textures, "--split", "test", "--motion"]
    result = modeling(*arguments, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    written = json.loads((trained_run / "evaluation" / "test-step-00000003.json").read_text())
    assert {key: said[key] for key in written} == written
    assert said["protocol"]["n"] == 3
    assert said["protocol"]["frames"] == 8
    assert said["motion"]["copied_frame"]["r"] is None
    page = (trained_run / "evaluation" / "test-step-00000003.md").read_text()
    assert "| model |" in page
    shown = modeling(*arguments)
    assert f"PSNR {said['model']['psnr']:.2f} dB" in shown.stdout
    assert "undefined" in shown.stdout
    assert "next: modeling animate" in shown.stdout


def test_evaluate_refuses_what_it_cannot_score(
    trained_run: Path, textures: Path, tmp_path: Path, modeling: Run
) -> None:
    for arguments, words in (
        (["--data", tmp_path / "none"], "is no folder"),
        (["--data", textures, "--frames", 31], "shorter than 31 frames"),
        (["--data", textures, "--split", "holdout"], "--split"),
    ):
        result = modeling("evaluate", "--run", trained_run, *arguments)
        assert result.exit_code == 2
        assert words in result.stderr


def test_describe(modeling: Run) -> None:
    result = modeling("describe", "--preset", "tgan-64", "--json")
    about = json.loads(result.stdout)
    assert about["preset"] == "tgan-64"
    assert [about[network]["total"] for network in ("generator", "d_t")] == [7_345_579, 16_005_057]
    shown = modeling("describe", "--preset", "tiny")
    assert "337,841" in shown.stdout
    assert "next: modeling train" in shown.stdout
    assert modeling("describe", "--preset", "none").exit_code == 2
    smaller = json.loads(modeling("describe", "--preset", "tiny", "--set", "generator.ch=4", "--json").stdout)
    assert smaller["generator"]["total"] < 337_841
