"""A trained generator out of a run folder, and clips out of a generator. Letters: B batch, T time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.config import Config
from modeling.data.masks import one_hot
from modeling.data.windows import to_float, to_uint8
from modeling.errors import UsageError
from modeling.networks import Generator, build_generator
from modeling.runs.checkpoint import load_checkpoint
from modeling.runs.folder import RunError, RunFolder, require_same_networks

Precision = Literal["fp32", "bf16"]

GROUP = 4  # frames that are computed at once: benchmarks/animate.py


def choose_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; cuda:N names one of several. UsageError for a GPU that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or not (number.isdecimal() or name == "cuda"):
        raise UsageError(f"--device takes auto, cpu, cuda, or cuda:N for one of several GPUs, not {name!r}")
    if not torch.cuda.is_available():
        raise UsageError(f"--device {name}: this machine has no GPU that torch can use; give --device cpu or auto")
    there = torch.cuda.device_count()
    if number and int(number) >= there:
        raise UsageError(f"--device {name}: this machine has {there} GPUs, cuda:0 to cuda:{there - 1}")
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
    return np.concatenate(list(stream_clip(generator, context_KHW3, frames=frames, seed=seed, labels_HW=labels_HW)))


def stream_clip(
    generator: Generator,
    context_KHW3: NDArray[np.uint8],
    *,
    frames: int,
    seed: int | None,
    labels_HW: NDArray[np.uint8] | None = None,
    precision: Precision = "fp32",
) -> Iterator[NDArray[np.uint8]]:
    """What `roll_out` gives, in pieces (t, R, R, 3): memory does not grow with `frames`."""
    device = next(generator.parameters()).device
    context_BK3HW = to_float(torch.from_numpy(np.ascontiguousarray(context_KHW3)[None]), device)
    noise = None if seed is None else [seed]
    mask_BMHW = _channels(generator, None if labels_HW is None else labels_HW[None])
    for piece_BT3HW in in_precision(
        generator.stream(context_BK3HW, frames, noise, GROUP, mask_BMHW), device, precision
    ):
        yield to_uint8(piece_BT3HW[0])


def in_precision(pieces: Iterator[Tensor], device: torch.device, precision: Precision) -> Iterator[Tensor]:
    """`pieces` as float32, computed in `precision`: bf16 is in convolutions alone, states and sums stay float32."""
    while True:
        # Not around the loop: the caller's own work between two pieces would be in it.
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            piece = next(pieces, None)
        if piece is None:
            return
        yield piece.float()


def context_of(
    generator: Generator, images_BHW3: NDArray[np.uint8], labels_BHW: NDArray[np.uint8] | None
) -> tuple[Tensor, Tensor | None]:
    """Stills as a generator's context (B, k, 3, R, R), each standing for all k frames, and their masks as channels."""
    device = next(generator.parameters()).device
    context_B13HW = to_float(torch.from_numpy(np.ascontiguousarray(images_BHW3)[:, None]), device)
    return context_B13HW.expand(-1, generator.context_frames, -1, -1, -1), _channels(generator, labels_BHW)


def _channels(generator: Generator, labels_BHW: NDArray[np.uint8] | None) -> Tensor | None:
    if labels_BHW is None:
        return None
    device = next(generator.parameters()).device
    return one_hot(torch.from_numpy(np.ascontiguousarray(labels_BHW)), generator.mask_classes, device)
