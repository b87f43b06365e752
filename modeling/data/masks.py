"""Label maps of a clip's first frame (section 4.5): found and checked in the shards, and as a generator's channels.

A pixel's label is its class: 0 stands still and has no channel, 1 to M have one each. A motion mask is M = 1.
Shapes: B clips, M mask classes, H and W height and width.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from modeling.data.windows import ClipSet, DataError


def one_hot(labels_BHW: Tensor, classes: int, device: torch.device) -> Tensor:
    """Labels (B, H, W) uint8 as float32 channels (B, classes, H, W) on `device`: channel m is 1 where label m + 1 is.

    A label above `classes` has no channel; `with_masks` refuses such maps.
    """
    channels_M11 = torch.arange(1, classes + 1, device=device)[:, None, None]
    return (labels_BHW.to(device, non_blocking=True)[:, None] == channels_M11).to(torch.float32)


def with_masks(clips: ClipSet, *, frames: int, classes: int) -> ClipSet:
    """The clips that have a label map to start a window of `frames` at; `unmasked` counts those left out.

    Every map that a window can start at is looked at. DataError naming the shard, the clip and the frame for a label
    above `classes`, and where no clip of a split that has clips is left. ShardError for a shard that cannot be read.
    """
    kept = []
    for index, clip in enumerate(clips.clips):
        starts = clips.masked_starts(index, frames)
        for start in starts:
            highest = int(clips.labels(index, start).max())
            if highest > classes:
                raise DataError(
                    f"{clips.readers[clip.shard].path}: frame {start} of clip {clip.id} has label {highest}, and "
                    f"generator.mask_classes={classes} takes 0 (still) to {classes}: raise it, or export other masks"
                )
        if starts:
            kept.append(clip)
    if clips.clips and not kept:
        raise DataError(
            f"{clips.readers[0].path.parent}: no clip of split {clips.split} has a label map at a frame that {frames} "
            "frames can start at: export them with `curate export --masks given` or `--masks motion`, or set "
            "generator.mask_classes=0"
        )
    return replace(clips, clips=tuple(kept), unmasked=len(clips.clips) - len(kept))
