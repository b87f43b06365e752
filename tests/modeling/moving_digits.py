"""A small set in the manner of Moving MNIST: glyphs of 4x4 pixels that move over black and bounce off the borders."""

from __future__ import annotations

import torch
from torch import Tensor

GLYPHS = ("0110 1001 1001 0110", "0100 0100 0100 0100", "1111 0010 0100 1000")  # 0, 1, 7
SIZE = 4


def moving_digits(clips: int, *, frames: int, side: int, seed: int) -> Tensor:
    """Clips (B, T, 3, side, side) in [-1, 1], one glyph each, a pixel a frame along both axes."""
    rng = torch.Generator().manual_seed(seed)
    video_BT3HW = torch.full((clips, frames, 3, side, side), -1.0)
    for video_T3HW in video_BT3HW:
        rows = GLYPHS[int(torch.randint(len(GLYPHS), (), generator=rng))].split()
        glyph = torch.tensor([[2.0 * int(pixel) - 1 for pixel in row] for row in rows])
        place = torch.randint(side - SIZE + 1, (2,), generator=rng).tolist()
        move = [1 if up else -1 for up in torch.randint(2, (2,), generator=rng).tolist()]
        for frame_3HW in video_T3HW:
            y, x = place
            frame_3HW[:, y : y + SIZE, x : x + SIZE] = glyph
            move = [step if 0 <= at + step <= side - SIZE else -step for at, step in zip(place, move, strict=True)]
            place = [at + step for at, step in zip(place, move, strict=True)]
    return video_BT3HW
