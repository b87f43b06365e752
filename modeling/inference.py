"""A trained generator out of a run folder, and clips out of a generator. Letters: B batch, T time."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from modeling.checkpoint import load_checkpoint
from modeling.config import Config
from modeling.data import to_float, to_uint8
from modeling.errors import UsageError
from modeling.masks import one_hot
from modeling.networks import Generator, build_generator
from modeling.run import RunError, RunFolder, require_same_networks


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one. UsageError for a GPU that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has no GPU that torch can use; give --device cpu or auto")
    return torch.device(name)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A generator in evaluation mode with where it comes from."""

    generator: Generator
    config: Config
    step: int
    source: Path  # the file of its weights

    @property
    def deterministic(self) -> bool:
        """True where one image has one future: nothing is drawn."""
        return not self.config.generator.random

    @property
    def context_frames(self) -> int:
        """Frames that a clip goes on from; 0: it is unconditional and animates nothing."""
        return self.config.generator.context_frames

    @property
    def mask_classes(self) -> int:
        """Classes of the mask that it needs beside the first frame; 0: it takes none."""
        return self.config.generator.mask_classes


def load_trained(run: Path, device: torch.device, checkpoint: Path | None = None) -> Trained:
    """The generator of `run`: model.safetensors, or the moving average in a checkpoint of this run.

    RunError where there is none, or where the checkpoint belongs to another preset.
    """
    folder = RunFolder(run)
    if checkpoint is None:
        weights, config, step = folder.read_model()
        source = folder.model_file
    else:
        state = load_checkpoint(checkpoint, device)
        config = folder.read_config()
        require_same_networks(checkpoint, state, config)
        weights, step, source = state["ema"] or state["generator"], int(state["step"]), checkpoint
    generator = build_generator(config)
    try:
        generator.load_state_dict(weights)
    except RuntimeError as error:
        raise RunError(f"{source} does not fit the generator of {run}: {str(error).splitlines()[0]}") from None
    return Trained(generator=generator.to(device).eval(), config=config, step=step, source=source)


def roll_out(
    generator: Generator,
    context_KHW3: NDArray[np.uint8],
    *,
    frames: int,
    seed: int | None,
    labels_HW: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """One clip: (frames, R, R, 3) uint8, which begins with its context itself.

    context_KHW3: (k, R, R, 3) uint8, what `Trained.context_frames` asks for; k is 0 where the generator is
    unconditional. labels_HW: (R, R) uint8 classes of the first context frame, where the generator takes a mask
    (`Trained.mask_classes`). seed: of the noise and the latent; None switches them off. ValueError for another k, or a
    mask too many or too few.
    """
    device = next(generator.parameters()).device
    context_BK3HW = to_float(torch.from_numpy(np.ascontiguousarray(context_KHW3)[None]), device)
    mask_BMHW = None
    if labels_HW is not None:
        mask_BMHW = one_hot(torch.from_numpy(np.ascontiguousarray(labels_HW)[None]), generator.mask_classes, device)
    noise = None if seed is None else [seed]
    pieces = generator.stream(context_BK3HW, frames, noise, mask_BMHW=mask_BMHW)
    return np.concatenate([to_uint8(piece[0]) for piece in pieces])
