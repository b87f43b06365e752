"""What looks on while a run trains: the terminal, a Visdom dashboard, TensorBoard's event files.

A watcher is told of each step and each sample video, keeps its own pace and can neither stop nor slow the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modeling.config import Config


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """What a run is when training begins or goes on."""

    run: Path
    config: Config
    metrics_file: Path  # holds the lines of steps 1..first_step; a step's line is in it before watchers hear of it
    first_step: int  #     steps done before


class Watcher(Protocol):
    """What the training loop tells: every call returns at once and raises nothing."""

    def begin(self, start: RunStart) -> None:
        """Training begins, or goes on after `start.first_step` steps; told once, before all else."""

    def step(self, record: Mapping[str, float]) -> None:
        """One generator update is done; `record` is its line of metrics.jsonl."""

    def sample(self, step: int, video: Path) -> None:
        """The sample video of `step` has been written."""

    def close(self) -> None:
        """The run is over."""
