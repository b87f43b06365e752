"""Checkpoints: one file a saved step, written whole or not at all, checked when it is read."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from modeling.errors import ModelingError
from modeling.files import atomic_file, disk_error, write_text

FORMAT_VERSION = 1
KEPT = 3  # newest checkpoints that stay, beside the milestones
NAME = re.compile(r"step-(\d+)\.pt")


class CheckpointError(ModelingError):
    """A checkpoint that is missing, damaged or of something else."""


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors and plain values) to `path`, whole or not at all; ModelingError where the disk refuses."""
    try:
        with atomic_file(path) as stream:
            torch.save({"format_version": FORMAT_VERSION, **state}, stream)
    except RuntimeError as error:
        # torch reports a failed write as its own error, with the system's one as its cause or in its words.
        cause = error.__context__
        raise (
            disk_error(path, cause) if isinstance(cause, OSError) else CheckpointError(f"{path}: {_line(error)}")
        ) from error


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """The state in `path`. CheckpointError where it is missing, cut short, damaged or of another format."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
            damaged = archive.testzip()
        if damaged is not None:
            raise CheckpointError(f"checkpoint {path} is damaged ({damaged} fails its checksum)")
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"checkpoint {path} is damaged or cut short ({_line(error)})") from None
    version = state.get("format_version") if isinstance(state, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} is no checkpoint of this version: format {version}, not {FORMAT_VERSION}")
    return dict(state)


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@dataclass(frozen=True)
class CheckpointFolder:
    """A run's checkpoints/: step-<n>.pt, and `latest`, a text file that names the newest."""

    path: Path

    def file(self, step: int) -> Path:
        return self.path / f"step-{step:08d}.pt"

    def all(self) -> list[tuple[int, Path]]:
        """(step, file), oldest first."""
        if not self.path.is_dir():
            return []
        matches = ((NAME.fullmatch(file.name), file) for file in self.path.iterdir())
        return sorted((int(match.group(1)), file) for match, file in matches if match)

    def save(self, step: int, state: dict[str, Any], *, milestone_every: int | None = None) -> Path:
        """Save `state`, point `latest` to it, and remove all but the newest three and the milestones."""
        target = self.file(step)
        save_checkpoint(target, state)
        write_text(self.path / "latest", target.name + "\n")
        for old_step, file in self.all()[:-KEPT]:
            if milestone_every is None or old_step % milestone_every:
                file.unlink(missing_ok=True)
        return target

    def load_newest(self, device: torch.device, say: Callable[[str], None]) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that can be read; None where there is none yet.

        A damaged one is named through `say`, with the older one that is used in its place; CheckpointError where all
        are damaged.
        """
        # By step, not by `latest`: a run killed between the two writes has a newer whole file than `latest` names.
        candidates = self.all()[::-1]
        for _, file in candidates:
            try:
                state = load_checkpoint(file, device)
            except CheckpointError as error:
                say(str(error))
                continue
            if file != candidates[0][1]:
                say(f"going back to the older checkpoint {file}")
            return file, state
        if candidates:
            raise CheckpointError(f"no checkpoint in {self.path} can be read: restore one, or start a new run folder")
        return None
