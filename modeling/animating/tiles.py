"""A whole picture of any size and aspect, set in motion in overlapping squares of the generator's own size.

Every tile is a clip of its own. What makes them one picture: noise is drawn for the whole picture and each tile takes
its part, so tiles see the same noise where they overlap; and they are cross-faded there by smooth windows. What stays:
each tile has its own style, so a motion that spans tiles can part at their borders, and where two tiles disagree the
fade blurs them.

Shapes: b tiles of a batch, t frames of a piece, R the generator's side, H and W of the picture, even.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.data.windows import to_uint8
from modeling.inference import GROUP, Precision, context_of, in_precision
from modeling.media.images import even
from modeling.networks import Generator
from modeling.networks.noise import NoiseStream

GRID = 8  #              tiles start at multiples of R / 8: there noise maps of every level, from 8x8 on, fall into line
LARGEST_STRIDE = 6  #    of 8: tiles overlap by a quarter or more
FADE = 4  #              a fade is a quarter of a tile wide: R / 4
CANVAS_BYTES = 2**28  #  of one piece of the picture, as floats
ON_GPU = 8  #            tiles at once


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """Where the tiles of a picture lie. The picture is mirrored at its right and lower edge until they fit."""

    height: int
    width: int
    resolution: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    @property
    def padded(self) -> tuple[int, int]:
        return self.tops[-1] + self.resolution, self.lefts[-1] + self.resolution

    @property
    def corners(self) -> list[tuple[int, int]]:
        """(top, left) of each tile, row by row."""
        return [(top, left) for top in self.tops for left in self.lefts]


def picture_size(height: int, width: int, resolution: int, wanted: int | None) -> tuple[int, int]:
    """Height and width, even, in which a picture is animated in tiles.

    By default its short side is the generator's, the scale that it was trained at. `wanted` is another height, down to
    the generator's own and, so that no picture is enlarged, up to the picture's (or the default, where that is more).
    """
    least = resolution / min(height, width)
    factor = least if wanted is None else min(wanted / height, max(1.0, least))
    return even(height * factor), even(width * factor)


def plan_tiles(height: int, width: int, resolution: int) -> Tiling:
    """The fewest tiles that cover (height, width) with overlaps of a quarter of a tile or more, evenly spread."""
    return Tiling(
        height=height,
        width=width,
        resolution=resolution,
        tops=_starts(height, resolution),
        lefts=_starts(width, resolution),
    )


def _starts(length: int, resolution: int) -> tuple[int, ...]:
    unit = resolution // GRID
    beyond = max(0, length - resolution)
    steps = math.ceil(beyond / (LARGEST_STRIDE * unit))
    stride = math.ceil(beyond / max(1, steps) / unit) * unit
    return tuple(stride * step for step in range(steps + 1))


def windows(starts: tuple[int, ...], resolution: int) -> NDArray[np.float32]:
    """The share of each tile in each pixel along one axis: (tiles, length), summing to 1 everywhere.

    Between two neighbours a raised cosine, in the middle of their overlap: the outermost pixels of a tile, which the
    generator knows least about, are left out where there is room.
    """
    length = starts[-1] + resolution
    x = np.arange(length) + 0.5
    shares = np.zeros((len(starts), length))
    before = np.ones(length)  # of this tile and all after it
    for index, start in enumerate(starts):
        after = np.zeros(length)
        if index + 1 < len(starts):
            middle = (starts[index + 1] + start + resolution) / 2
            position = np.clip((x - middle) / (resolution / FADE) + 0.5, 0, 1)
            after = 0.5 - 0.5 * np.cos(np.pi * position)
        shares[index] = before - after
        before = after
    return shares.astype(np.float32)


class Canvas:
    """The noise of a whole picture: one map for all tiles, drawn as the plain `NoiseStream` of this seed draws one."""

    def __init__(self, seed: int, tiling: Tiling) -> None:
        self.seed, self.tiling = seed, tiling
        self._stream = NoiseStream([seed])
        self._drawn: dict[int, tuple[int, Tensor]] = {}  # block: how often it was drawn, and what came last

    def maps(self, block: int, turn: int, frames: int, height: int, width: int, like: Tensor) -> Tensor:
        """The `turn`-th maps of `block` for the whole picture: (frames, 1, ...). Tiles take turns in step."""
        last, maps = self._drawn.get(block, (-1, None))
        if maps is None or turn != last:
            if turn != last + 1:
                raise ValueError(f"noise of block {block}: tiles are out of step, turn {turn} after {last}")
            side = self.tiling.resolution
            rows, columns = self.tiling.padded
            size = self._at(rows, height, side), self._at(columns, width, side)
            maps = self._stream.next_values(block, (frames, 1, *size), like)[0]
            self._drawn[block] = (turn, maps)
        return maps

    @staticmethod
    def _at(pixels: int, scale: int, side: int) -> int:
        """Pixels of the picture in those of a map that has `scale` where a tile has `side`."""
        if pixels * scale % side:
            raise ValueError(f"tiles do not fall on the {scale}-pixel noise map of a generator of {side} pixels")
        return pixels * scale // side


class TileNoise(NoiseStream):
    """The noise of some tiles: maps are cut from the picture's; what else is drawn is the same for all tiles."""

    def __init__(self, canvas: Canvas, corners: list[tuple[int, int]]) -> None:
        super().__init__([canvas.seed] * len(corners))
        self._canvas, self._corners = canvas, corners
        self._turns: dict[int, int] = {}

    def next_maps(self, block: int, frames: int, height: int, width: int, like: Tensor) -> Tensor:
        turn = self._turns.get(block, 0)
        self._turns[block] = turn + 1
        maps = self._canvas.maps(block, turn, frames, height, width, like)
        side = self._canvas.tiling.resolution
        parts = []
        for top, left in self._corners:
            y, x = self._canvas._at(top, height, side), self._canvas._at(left, width, side)
            parts.append(maps[..., y : y + height, x : x + width])
        return torch.cat(parts)


def stream_tiles(
    generator: Generator,
    picture_HW3: NDArray[np.uint8],
    *,
    frames: int,
    seed: int | None,
    labels_HW: NDArray[np.uint8] | None = None,
    precision: Precision = "fp32",
) -> Iterator[NDArray[np.uint8]]:
    """The clip of a whole picture in pieces (t, H, W, 3) uint8, the picture first; H and W even.

    labels_HW: its mask, where the generator takes one. seed: of the noise; None switches it off. Memory grows with the
    number of tiles, not with `frames`.
    """
    height, width = picture_HW3.shape[:2]
    tiling = plan_tiles(height, width, generator.resolution)
    canvas = None if seed is None else Canvas(seed, tiling)
    picture = _mirrored(picture_HW3, tiling)
    labels = None if labels_HW is None else _mirrored(labels_HW, tiling)
    group = max(1, min(GROUP, CANVAS_BYTES // (12 * picture.shape[0] * picture.shape[1])))
    device = next(generator.parameters()).device
    at_once = ON_GPU if device.type == "cuda" else 1
    R = generator.resolution
    batches = [tiling.corners[first : first + at_once] for first in range(0, len(tiling.corners), at_once)]
    streams = []
    for corners in batches:
        images_bHW3 = np.stack([picture[top : top + R, left : left + R] for top, left in corners])
        masks_bHW = None if labels is None else np.stack([labels[y : y + R, x : x + R] for y, x in corners])
        context_bK3HW, mask_bMHW = context_of(generator, images_bHW3, masks_bHW)
        noise = None if canvas is None else TileNoise(canvas, corners)
        pieces = generator.stream(context_bK3HW, frames + generator.context_frames - 1, noise, group, mask_bMHW)
        streams.append(in_precision(pieces, device, precision))
    rows, columns = windows(tiling.tops, R), windows(tiling.lefts, R)
    shares = {
        (top, left): torch.from_numpy(np.outer(row[top : top + R], column[left : left + R]))
        for top, row in zip(tiling.tops, rows, strict=True)
        for left, column in zip(tiling.lefts, columns, strict=True)
    }
    first = True
    for tiles in zip(*streams, strict=True):
        steps = tiles[0].shape[1]
        blended_T3HW = torch.zeros(steps, 3, *tiling.padded)
        for corners, piece_bT3HW in zip(batches, tiles, strict=True):
            for (top, left), tile_T3HW in zip(corners, piece_bT3HW.cpu(), strict=True):
                blended_T3HW[:, :, top : top + R, left : left + R] += tile_T3HW * shares[top, left]
        # Of several context frames, all the same still, one is shown.
        yield to_uint8(blended_T3HW[-1 if first else 0 :, :, :height, :width])
        first = False


def _mirrored(picture: NDArray[np.uint8], tiling: Tiling) -> NDArray[np.uint8]:
    below, right = (whole - side for whole, side in zip(tiling.padded, picture.shape, strict=False))
    return np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_REFLECT), np.uint8)
