"""Tiles cover any picture, share their noise, and their windows add up; one tile is the plain clip."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modeling.animating.tiles import Canvas, TileNoise, picture_size, plan_tiles, stream_tiles, windows
from modeling.inference import Trained, load_trained, roll_out
from modeling.networks.noise import NoiseStream

SIDES = st.integers(16, 300).map(lambda half: 2 * half)


@pytest.fixture(scope="module")
def noisy(trained_run: Path) -> Trained:
    """A run whose noise is seen."""
    trained = load_trained(trained_run, torch.device("cpu"))
    with torch.no_grad():
        for name, parameter in trained.generator.named_parameters():
            if name.endswith("noise_strength"):
                parameter.fill_(0.3)
    return trained


def picture(height: int, width: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([255 * y / height, 127 + 100 * np.sin(x / 7), 255 * x / width], axis=-1).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, st.sampled_from([16, 32]))
def test_tiles_cover_the_picture_with_overlaps(height: int, width: int, resolution: int) -> None:
    tiling = plan_tiles(height, width, resolution)
    for starts, length, padded in zip((tiling.tops, tiling.lefts), (height, width), tiling.padded, strict=True):
        assert starts[0] == 0
        assert padded >= length
        assert padded - length < resolution
        assert all(start % (resolution // 8) == 0 for start in starts)
        assert all(after - before <= 0.75 * resolution for before, after in itertools.pairwise(starts))
        assert len(starts) == 1 or starts[-2] + resolution < length, "the last tile is needed"
        shares = windows(starts, resolution)
        np.testing.assert_allclose(shares.sum(axis=0), 1, atol=1e-6)
        for start, share in zip(starts, shares, strict=True):
            assert (share >= 0).all()
            outside = np.delete(share, np.arange(start, start + resolution))
            assert np.abs(outside).max(initial=0) < 1e-6


def test_windows_are_smooth() -> None:
    shares = windows(plan_tiles(32, 300, 32).lefts, 32)
    assert np.abs(np.diff(shares, axis=1)).max() < 0.2  # an 8-pixel fade; a seam would be a step of 1


@pytest.mark.parametrize(
    ("size", "wanted", "expected"),
    [
        ((800, 1200), None, (32, 48)),
        ((1200, 801), None, (48, 32)),
        ((10, 20), None, (32, 64)),
        ((800, 1200), 101, (100, 152)),  # 50.5 and 75.75 pairs of pixels
        ((60, 80), 500, (60, 80)),
        ((20, 80), 500, (32, 128)),
    ],
)
def test_size_of_a_picture(size: tuple[int, int], wanted: int | None, expected: tuple[int, int]) -> None:
    assert picture_size(*size, 32, wanted) == expected


def test_tiles_see_the_same_noise_where_they_overlap() -> None:
    tiling = plan_tiles(32, 80, 32)
    canvas = Canvas(5, tiling)
    like = torch.zeros(1)
    whole = torch.full((3, 32, tiling.padded[1]), torch.nan)
    for corners in ([tiling.corners[0]], tiling.corners[1:]):  # split otherwise than the tiles lie
        maps = TileNoise(canvas, corners).next_maps(2, 3, 32, 32, like).reshape(len(corners), 3, 32, 32)
        for (_, left), tile in zip(corners, maps, strict=True):
            seen = whole[..., left : left + 32]
            assert (seen.isnan() | (seen == tile)).all()
            whole[..., left : left + 32] = tile
    assert not whole.isnan().any()
    assert abs(float(whole.std()) - 1) < 0.05
    alone = TileNoise(Canvas(5, plan_tiles(32, 32, 32)), [(0, 0)])
    plain = NoiseStream([5])
    for _ in range(2):
        torch.testing.assert_close(alone.next_maps(2, 3, 8, 8, like), plain.next_maps(2, 3, 8, 8, like))
    assert TileNoise(canvas, tiling.corners).next_values(1000, (4,), like).unique(dim=0).shape[0] == 1


def test_tiles_out_of_step_are_refused() -> None:
    tiling = plan_tiles(32, 80, 32)
    canvas, like = Canvas(5, tiling), torch.zeros(1)
    first, second = (TileNoise(canvas, [corner]) for corner in tiling.corners[:2])
    first.next_maps(0, 1, 8, 8, like)
    first.next_maps(0, 1, 8, 8, like)
    with pytest.raises(ValueError, match="out of step"):
        second.next_maps(0, 1, 8, 8, like)


def test_one_tile_is_the_plain_clip(noisy: Trained) -> None:
    square = picture(32, 32)
    tiled = np.concatenate(list(stream_tiles(noisy.generator, square, frames=9, seed=3)))
    plain = roll_out(noisy.generator, square[None], frames=9, seed=3)
    assert np.abs(tiled.astype(int) - plain).max() <= 1
    assert (plain[1:] != plain[:1]).any()


def test_a_picture_begins_with_itself_and_is_its_tiles_where_they_are_alone(noisy: Trained) -> None:
    wide = picture(38, 54)
    pieces = list(stream_tiles(noisy.generator, wide, frames=7, seed=3))
    assert max(len(piece) for piece in pieces) <= 4, "in groups, so that memory stays the same"
    video = np.concatenate(pieces)
    assert video.shape == (7, 38, 54, 3)
    np.testing.assert_array_equal(video[0], wide)
    tiling = plan_tiles(38, 54, 32)
    # A slow twin: each tile by itself, then a weighted sum pixel by pixel.
    rows, columns = windows(tiling.tops, 32), windows(tiling.lefts, 32)
    mirrored = np.pad(wide, [(0, tiling.padded[0] - 38), (0, tiling.padded[1] - 54), (0, 0)], mode="symmetric")
    total = np.zeros((7, *tiling.padded, 3))
    canvas = Canvas(3, tiling)
    noises = {corner: TileNoise(canvas, [corner]) for corner in tiling.corners}
    streams = {}
    for top, left in tiling.corners:
        tile = torch.from_numpy(mirrored[top : top + 32, left : left + 32].copy()).movedim(-1, 0)[None] / 127.5 - 1
        streams[top, left] = noisy.generator.stream(tile, 7, noises[top, left], group=4)
    start = 0
    for parts in zip(*streams.values(), strict=True):
        for (top, left), part in zip(streams, parts, strict=True):
            share = np.outer(rows[tiling.tops.index(top)], columns[tiling.lefts.index(left)])
            for step, frame in enumerate(part[0].movedim(1, -1).numpy()):
                for y in range(32):
                    for x in range(32):
                        total[start + step, top + y, left + x] += share[top + y, left + x] * frame[y, x]
        start += parts[0].shape[1]
    expected = np.clip(np.rint((total + 1) * 127.5), 0, 255)[:, :38, :54]
    assert np.abs(video.astype(int) - expected).max() <= 1


def test_no_seam_shows(noisy: Trained) -> None:
    """The steps between neighbouring columns are no larger at the tiles' borders than inside tiles."""
    flat = np.full((32, 150, 3), 120, np.uint8)
    video = np.concatenate(list(stream_tiles(noisy.generator, flat, frames=6, seed=1)))[1:].astype(float)
    steps = np.abs(np.diff(video, axis=2)).mean(axis=(0, 1, 3))
    lefts = plan_tiles(32, 150, 32).lefts
    borders = [left - 1 for left in lefts[1:]] + [left + 31 for left in lefts[:-1]]
    assert steps[borders].mean() < 1.5 * np.median(steps)
