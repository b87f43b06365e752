"""DiffAugment (Zhao 2020), consistent over a clip: what D sees of real and of generated clips, changed the same way.

A transformation is drawn once a clip and is the same for all its frames, its context frames among them, and for the
real and the generated clip of a sample. All are differentiable, so that the generator learns through them.
Shapes: B batch, T time, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from modeling.transfer import to_device

AUGMENT_NUMBERS = 7  # uniform numbers a sample: brightness, saturation, contrast, shift (2), cut-out (2)
LARGEST_SHIFT = 0.125  # of a side
CUT_OUT = 0.5  #         of a side


def colour(video_BT3HW: Tensor, u_BN: Tensor) -> Tensor:
    """Brightness -0.5..0.5, saturation x0..2, contrast x0.5..1.5."""
    brightness, saturation, contrast = (u_BN[:, index, None, None, None, None] for index in range(3))
    x = video_BT3HW + (brightness - 0.5)
    grey = x.mean(dim=2, keepdim=True)
    x = grey + (x - grey) * (2 * saturation)
    middle = x.mean(dim=(1, 2, 3, 4), keepdim=True)  # of the clip: a frame's own would make it flicker
    return middle + (x - middle) * (contrast + 0.5)


def translation(video_BT3HW: Tensor, u_BN: Tensor) -> Tensor:
    """Whole pixels up to an eighth of a side each way; what comes in from outside is 0."""
    x = video_BT3HW
    for axis, column in ((3, 3), (4, 4)):
        side = x.shape[axis]
        reach = int(side * LARGEST_SHIFT + 0.5)
        shift_B = (u_BN[:, column] * (2 * reach + 1)).floor().clamp(max=2 * reach).long() - reach
        source = torch.arange(side, device=x.device) - shift_B[:, None]
        inside = ((source >= 0) & (source < side)).to(x.dtype)
        shape = [len(x), 1, 1, 1, 1]
        shape[axis] = side
        index = source.clamp(0, side - 1).reshape(shape).expand_as(x)
        x = torch.gather(x, axis, index) * inside.reshape(shape)
    return x


def cutout(video_BT3HW: Tensor, u_BN: Tensor) -> Tensor:
    """A square of half a side is 0; its centre lies anywhere."""
    masks = []
    for axis, column in ((3, 5), (4, 6)):
        side = video_BT3HW.shape[axis]
        half = int(side * CUT_OUT + 0.5) // 2
        centre_B1 = (u_BN[:, column] * side).floor().clamp(max=side - 1)[:, None]
        place = torch.arange(side, device=video_BT3HW.device)
        masks.append((place >= centre_B1 - half) & (place < centre_B1 + half))
    cut_BHW = masks[0][:, :, None] & masks[1][:, None, :]
    return video_BT3HW * (~cut_BHW)[:, None, None].to(video_BT3HW.dtype)


TRANSFORMATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "color": colour,
    "translation": translation,
    "cutout": cutout,
}


def augmented(video_BT3HW: Tensor, policy: Sequence[str], numbers_BN: Tensor) -> Tensor:
    """Clips (B, T, 3, H, W) in [-1, 1] under the transformations of `policy`, made of uniform numbers (B, 7)."""
    if not policy:
        return video_BT3HW
    u_BN = to_device(numbers_BN, video_BT3HW.device).to(video_BT3HW.dtype)
    for name, transform in TRANSFORMATIONS.items():
        if name in policy:
            video_BT3HW = transform(video_BT3HW, u_BN)
    return video_BT3HW
