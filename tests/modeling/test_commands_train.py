"""`modeling train` as its users type it: what it prints, resumes and refuses, and with which exit status."""

from __future__ import annotations

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from modeling.training import loop as training
from tests.modeling.conftest import QUICK, Run
from tests.modeling.moving_textures import write_textures


def test_train_says_what_it_did_and_what_comes_next(trained_run: Path, textures: Path, modeling: Run) -> None:
    result = modeling("train", "--data", textures, "--preset", "tiny", "--run", trained_run, "--steps", 3, *QUICK)
    assert result.exit_code == 0
    assert "has 3 steps already: nothing was left to do" in result.stdout
    assert f"next: modeling evaluate --run {trained_run} --data {textures} --split test" in result.stdout
    assert "left out 1 clips shorter than 8 frames" in result.stderr


def test_json_is_one_object_and_remarks_go_to_stderr(
    trained_run: Path, textures: Path, tmp_path: Path, modeling: Run
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    result = modeling("train", "--data", textures, "--preset", "tiny", "--run", run, "--steps", 4, "--json", *QUICK)
    assert result.exit_code == 0
    said = json.loads(result.stdout)
    assert (said["first_step"], said["step"], said["steps"], said["interrupted_by"]) == (3, 4, 4, None)
    assert said["model"] == str(run / "model.safetensors")
    assert said["last"]["step"] == 4
    assert "resuming from" in result.stderr


def test_an_interrupt_saves_and_leaves_with_its_status(
    textures: Path, tmp_path: Path, modeling: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = training.generator_pass

    def interrupted(*arguments: Any) -> dict[str, float]:
        signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(training, "generator_pass", interrupted)
    run = tmp_path / "run"
    result = modeling("train", "--data", textures, "--preset", "tiny", "--run", run, "--steps", 9, *QUICK)
    assert result.exit_code == 130
    assert "interrupted at step 1 of 9; the same command resumes it" in result.stdout
    assert (run / "checkpoints" / "step-00000001.pt").is_file()
    assert (run / "model.safetensors").is_file()


BAD = [
    (["--preset", "tinny"], 2, "unknown preset 'tinny'.*did you mean tiny"),
    (["--preset", "tiny", "--set", "lrr=1"], 2, "unknown option 'lrr'"),
    (["--preset", "tiny", "--set", "lr"], 2, "--set takes key=value"),
    (["--preset", "tiny", "--steps", "0"], 2, "--steps"),
    (["--preset", "tiny", "--steps", "10001"], 2, "beyond the cosine's end: raise training.schedule_steps"),
    (["--preset", "bair-64"], 2, "needs 64x64: make them with `curate export --size 64`"),
    (["--preset", "tiny", "--set", "frames=90"], 2, "shorter than 90 frames"),
    (["--preset", "tiny", "--visdom", "nowhere"], 2, "--visdom takes http://host:port"),
    (["--preset", "tiny", "--device", "tpu"], 2, "--device takes auto, cpu, cuda, or cuda:N"),
    (["--preset", "tiny", "--device", "cuda:1"], 2, "--device cuda:1: this machine has no GPU"),
    (["--preset", "tiny", "--until-converged", "--set", "loss=hinge"], 2, "follows the Wasserstein estimate, which"),
    (["--preset", "tiny", "--until-converged", "--convergence-window", "5"], 2, "takes 20 steps or more, not 5"),
    (["--preset", "tiny", "--until-converged", "--convergence-tolerance", "2"], 2, "between 0 and 1, not 2"),
]


@pytest.mark.parametrize(("options", "status", "words"), BAD)
def test_bad_usage_is_one_line_and_leaves_nothing(
    textures: Path, tmp_path: Path, modeling: Run, options: list[str], status: int, words: str
) -> None:
    run = tmp_path / "run"
    result = modeling("train", "--data", textures, "--run", run, *options)
    assert result.exit_code == status
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert re.search(words, last)
    assert not run.exists()


def test_bad_data_is_one_line(tmp_path: Path, modeling: Run) -> None:
    def train(data: Path) -> tuple[int, str]:
        result = modeling("train", "--data", data, "--preset", "tiny", "--run", tmp_path / "run", "--steps", 1)
        return result.exit_code, result.stderr.strip().splitlines()[-1]

    status, line = train(tmp_path / "nothing")
    assert status == 2
    assert "nothing is no folder" in line
    (tmp_path / "empty").mkdir()
    status, line = train(tmp_path / "empty")
    assert status == 2
    assert "manifest.json" in line
    data = write_textures(tmp_path / "shards", {"train": [[30]], "val": [[30]]})
    shard = data / "train-00000.h5"
    shard.write_bytes(shard.read_bytes()[:-1000])
    status, line = train(data)
    assert status == 2
    assert "train-00000.h5" in line
    (data / "manifest.json").write_text('{"schema_version": 7}')
    status, line = train(data)
    assert status == 2
    assert "schema version 7" in line
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_is_a_file(tmp_path: Path, textures: Path, modeling: Run) -> None:
    (tmp_path / "run").write_text("a file")
    result = modeling("train", "--data", textures, "--preset", "tiny", "--run", tmp_path / "run", "--steps", 1)
    assert result.exit_code != 0
    assert str(tmp_path / "run") in result.stderr
    assert (tmp_path / "run").read_text() == "a file"


def test_a_damaged_newest_checkpoint_is_said(trained_run: Path, textures: Path, tmp_path: Path, modeling: Run) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    newest = run / "checkpoints" / "step-00000003.pt"
    newest.write_bytes(newest.read_bytes()[:5000])
    command = ["train", "--data", textures, "--preset", "tiny", "--run", run, "--steps", 4, *QUICK]
    result = modeling(*command)
    assert result.exit_code == 0
    assert "step-00000003.pt is damaged or cut short" in result.stderr
    assert "going back to the older checkpoint" in result.stderr
    assert "from step 2 to 4" in result.stdout
    for file in (run / "checkpoints").glob("*.pt"):
        file.write_bytes(b"")
    result = modeling(*command)
    assert result.exit_code == 1
    assert "no checkpoint in" in result.stderr.strip().splitlines()[-1]


def test_help_lists_every_command(modeling: Run) -> None:
    result = modeling("--help")
    assert result.exit_code == 0
    for command in ("train", "evaluate", "animate", "describe"):
        assert command in result.stdout
        assert modeling(command, "--help").exit_code == 0
    assert modeling("fly").exit_code == 2
