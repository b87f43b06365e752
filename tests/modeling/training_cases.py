"""Small trainings for the loop's tests: what is asked for, who watches, and what must come out the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from modeling.config import apply_overrides
from modeling.presets import get
from modeling.training.loop import TrainingRequest
from modeling.watchers import RunStart

CPU = torch.device("cpu")


QUICK = ("frames=8", "d_s.frames=4", "training.batch=2", "generator.ch=4", "d_s.ch=2", "d_t.ch=2")


def request(data: Path, run: Path, steps: int, *overrides: str, every: int = 100) -> TrainingRequest:
    config = apply_overrides(get("tiny"), [*QUICK, f"training.steps={steps}", *overrides])
    return TrainingRequest(data=data, run=run, config=config, device=CPU, checkpoint_every=every, sample_every=every)


class Recorder:
    """A watcher that remembers, and can do something at a step."""

    def __init__(self, at: int = 0, act: object = None) -> None:
        self.records: list[Mapping[str, float]] = []
        self.samples: list[Path] = []
        self.starts: list[int] = []
        self.at, self.act = at, act

    def begin(self, start: RunStart) -> None:
        self.starts.append(start.first_step)

    def step(self, record: Mapping[str, float]) -> None:
        self.records.append(record)
        if record["step"] == self.at and callable(self.act):
            self.act()

    def sample(self, step: int, video: Path) -> None:
        assert video.is_file()
        self.samples.append(video)

    def close(self) -> None:
        """Nothing is held."""


def without_clock(run: Path) -> list[dict[str, float]]:
    clock = ("seconds", "wait", "clips_per_second", "memory_mb")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]


def assert_same_state(first: object, second: object, where: str = "") -> None:
    """Equal in every tensor's bits and every value."""
    if isinstance(first, torch.Tensor):
        assert isinstance(second, torch.Tensor)
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert isinstance(second, dict)
        assert first.keys() == second.keys(), where
        for key, value in first.items():
            assert_same_state(value, second[key], f"{where}.{key}")
    else:
        assert first == second, where
