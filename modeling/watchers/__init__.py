"""What looks on while a run trains: the terminal, a Visdom dashboard.

A watcher is told of each step and each sample video, keeps its own pace and can neither stop nor slow the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Watcher(Protocol):
    """What the training loop tells: every call returns at once and raises nothing."""

    def step(self, record: Mapping[str, float]) -> None:
        """One generator update is done; `record` is its line of metrics.jsonl."""

    def sample(self, step: int, video: Path) -> None:
        """The sample video of `step` has been written."""

    def close(self) -> None:
        """The run is over."""
