"""The checkpoint with the best score of `val` so far: checkpoints/best-step-*.pt, which nothing prunes; best.json."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from modeling.files import temporary_beside, write_json
from modeling.runs.folder import RunFolder

NAME = re.compile(r"best-step-\d+\.pt")


class BestCheckpoint:
    """Keeps the best of the scores called `name` in metrics.jsonl; `before`: its lines so far."""

    def __init__(self, folder: RunFolder, name: str, *, higher: bool, before: Iterable[Mapping[str, float]]) -> None:
        self._folder, self._name, self._higher = folder, name, higher
        values = [float(record[name]) for record in before if name in record]
        self._best: float | None = None if not values else max(values) if higher else min(values)

    @property
    def file(self) -> Path:
        """best.json, which names the checkpoint."""
        return self._folder.path / "best.json"

    def beaten_by(self, value: float) -> bool:
        """Whether `value` is better than all before."""
        return self._best is None or (value > self._best if self._higher else value < self._best)

    def keep(self, step: int, value: float, facts: Mapping[str, Any]) -> Path:
        """Keep the checkpoint of `step`, which must be on the disk, in the place of the best so far."""
        source = self._folder.checkpoints.file(step)
        target = source.with_name(f"best-{source.name}")
        with temporary_beside(target) as temporary:
            temporary.unlink()
            try:
                os.link(source, temporary)  # no second copy of the weights
            except OSError:  # a file system without hard links
                shutil.copyfile(source, temporary)
        about = {
            "step": step,
            "metric": self._name,
            "value": value,
            "checkpoint": f"checkpoints/{target.name}",
            **facts,
        }
        write_json(self.file, about)
        for file in source.parent.iterdir():
            if NAME.fullmatch(file.name) and file != target:
                with contextlib.suppress(FileNotFoundError):
                    file.unlink()
        self._best = value
        return target
