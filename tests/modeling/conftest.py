"""Shards of moving textures and a run trained on them for a few steps, made once a session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from modeling.commands import main
from tests.modeling.moving_textures import write_textures

# Small enough for seconds, with every part of the networks there: short clips, one a batch.
QUICK = ["--set", "frames=8", "--set", "d_s.frames=4", "--set", "training.batch=1", "--set", "generator.ch=4"]

Run = Callable[..., Result]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train: 5 clips in two shards and one too short; val: 2; test: 3."""
    folder = tmp_path_factory.mktemp("data") / "shards"
    return write_textures(folder, {"train": [[30, 27, 40, 5], [26, 31]], "val": [[26, 30]], "test": [[30, 26, 25]]})


@pytest.fixture(scope="session")
def modeling() -> Run:
    """`modeling ARGUMENT...` in this process; an exception that is not a clean exit is raised."""

    def run(*arguments: str | Path) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory, textures: Path, modeling: Run) -> Path:
    """A run of 3 steps."""
    run = tmp_path_factory.mktemp("runs") / "quick"
    result = modeling(
        "train", "--data", textures, "--preset", "tiny", "--run", run, "--steps", 3, "--checkpoint-every", 2, *QUICK
    )
    assert result.exit_code == 0, result.output
    return run
