"""A score of val at intervals: what it is, what is kept, and that the training is the same with it and without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from modeling.config import ConfigError, apply_overrides
from modeling.data.windows import DataError
from modeling.metrics.extractors import WeightsError
from modeling.metrics.extractors.proxy import ProxyExtractor
from modeling.presets import get
from modeling.runs.checkpoint import load_checkpoint
from modeling.runs.curves import read_records
from modeling.runs.folder import RunFolder
from modeling.training import validation
from modeling.training.loop import TrainingRequest, train
from tests.modeling.moving_textures import write_textures

CPU = torch.device("cpu")
QUICK = ("frames=8", "d_s.frames=4", "training.batch=1", "generator.ch=2", "d_s.ch=2", "d_t.ch=2")
CHECKED = ("checks.evaluate_every=2", "checks.evaluate_clips=3")


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STILLFLOW_WEIGHTS", raising=False)


def request(data: Path, run: Path, steps: int, *overrides: str, every: int = 100) -> TrainingRequest:
    config = apply_overrides(get("tiny"), [*QUICK, f"training.steps={steps}", *overrides])
    return TrainingRequest(data=data, run=run, config=config, device=CPU, checkpoint_every=every, sample_every=100)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """val: 4 clips; no test, which training must not need."""
    return write_textures(tmp_path_factory.mktemp("data") / "shards", {"train": [[12, 12]], "val": [[10, 9, 12, 10]]})


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> tuple[Path, list[str]]:
    """Six steps in one go, and what was said."""
    run, said = tmp_path_factory.mktemp("runs") / "checked", []
    train(request(shards, run, 6, *CHECKED), say=said.append)
    return run, said


def scores_of(run: Path) -> dict[int, float]:
    records = read_records(run / "metrics.jsonl")
    return {int(record["step"]): record["val_proxy_fd"] for record in records if "val_proxy_fd" in record}


def test_val_is_scored_at_intervals_and_the_best_checkpoint_stays(checked: tuple[Path, list[str]]) -> None:
    run, said = checked
    scores = scores_of(run)
    assert sorted(scores) == [2, 4, 6]
    best = min(scores, key=lambda step: scores[step])
    about = json.loads((run / "best.json").read_text())
    assert (about["step"], about["metric"], about["value"]) == (best, "val_proxy_fd", scores[best])
    assert (about["n"], about["few"]) == ([3, 3], True)
    assert about["checkpoint"] == f"checkpoints/best-step-{best:08d}.pt"
    assert [file.name for file in run.glob("checkpoints/best-*")] == [f"best-step-{best:08d}.pt"]
    assert load_checkpoint(run / about["checkpoint"], CPU)["step"] == best
    assert any("3 feature vectors for features of width 64" in line for line in said)


def test_training_is_the_same_with_it_and_without_it(
    checked: tuple[Path, list[str]], shards: Path, tmp_path: Path
) -> None:
    run, _ = checked
    train(request(shards, tmp_path / "plain", 6))
    with_it, without = (load_checkpoint(RunFolder(run).checkpoints.file(6), CPU) for run in (run, tmp_path / "plain"))
    for network in ("generator", "d_s", "d_t", "ema"):
        for name, tensor in without[network].items():
            assert torch.equal(tensor, with_it[network][name]), name
    assert not (tmp_path / "plain" / "best.json").exists()


def test_a_resume_goes_on_as_if_there_had_been_no_stop(
    checked: tuple[Path, list[str]], shards: Path, tmp_path: Path
) -> None:
    run, _ = checked
    stopped = tmp_path / "stopped"
    train(request(shards, stopped, 3, *CHECKED))
    train(request(shards, stopped, 6, *CHECKED))
    assert scores_of(stopped) == scores_of(run)
    assert (stopped / "best.json").read_text() == (run / "best.json").read_text()
    # How the run is looked at may change on the way.
    train(request(shards, stopped, 7, "checks.evaluate_every=7"))
    assert sorted(scores_of(stopped)) == [2, 4, 6, 7]
    assert RunFolder(stopped).read_config().checks.evaluate_every == 7


def test_pruning_leaves_the_best_alone(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([3.0, 1.0, 2.0, 1.0, 5.0, 4.0])
    monkeypatch.setattr(validation.Validation, "score", lambda *_: validation.Score(next(values), (3, 3), few=True))
    train(request(shards, tmp_path / "run", 6, "checks.evaluate_every=1", every=1))
    names = sorted(file.name for file in (tmp_path / "run" / "checkpoints").glob("*.pt"))
    assert names == ["best-step-00000002.pt", "step-00000004.pt", "step-00000005.pt", "step-00000006.pt"]
    assert json.loads((tmp_path / "run" / "best.json").read_text())["value"] == 1.0


def test_what_cannot_be_scored_is_refused_before_a_run_begins(shards: Path, tmp_path: Path) -> None:
    single = write_textures(tmp_path / "single", {"train": [[12, 12]], "val": [[10]]})
    with pytest.raises(DataError, match=r"2 clips or more in split val of .*, which has 1"):
        train(request(single, tmp_path / "run", 2, *CHECKED))
    with pytest.raises(WeightsError, match=r"inception"):
        train(request(shards, tmp_path / "run", 2, *CHECKED, "checks.evaluate_metric=fid"))
    assert not (tmp_path / "run").exists()
    for override, words in (
        ("checks.evaluate_every=-1", "checks.evaluate_every must be 0 or more"),
        ("checks.evaluate_clips=1", "checks.evaluate_clips must be 2 or more"),
        ("checks.evaluate_metric=psnr", "checks.evaluate_metric must be one of proxy, fid, is, fvd"),
    ):
        with pytest.raises(ConfigError, match=words):
            apply_overrides(get("tiny"), [override])


class Overflowing(ProxyExtractor):
    """Of the first clips that it is shown, the real ones, numbers; of the last of those after them, none."""

    calls = 0

    def __call__(self, clips_NTHW3: Tensor) -> dict[str, Tensor]:
        features = super().__call__(clips_NTHW3)["features"]
        if self.calls:
            features[-1, 0] = torch.inf
        self.calls += 1
        return {"features": features}


def test_generated_clips_without_numbers_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = write_textures(tmp_path / "shards", {"train": [[12, 12]], "val": [[10, 9, 12]]})
    extractor = Overflowing(CPU)
    monkeypatch.setattr(validation, "load_extractor", lambda *_: extractor)
    with pytest.raises(DataError, match=r"val_proxy_fd: clip val-5 generated gives features that are not finite"):
        train(request(shards, tmp_path / "run", 2, *CHECKED))


def test_clips_that_are_all_one_are_told_once(tmp_path: Path) -> None:
    data = write_textures(
        tmp_path / "shards",
        {"train": [[12, 12]], "val": [[10, 10, 10]]},
        clip=lambda seed, length, side: np.zeros((length, side, side, 3), np.uint8),
    )
    said: list[str] = []
    train(request(data, tmp_path / "run", 4, *CHECKED, "generator.noise=false"), say=said.append)
    warned = [line for line in said if "a covariance of zero is no distribution" in line]
    assert len(warned) == 2  # of val, and of what is made of it, at the first of two scores
    assert "val_proxy_fd: all features of clips of val are equal" in warned[0]
    assert "val_proxy_fd: all features of generated clips are equal" in warned[1]
