"""What the generator is given beside a batch's clips: their masks, and other clips whose styles are mixed in.

Shapes: B clips, k context frames, M mask classes, H and W height and width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from modeling.config import Config
from modeling.data import Batch, to_float
from modeling.masks import one_hot
from modeling.networks import Mixing
from modeling.transfer import to_device


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
    """A batch's conditions on `device`."""
    classes = config.generator.mask_classes
    return Conditions(
        mask=None if batch.labels is None else one_hot(batch.labels, classes, device),
        other_context=None if batch.others is None else to_float(batch.others, device),
        other_mask=None if batch.other_labels is None else one_hot(batch.other_labels, classes, device),
    )
