"""The whole state of a training run between two steps, as a checkpoint holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.optim.swa_utils import AveragedModel

from modeling.config import Config
from modeling.runs.folder import RunError
from modeling.training.build import Networks, Optimisers


def snapshot(
    step: int,
    config: Config,
    networks: Networks,
    optimisers: Optimisers,
    average: AveragedModel | None,
) -> dict[str, Any]:
    """All that a resume needs, as tensors and plain values."""
    return {
        "step": step,
        "config": config.to_dict(),
        **{name: network.state_dict() for name, network in networks},
        "optimisers": {name: optimiser.state_dict() for name, optimiser in optimisers},
        "ema": None if average is None else average.module.state_dict(),
        "ema_updates": 0 if average is None else int(average.n_averaged),
    }


def restore(
    file: Path,
    state: dict[str, Any],
    networks: Networks,
    optimisers: Optimisers,
    average: AveragedModel | None,
) -> int:
    """Put `state` back; the step to go on from. RunError where it lacks something."""
    try:
        for name, network in networks:
            network.load_state_dict(state[name])
        for name, optimiser in optimisers:
            optimiser.load_state_dict(state["optimisers"][name])
        if average is not None:
            average.module.load_state_dict(state["ema"])
            average.n_averaged.fill_(state["ema_updates"])
        return int(state["step"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"checkpoint {file} does not fit this run: {str(error).splitlines()[0]}") from None
