"""The batch on which training stopped, kept so that the pass can be looked at and run again.

Beside the run's checkpoints: `non-finite-step-N.json` (which clips, which quantity), `.npz` (the frames as they were
shown, masks, and everything that was drawn) and `.pt` (the state before the pass: nothing had been updated).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.config import Config
from modeling.data.conditions import conditions_of
from modeling.data.windows import Batch, to_float
from modeling.files import atomic_file, write_json
from modeling.runs.checkpoint import load_checkpoint, save_checkpoint
from modeling.training.build import build_networks, build_optimisers
from modeling.training.draws import Draws
from modeling.training.precision import dtype_of
from modeling.training.state import restore
from modeling.training.step import NonFiniteError, discriminator_pass, generator_pass

OF_THE_BATCH = ("frames", "labels", "others", "other_labels")


def save(file: Path, error: NonFiniteError, batch: Batch, draws: Draws, state: dict[str, Any]) -> None:
    """Write `file` (JSON) and what stands beside it for the batch that gave `error`; `state` as a checkpoint's."""
    arrays: dict[str, NDArray[Any]] = {
        name: tensor.numpy() for name in OF_THE_BATCH if (tensor := getattr(batch, name)) is not None
    }
    for name, value in dataclasses.asdict(draws).items():
        arrays[f"draws.{name}"] = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    with atomic_file(file.with_suffix(".npz")) as stream:
        np.savez(stream, **arrays)  # type: ignore[arg-type]
    save_checkpoint(file.with_suffix(".pt"), state)
    write_json(
        file,
        {
            "step": draws.step,
            "pass": draws.pass_index,
            "quantity": error.quantity,
            "value": str(error.value),
            "frames": file.with_suffix(".npz").name,
            "state": file.with_suffix(".pt").name,
            "clips": [
                {"id": clip, "start": window.start, "flip": window.flip}
                for clip, window in zip(batch.clip_ids, batch.windows, strict=True)
            ],
        },
    )


def replay(file: Path, device: torch.device) -> Mapping[str, float]:
    """Run the pass that `file` (the JSON) tells of again: its statistics, or the NonFiniteError that it ended in."""
    state = load_checkpoint(file.with_suffix(".pt"), device)
    config = Config.from_dict(state["config"])
    networks = build_networks(config, device)
    optimisers = build_optimisers(networks, config)
    restore(file, state, networks, optimisers, None)
    batch, draws = load(file)
    real_BT3HW = to_float(batch.frames, device).to(dtype_of(config))
    run = generator_pass if draws.pass_index == config.training.d_passes else discriminator_pass
    return run(networks, optimisers, real_BT3HW, draws, config, conditions_of(batch, config, device))


def load(file: Path) -> tuple[Batch, Draws]:
    """The frames, masks and draws beside `file`; which clips they are of stands in the JSON."""
    with np.load(file.with_suffix(".npz")) as arrays:
        tensors = {name: torch.from_numpy(arrays[name]) for name in OF_THE_BATCH if name in arrays}
        values: dict[str, Any] = {}
        for field in dataclasses.fields(Draws):
            array = arrays[f"draws.{field.name}"]
            if field.name == "noise":
                values[field.name] = tuple(array.tolist())
            else:
                values[field.name] = torch.from_numpy(array) if array.ndim else int(array)
    return Batch(windows=(), clip_ids=(), **tensors), Draws(**values)
