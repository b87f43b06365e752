"""What a configuration's generator is given: clips that have it, and what comes along with a batch of them.

Masks of the clips' first frames, and other clips whose styles are mixed in, where the generator takes them.

Shapes: B clips, k context frames, M mask classes, H and W height and width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from modeling.config import Config
from modeling.data.masks import one_hot, with_masks
from modeling.data.windows import Batch, ClipSet, ClipWindows, open_clips, to_float
from modeling.networks import Mixing
from modeling.training.precision import dtype_of
from modeling.transfer import to_device


def open_for(config: Config, folder: Path, split: str, *, frames: int | None = None) -> ClipSet:
    """`open_clips` for windows of `frames` (default: the configuration's T) that have what its generator is given."""
    frames = frames or config.frames
    clips = open_clips(folder, split, resolution=config.resolution, frames=frames)
    classes = config.generator.mask_classes
    return with_masks(clips, frames=frames, classes=classes) if classes else clips


def windows_for(config: Config, clips: ClipSet) -> ClipWindows:
    """The windows that a run of `config` trains on, with their masks and the clips whose styles are mixed in."""
    generator, training = config.generator, config.training
    return ClipWindows(
        clips,
        frames=config.frames,
        seed=training.seed,
        flip=training.flip,
        masked=generator.mask_classes > 0,
        others=generator.context_frames if generator.style_mixing else 0,
    )


def remarks_on(clips: ClipSet, frames: int) -> list[str]:
    """What of a split is left out, a line each."""
    lines = []
    if clips.left_out:
        lines.append(f"left out {clips.left_out} clips shorter than {frames} frames")
    if clips.unmasked:
        lines.append(f"left out {clips.unmasked} clips without a label map at a frame to start at")
    return lines


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """On the device, a row a clip; None where the generator takes no such thing."""

    mask: Tensor | None = None  #           (B, M, H, W) one-hot
    other_context: Tensor | None = None  #  (B, k, 3, H, W) in [-1, 1]
    other_mask: Tensor | None = None  #     (B, M, H, W)

    def part(self, start: int, stop: int) -> Conditions:
        """Those of clips start..stop-1: a micro-batch's."""
        rows = slice(start, stop)
        return Conditions(
            mask=None if self.mask is None else self.mask[rows],
            other_context=None if self.other_context is None else self.other_context[rows],
            other_mask=None if self.other_mask is None else self.other_mask[rows],
        )

    def mixing(self, context_BK3HW: Tensor, mix_from_B: Tensor, config: Config) -> Mixing | None:
        """What the generator mixes in, for each clip from its own level on; None where styles are not mixed.

        Without context frames the other sample is another latent, which the generator draws itself. ValueError where
        other clips are needed and did not come.
        """
        if not config.generator.style_mixing:
            return None
        if config.generator.context_frames and self.other_context is None:
            raise ValueError("generator.style_mixing needs another clip for each: ClipWindows(..., others=k)")
        other = context_BK3HW if self.other_context is None else self.other_context
        return Mixing(to_device(mix_from_B, context_BK3HW.device), other, self.other_mask)


NOTHING = Conditions()


def conditions_of(batch: Batch, config: Config, device: torch.device) -> Conditions:
    """A batch's conditions on `device`, in the type of the clips."""
    classes, dtype = config.generator.mask_classes, dtype_of(config)
    return Conditions(
        mask=None if batch.labels is None else one_hot(batch.labels, classes, device).to(dtype),
        other_context=None if batch.others is None else to_float(batch.others, device).to(dtype),
        other_mask=None if batch.other_labels is None else one_hot(batch.other_labels, classes, device).to(dtype),
    )
