"""The loop: the schedule, what ends a run, what is refused, and what is said."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from modeling.config import apply_overrides
from modeling.errors import ModelingError
from modeling.presets import get
from modeling.runs.checkpoint import load_checkpoint, save_checkpoint
from modeling.runs.folder import RunError, RunFolder
from modeling.training import loop as training_module
from modeling.training import nonfinite
from modeling.training.convergence import Convergence
from modeling.training.draws import draws_for
from modeling.training.loop import train
from modeling.training.schedule import cosine_begins, learning_rate
from modeling.training.step import NonFiniteError
from tests.modeling.moving_textures import write_textures
from tests.modeling.training_cases import CPU, assert_same_state, request


def test_a_longer_schedule_is_recorded(textures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(request(textures, run, 1))
    train(request(textures, run, 2, "schedule_steps=20000"))
    assert RunFolder(run).read_config().training.schedule_steps == 20_000


def test_other_shards_are_refused_unless_accepted(textures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(request(textures, run, 1))
    first = json.loads((run / "environment.json").read_text())["data"]
    other = write_textures(tmp_path / "shards", {"train": [[30, 40]], "val": [[30]]})
    with pytest.raises(RunError, match=r"not the shards that .* was trained on \(train-00000\.h5, train-00001\.h5\)"):
        train(request(other, run, 2))
    result = train(dataclasses.replace(request(other, run, 2), accept_new_data=True))
    assert (result.first_step, result.step) == (1, 2)
    assert train(request(other, run, 3)).step == 3
    environment = json.loads((run / "environment.json").read_text())
    assert environment["data_before"] == [first]
    assert environment["data"] != first


def test_without_val_the_samples_show_train_and_it_is_said(tmp_path: Path) -> None:
    data = write_textures(tmp_path / "shards", {"train": [[30, 20]]})
    said: list[str] = []
    train(request(data, tmp_path / "run", 1), say=said.append)
    assert "split val is empty: the samples show clips of train" in said
    assert (tmp_path / "run" / "samples" / "step-00000001.mp4").is_file()


def test_two_trainings_cannot_share_a_folder(textures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunFolder(run).locked(), pytest.raises(RunError, match="being trained by another process"):
        train(request(textures, run, 1))
    assert train(request(textures, run, 1)).step == 1


def test_a_request_that_cannot_be_met_leaves_no_folder(textures: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelingError, match="needs 64x64"):
        train(dataclasses.replace(request(textures, tmp_path / "run", 1), config=get("bair-64")))
    with pytest.raises(ModelingError, match="shorter than 60 frames"):
        train(request(textures, tmp_path / "run", 1, "frames=60"))
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_before_the_update(
    textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    train(request(textures, run, 2))
    kept = RunFolder(run).checkpoints.file(2).read_bytes()
    monkeypatch.setattr(training_module, "to_float", lambda frames, device: torch.full((2, 8, 3, 32, 32), torch.nan))
    with pytest.raises(ModelingError, match=r"is nan in step 2, pass 0: nothing was updated; the batch's clips are in"):
        train(request(textures, run, 4))
    saved = json.loads((run / "non-finite-step-00000002.json").read_text())
    assert saved["step"] == 2
    assert len(saved["clips"]) == 2
    assert all(clip["id"].startswith("train-") for clip in saved["clips"])
    assert [step for step, _ in RunFolder(run).checkpoints.all()] == [2]
    assert RunFolder(run).checkpoints.file(2).read_bytes() == kept
    assert issubclass(NonFiniteError, ArithmeticError)


def test_the_pass_that_was_not_finite_can_be_run_again(textures: Path, tmp_path: Path) -> None:
    """A weight beyond all numbers in the checkpoint: D_T's scores are infinite, so the first pass stops."""
    run = tmp_path / "run"
    train(request(textures, run, 1))
    checkpoint = RunFolder(run).checkpoints.file(1)
    state = load_checkpoint(checkpoint, CPU)
    state["d_t"]["linear.bias"].fill_(math.inf)
    save_checkpoint(checkpoint, {key: value for key, value in state.items() if key != "format_version"})
    with pytest.raises(ModelingError, match=r"d_t_\w+ is nan in step 1, pass 0") as stopped:
        train(request(textures, run, 2))
    file = run / "non-finite-step-00000001.json"
    with pytest.raises(NonFiniteError) as again:
        nonfinite.replay(file, CPU)
    assert str(stopped.value).startswith(str(again.value))
    # With the weight mended the same batch, with the same draws, passes.
    state = load_checkpoint(file.with_suffix(".pt"), CPU)
    state["d_t"]["linear.bias"].zero_()
    save_checkpoint(file.with_suffix(".pt"), {key: value for key, value in state.items() if key != "format_version"})
    assert math.isfinite(nonfinite.replay(file, CPU)["d_t_loss"])
    batch, draws = nonfinite.load(file)
    assert batch.frames.shape == (2, 8, 32, 32, 3)
    assert_same_state(vars(draws), vars(draws_for(request(textures, run, 2).config, step=1, pass_index=0)))


def test_a_flat_estimate_ends_the_run_and_stays_ended(
    textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks at steps 4 and 6, of which two in a row are enough here; hardly anything is learned in between."""
    monkeypatch.setattr("modeling.training.convergence.CHECKS", 2)
    rule, run = Convergence(window=4, tolerance=0.999), tmp_path / "run"
    asked = dataclasses.replace(request(textures, run, 9, "lr=1e-7"), convergence=rule)
    result = train(asked)
    assert result.step == 6
    assert result.converged is not None
    assert result.converged.startswith("converged at step 6: over the last 4 steps")
    assert RunFolder(run).checkpoints.all()[-1][0] == 6
    again = train(asked)
    assert (again.step, again.converged) == (6, result.converged)


def test_a_collapse_is_said_and_motion_is_logged(
    textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modeling.training.collapse.EARLIEST", 2)
    monkeypatch.setattr("modeling.training.collapse.EARLIEST_SHARE", 0.0)
    monkeypatch.setattr("modeling.training.collapse.STILL", 10.0)  # everything moves less than ten times the data
    said: list[str] = []
    asked = dataclasses.replace(request(textures, tmp_path / "run", 4), sample_every=1)
    train(asked, say=said.append)
    [line] = [line for line in said if "hardly move" in line]
    assert "warning: the last 3 samples hardly move: at step 3 by" in line
    ratios = [
        json.loads(line)["motion_ratio"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert len(ratios) == 4
    assert all(0 < ratio < 10 for ratio in ratios)


def test_short_sequences_warn(textures: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(request(textures, tmp_path / "run", 1), say=said.append)
    assert any("below 15 the temporal discriminator gives no useful gradient" in line for line in said)


def test_the_schedule_is_constant_then_one_cosine() -> None:
    training = apply_overrides(get("tiny"), ["schedule_steps=1000", "steps=1000", "batch=4"]).training
    clips = 80  # ten epochs of D at 8 clips a step: 100 steps
    assert cosine_begins(training, clips) == 100
    rates = [learning_rate(training, step, clips) for step in range(1000)]
    assert rates[:101] == [3e-4] * 101
    assert rates[550] == pytest.approx(1.5e-4)
    assert rates[325] == pytest.approx(3e-4 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[100:]))
    assert 0 < rates[-1] < 1e-8
    assert learning_rate(training, 1000, clips) == 0
    constant = dataclasses.replace(training, schedule="constant")
    assert learning_rate(constant, 999, clips) == 3e-4


def test_a_schedule_within_the_constant_epochs_is_said(textures: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(request(textures, tmp_path / "run", 1, "schedule_steps=5"), say=said.append)
    assert any("the learning rate stays at 0.0003" in line for line in said)
