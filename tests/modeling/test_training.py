"""The loop: what a run folder holds, stopping, resuming bit for bit, and which runs are not resumed."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import signal
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from modeling.config import Config
from modeling.inference import load_trained
from modeling.presets import get
from modeling.runs.checkpoint import load_checkpoint
from modeling.runs.folder import MetricsLog, RunError, RunFolder
from modeling.training.loop import TrainingResult, train
from tests.modeling.training_cases import CPU, Recorder, assert_same_state, request, without_clock


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, textures: Path) -> tuple[Path, TrainingResult, Recorder]:
    """Six steps in one go."""
    run, recorder = tmp_path_factory.mktemp("runs") / "straight", Recorder()
    return run, train(request(textures, run, 6, every=4), [recorder]), recorder


def test_a_run_folder_holds_what_formats_promises(
    straight: tuple[Path, TrainingResult, Recorder], textures: Path
) -> None:
    run, result, recorder = straight
    assert (result.first_step, result.step, result.steps, result.signal) == (0, 6, 6, None)
    assert {file.name for file in run.iterdir()} == {
        ".lock",
        "checkpoints",
        "config.yaml",
        "environment.json",
        "gradient-norms.jsonl",
        "metrics.jsonl",
        "model.json",
        "model.safetensors",
        "outliers.jsonl",
        "samples",
    }
    assert [step for step, _ in RunFolder(run).checkpoints.all()] == [4, 6]
    assert (run / "checkpoints" / "latest").read_text().strip() == "step-00000006.pt"
    config = Config.from_dict(yaml.safe_load((run / "config.yaml").read_text()))
    assert config.preset == "tiny"
    assert config.training.steps == 6
    environment = json.loads((run / "environment.json").read_text())
    manifest = json.loads((textures / "manifest.json").read_text())
    hashes = {entry["file"]: entry["sha256"] for entry in manifest["shards"] if entry["split"] != "test"}
    assert environment["data"] == {"recipe_hash": manifest["recipe_hash"], "shards": hashes}
    assert {"command", "git", "packages", "seed", "python"} <= set(environment)
    about = json.loads((run / "model.json").read_text())
    assert (about["preset"], about["step"], about["weights"]) == ("tiny", 6, "moving average")
    assert recorder.samples == [run / "samples" / f"step-0000000{step}.mp4" for step in (4, 6)]


def test_a_line_of_metrics_a_step(straight: tuple[Path, TrainingResult, Recorder]) -> None:
    run, result, recorder = straight
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines == recorder.records
    assert lines[-1] == result.last
    for line in lines:
        assert line["micro_batches"] == line["step"] * 3 * 2  # 3 passes of 2 clips, one at a time
        assert line["epoch"] == pytest.approx(line["step"] * 4 / 5, abs=1e-4)  # 5 of 6 clips are long enough for D
        assert {"loss_g", "loss_d_s", "loss_d_t", "wasserstein_s", "wasserstein_t", "gp_s", "gp_t"} <= set(line)
        assert {"grad_norm_g", "grad_norm_d_s", "grad_norm_d_t", "lr", "seconds", "memory_mb"} <= set(line)
        assert line["clips_per_second"] == pytest.approx(6 / line["seconds"], rel=0.01)
        assert all(math.isfinite(value) for value in line.values())


def test_the_sample_shows_input_generated_and_real(straight: tuple[Path, TrainingResult, Recorder]) -> None:
    run, _, _ = straight
    with av.open(str(run / "samples" / "step-00000006.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    side, gap = 128, 4
    assert len(frames) == 8
    assert frames[0].shape == (2 * side + gap, 3 * side + 2 * gap, 3)  # two clips of val
    columns = [[frame[:, x : x + side] for frame in frames] for x in (0, side + gap, 2 * (side + gap))]
    assert abs(columns[0][-1] - columns[0][0]).mean() < 2  # the input stands still
    assert abs(columns[2][-1] - columns[2][0]).mean() > 5  # the real clip moves
    begins, ends = (abs(columns[1][t] - columns[0][t]).mean() for t in (0, -1))
    assert begins < 5 < 3 * begins < ends  # the generated one begins with the input, up to the codec's loss


def test_the_model_is_the_moving_average(straight: tuple[Path, TrainingResult, Recorder]) -> None:
    run, _, _ = straight
    state = load_checkpoint(run / "checkpoints" / "step-00000006.pt", CPU)
    model = load_file(run / "model.safetensors")
    assert set(model) == set(state["generator"])
    for name, tensor in model.items():
        assert torch.equal(tensor, state["ema"][name])
    assert any(not torch.equal(model[name], state["generator"][name]) for name in model)
    loaded = load_trained(run, CPU)
    assert all(torch.equal(value, model[name]) for name, value in loaded.generator.state_dict().items())


def test_a_stop_and_a_larger_n_go_on_bit_for_bit(
    straight: tuple[Path, TrainingResult, Recorder], textures: Path, tmp_path: Path
) -> None:
    """3 steps, then a SIGTERM in step 5, then to 6: the same as 6 in one go."""
    run = tmp_path / "parts"
    train(request(textures, run, 3, every=4))
    stop = Recorder(5, lambda: signal.raise_signal(signal.SIGTERM))
    interrupted = train(request(textures, run, 6, every=4), [stop])
    assert (interrupted.first_step, interrupted.step, interrupted.signal) == (3, 5, signal.SIGTERM)
    said: list[str] = []
    last = train(request(textures, run, 6, every=4), say=said.append)
    assert (last.first_step, last.step) == (5, 6)
    assert any("resuming from" in line and "step-00000005.pt" in line for line in said)
    whole, parts = (load_checkpoint(folder / "checkpoints" / "step-00000006.pt", CPU) for folder in (straight[0], run))
    assert_same_state(whole, parts)
    assert without_clock(straight[0]) == without_clock(run)
    assert len(json.loads((run / "environment.json").read_text())["resumed"]) == 2
    again = train(request(textures, run, 6))
    assert (again.first_step, again.step, again.last) == (6, 6, None)


def test_a_signal_while_a_sample_is_written_still_saves_the_step(textures: Path, tmp_path: Path) -> None:
    class Signals(Recorder):
        def sample(self, step: int, video: Path) -> None:
            signal.raise_signal(signal.SIGINT)

    run = tmp_path / "run"
    result = train(dataclasses.replace(request(textures, run, 6), sample_every=2), [Signals()])
    assert (result.step, result.signal) == (2, signal.SIGINT)
    assert [step for step, _ in RunFolder(run).checkpoints.all()] == [2]
    assert json.loads((run / "model.json").read_text())["step"] == 2


def test_signals_act_as_before_once_the_run_is_over(textures: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    train(request(textures, tmp_path / "run", 1))
    assert signal.getsignal(signal.SIGINT) is before


def test_workers_and_micro_batches_change_no_draw(
    straight: tuple[Path, TrainingResult, Recorder], textures: Path, tmp_path: Path
) -> None:
    """Two clips a backward pass sum in another order, so equal up to rounding; workers are equal to the bit."""
    run = tmp_path / "workers"
    train(dataclasses.replace(request(textures, run, 2), workers=1))
    assert without_clock(run) == without_clock(straight[0])[:2]
    run = tmp_path / "micro"
    train(request(textures, run, 1, "micro_batch=2"))
    [ours], theirs = without_clock(run), without_clock(straight[0])[0]
    for key in ("loss_d_s", "loss_d_t", "wasserstein_s", "wasserstein_t", "gp_s", "gp_t", "grad_norm_d_t"):
        assert ours[key] == pytest.approx(theirs[key], rel=2e-2, abs=1e-3), key  # D's second pass is after an update
    train(request(textures, tmp_path / "seed", 1, "seed=1"))
    [other] = without_clock(tmp_path / "seed")
    assert other["gp_t"] != pytest.approx(theirs["gp_t"], rel=2e-2, abs=1e-3)


def test_another_configuration_is_refused_by_its_keys(
    straight: tuple[Path, TrainingResult, Recorder], textures: Path
) -> None:
    run = straight[0]
    with pytest.raises(RunError, match=r"training\.lr \(0\.0003 in the run, 0\.01 asked for\)") as caught:
        train(request(textures, run, 7, "lr=0.01"))
    assert "training.steps" not in str(caught.value)
    with pytest.raises(RunError, match=r"preset \(tiny in the run, bair-64 asked for\); resolution"):
        train(dataclasses.replace(request(textures, run, 7), config=get("bair-64")))
    with pytest.raises(RunError, match="schedule_steps"):
        train(request(textures, run, 7, "schedule_steps=9000"))
    assert [step for step, _ in RunFolder(run).checkpoints.all()] == [4, 6]


def test_a_checkpoint_of_another_preset(
    straight: tuple[Path, TrainingResult, Recorder], textures: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    train(request(textures, other, 1, "generator.ch=6"))
    foreign = RunFolder(other).checkpoints.file(9)
    foreign.write_bytes((straight[0] / "checkpoints" / "step-00000006.pt").read_bytes())
    with pytest.raises(RunError, match=r"step-00000009\.pt is of preset tiny.* \(differing: generator\)"):
        train(request(textures, other, 2, "generator.ch=6"))
    with pytest.raises(RunError, match="differing: generator"):
        load_trained(other, CPU, foreign)


def test_nothing_is_drawn_from_the_global_generators(textures: Path, tmp_path: Path) -> None:
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
    train(dataclasses.replace(request(textures, tmp_path / "run", 1), workers=1))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[1].tolist() == numpy_state
    assert random.getstate() == python_state


def test_metrics_of_a_killed_run_are_cut_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    log = MetricsLog(path, last_step=2)
    log.append({"step": 3, "again": True})
    log.close()
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3, "again": true}\n'


def test_what_a_kill_left_half_written_is_swept(textures: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(request(textures, run, 1))
    left = [
        run / "checkpoints" / ".step-00000002.pt-abc_1234.tmp",
        run / "checkpoints" / ".latest-abcd1234.tmp",
        run / "samples" / ".step-00000002.mp4-abcd1234.mp4",
        run / ".model.safetensors-abcd1234.tmp",
    ]
    kept = [run / ".gitignore", run / "samples" / ".keep"]
    for file in (*left, *kept):
        file.write_bytes(b"half")
    train(request(textures, run, 1))
    assert [file for file in left if file.exists()] == []
    assert all(file.exists() for file in kept)
