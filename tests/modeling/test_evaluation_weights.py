"""Evaluation and validation through the real networks, of weight files in the published layouts with random weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from modeling.data.windows import open_clips
from modeling.inference import load_trained, roll_out
from modeling.metrics.extractors import i3d, inception, load_extractor, weights
from modeling.metrics.extractors.i3d import I3D
from modeling.metrics.frechet import frechet_distance
from modeling.metrics.inception_score import inception_score
from modeling.metrics.manifold import manifold_scores
from modeling.runs.checkpoint import load_checkpoint
from modeling.runs.curves import read_records
from tests.modeling.conftest import Run
from tests.modeling.moving_textures import write_textures
from tests.modeling.published_files import ARCHIVE, NAMES, published, write_all
from tests.modeling.published_networks import randomised

CPU = torch.device("cpu")
FRAMES = 10  # nine generated ones, which I3D needs


@pytest.fixture(scope="module")
def published_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("published") / "weights")


@pytest.fixture
def folder(published_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every file that evaluation can use, taken for the published ones."""
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    monkeypatch.setattr(weights, "FILES", published(published_folder))
    return published_folder


@pytest.fixture
def small_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inception sees 107x107 in the place of 299x299, I3D 193x193 in that of 224x224: the same layers in less time."""
    monkeypatch.setattr(inception, "SIDE", 107)
    monkeypatch.setattr(i3d, "SIDE", 193)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No split train, which evaluation can do without."""
    return write_textures(
        tmp_path_factory.mktemp("data") / "shards", {"val": [[9, 9]], "test": [[12, 10, 11, 3, 4, 5]]}
    )


@pytest.fixture
def run(trained_run: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(trained_run, folder, ignore=shutil.ignore_patterns("evaluation"))
    return folder


def sets(run: Path, shards: Path, frames: int, count: int) -> tuple[Tensor, Tensor]:
    """The real clips and the model's, the input frame counted: (N, T, R, R, 3) each."""
    clips, trained = open_clips(shards, "test", resolution=32, frames=frames), load_trained(run, CPU)
    real = [clips.window(index, 0, frames) for index in range(count)]
    made = [roll_out(trained.generator, clip[:1], frames=frames, seed=index) for index, clip in enumerate(real)]
    return torch.from_numpy(np.stack(real)), torch.from_numpy(np.stack(made))


def test_every_metric_in_one_call(run: Path, shards: Path, folder: Path, small_frames: None, modeling: Run) -> None:
    arguments = ["evaluate", "--run", run, "--data", shards, "--weights", folder, "--frames", FRAMES, "--limit", 2]
    first = modeling(*arguments, "--json")
    assert first.exit_code == 0, first.output
    report = json.loads(first.stdout)
    numbers = report["metrics"]
    of_sets = {"fid": 18, "is": 18, "fvd": 2, "proxy-fd": 2}
    paired = {"psnr", "ssim", "lpips", "motion_amount", "static_error", "flicker", "blur_spread", "looping"}
    assert set(numbers) == {"model", "copied_frame", "real_against_real"}
    assert set(numbers["model"]) == {*of_sets, *paired, "diversity"}
    assert set(numbers["copied_frame"]) == {*of_sets, *paired}
    for name, n in of_sets.items():
        number = numbers["model"][name]
        assert number["value"] >= 0 and number["few"] is True, name  # no more vectors than features
        assert number["n"] == [0 if name == "is" else n, n]
        assert number["low"] <= number["high"]
    assert "left out prdc: it looks at 5 neighbours of each, and there are 2 clips" in first.stderr

    digests = {
        name: hashlib.sha256((folder / file).read_bytes()).hexdigest()
        for name, file in {**NAMES, "i3d": ARCHIVE}.items()
    }
    archive = digests["i3d"]
    lines = report["protocols"]
    for metric, words in (
        ("fid", f"; inception {digests['inception'][:16]}; resize: "),
        ("is", f"; inception {digests['inception'][:16]}; resize: "),
        ("fvd", f"; i3d {archive[:16]}; resize: 193x193"),
        ("lpips", f"; lpips {digests['lpips-backbone'][:16]} {digests['lpips-heads'][:16]}; resize: none"),
        ("psnr", "standard; 2 clips of test from 2 videos; frames 1-9 of 10, stride 1; 32x32; seed 0; protocol "),
    ):
        assert words in lines[metric]
    assert report["protocol"]["extractors"]["i3d"]["digest"] == archive
    assert set(lines) == {name for row in numbers.values() for name in row}

    real, made = sets(run, shards, FRAMES, 2)
    network: Any = load_extractor("inception", folder, CPU)
    x, y = network(real[:, 1:]), network(made[:, 1:])
    fid = frechet_distance(x["pool3"].flatten(0, 1), y["pool3"].flatten(0, 1))
    assert numbers["model"]["fid"]["value"] == pytest.approx(fid, rel=1e-5)
    assert report["few_curves"] == ["fid_per_frame", "proxy_fd_per_frame"]
    curve = report["curves"]["model"]["fid_per_frame"]
    assert curve[4] == pytest.approx(frechet_distance(x["pool3"].flatten(0, 1), y["pool3"][:, 4]), rel=1e-5)
    lpips = load_extractor("lpips", folder, CPU).distance(real[:, 1:], made[:, 1:])
    assert numbers["model"]["lpips"]["value"] == pytest.approx(float(lpips.double().mean()), rel=1e-6)
    video: Any = load_extractor("i3d", folder, CPU)
    kept = np.load(next((run / "evaluation" / "features").glob("*/i3d.logits*.npy")))
    assert kept[1] == pytest.approx(video(made[1:, 1:])["logits"][0].numpy(), rel=1e-4, abs=1e-4)

    again = modeling(*arguments, "--json")
    assert again.stdout == first.stdout
    page = (run / "evaluation" / "test-step-00000003.md").read_text()
    assert "| FVD (lower is better) |" in page and "(few)" in page and "Curves that are marked (few)" in page


def test_shares_and_distances_of_single_frames(
    run: Path, shards: Path, folder: Path, small_frames: None, modeling: Run
) -> None:
    result = modeling(
        *("evaluate", "--run", run, "--data", shards, "--weights", folder, "--frames", 2, "--json"),
        *("--metrics", "fid,is,prdc"),
    )
    assert result.exit_code == 0, result.output
    numbers = json.loads(result.stdout)["metrics"]["model"]
    real, made = sets(run, shards, 2, 6)
    network: Any = load_extractor("inception", folder, CPU)
    x, y = network(real[:, 1:]), network(made[:, 1:])
    known, fake = x["pool3"].flatten(0, 1), y["pool3"].flatten(0, 1)
    assert numbers["fid"]["value"] == pytest.approx(frechet_distance(known, fake), rel=1e-5)
    assert numbers["is"]["value"] == pytest.approx(inception_score(y["logits"].flatten(0, 1), 1)[0], rel=1e-5)
    scores = manifold_scores(known, fake)
    for name in ("precision", "recall", "density", "coverage"):
        assert numbers[name]["value"] == pytest.approx(getattr(scores, name), abs=1e-9)
    assert "inception" in json.loads(result.stdout)["protocol"]["prdc"]


def test_doctor_finds_the_same_folder_ready(folder: Path, modeling: Run) -> None:
    result = modeling("doctor", "--weights", folder)
    assert result.exit_code == 0
    assert "ready: fid, is, fvd, lpips" in result.output
    assert result.output.count(", as published") == 4


@pytest.mark.parametrize(("metric", "frames", "steps"), [("fid", 4, 2), ("is", 4, 2), ("fvd", FRAMES, 1)])
def test_training_is_watched_by_published_networks(
    folder: Path,
    small_frames: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    modeling: Run,
    metric: str,
    frames: int,
    steps: int,
) -> None:
    data = write_textures(tmp_path / "shards", {"train": [[12, 12]], "val": [[10, 10]]})
    if metric == "fvd":  # the other file of I3D, of the same weights
        weights_of = tmp_path / "weights"
        weights_of.mkdir()
        torch.save(randomised(I3D(), 5).state_dict(), weights_of / NAMES["i3d"])
    else:
        weights_of = folder
    monkeypatch.setenv(weights.VARIABLE, str(weights_of))
    result = modeling(
        *("train", "--data", data, "--preset", "tiny", "--run", tmp_path / "run", "--steps", steps),
        *("--set", f"frames={frames}", "--set", "d_s.frames=2", "--set", "training.batch=1", "--set", "generator.ch=2"),
        *("--set", "checks.evaluate_every=1", "--set", f"checks.evaluate_metric={metric}"),
    )
    assert result.exit_code == 0, result.output
    name = f"val_{metric}"
    values = {int(record["step"]): record[name] for record in read_records(tmp_path / "run" / "metrics.jsonl")}
    assert sorted(values) == list(range(1, steps + 1))
    best = (max if metric == "is" else min)(values, key=lambda step: values[step])
    about = json.loads((tmp_path / "run" / "best.json").read_text())
    assert (about["step"], about["metric"], about["value"], about["few"]) == (best, name, values[best], True)
    checkpoint = tmp_path / "run" / about["checkpoint"]
    assert load_checkpoint(checkpoint, CPU)["step"] == best
    assert "feature vectors for features of width" in result.output
    if metric == "fid":
        trained = load_trained(tmp_path / "run", CPU, checkpoint)
        clips = open_clips(data, "val", resolution=32, frames=frames)
        real = [clips.window(index, 0, frames) for index in range(2)]
        made = [roll_out(trained.generator, clip[:1], frames=frames, seed=index) for index, clip in enumerate(real)]
        network: Any = load_extractor("inception", folder, CPU)
        x, y = (network(torch.from_numpy(np.stack(part))[:, 1:])["pool3"].flatten(0, 1) for part in (real, made))
        assert values[best] == pytest.approx(frechet_distance(x, y), rel=1e-5)
