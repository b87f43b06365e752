"""The whole state of a training run between two steps, as a checkpoint holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch.optim.swa_utils import AveragedModel

from modeling.config import Config
from modeling.run import RunError
from modeling.step import Networks, Optimisers


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
        "generator": networks.generator.state_dict(),
        "d_s": networks.d_s.state_dict(),
        "d_t": networks.d_t.state_dict(),
        "optimisers": {
            "generator": optimisers.generator.state_dict(),
            "d_s": optimisers.d_s.state_dict(),
            "d_t": optimisers.d_t.state_dict(),
        },
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
        networks.generator.load_state_dict(state["generator"])
        networks.d_s.load_state_dict(state["d_s"])
        networks.d_t.load_state_dict(state["d_t"])
        optimisers.generator.load_state_dict(state["optimisers"]["generator"])
        optimisers.d_s.load_state_dict(state["optimisers"]["d_s"])
        optimisers.d_t.load_state_dict(state["optimisers"]["d_t"])
        if average is not None:
            average.module.load_state_dict(state["ema"])
            average.n_averaged.fill_(state["ema_updates"])
        return int(state["step"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"checkpoint {file} does not fit this run: {str(error).splitlines()[0]}") from None
