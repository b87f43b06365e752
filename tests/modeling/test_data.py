"""Windows: a pure function of (seed, draw); every clip once an epoch; the same with workers or without."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from db.shards import ShardError, ShardReader
from modeling.data.windows import (
    DISCRIMINATOR,
    GENERATOR,
    BatchOrder,
    ClipWindows,
    DataError,
    Draw,
    batches,
    open_clips,
    steps_of_epochs,
    to_float,
    to_uint8,
)
from tests.modeling.moving_textures import write_textures

T = 25


@pytest.fixture(scope="module")
def windows(textures: Path) -> ClipWindows:
    return ClipWindows(open_clips(textures, "train", resolution=32, frames=T), frames=T, seed=3, flip=True)


def test_short_clips_are_left_out_and_counted(textures: Path) -> None:
    clips = open_clips(textures, "train", resolution=32, frames=T)
    assert [clip.length for clip in clips.clips] == [30, 27, 40, 26, 31]
    assert clips.left_out == 1
    assert set(clips.shard_sha256) == {"train-00000.h5", "train-00001.h5"}


def test_a_batch_holds_the_shards_own_frames(textures: Path, windows: ClipWindows) -> None:
    """Against h5py's own slices and numpy's own reversal."""
    draws = [Draw(DISCRIMINATOR, number) for number in range(40)]
    batch = windows[draws]
    assert batch.frames.shape == (40, T, 32, 32, 3)
    assert batch.frames.dtype == torch.uint8
    assert {window.flip for window in batch.windows} == {True, False}
    for frames, window, clip_id in zip(batch.frames.numpy(), batch.windows, batch.clip_ids, strict=True):
        clip = windows.clips.clips[window.clip]
        assert clip.id == clip_id
        with h5py.File(textures / f"train-{clip.shard:05d}.h5") as file:
            first = int(file["clips/offset"][clip.row]) + window.start
            expected = file["frames"][first : first + T]
        assert window.start + T <= clip.length
        np.testing.assert_array_equal(frames, expected[:, :, ::-1] if window.flip else expected)


def test_every_clip_is_drawn_once_an_epoch_and_orders_differ(windows: ClipWindows) -> None:
    count = len(windows.clips.clips)
    orders = []
    for stream in (DISCRIMINATOR, GENERATOR):
        for epoch in range(6):
            order = tuple(windows.window(Draw(stream, epoch * count + place)).clip for place in range(count))
            assert sorted(order) == list(range(count))
            orders.append(order)
    assert len(set(orders)) > 6


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1), st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_draw_does_not_depend_on_what_was_drawn_before(
    windows: ClipWindows, stream: int, number: int, other: int
) -> None:
    fresh = ClipWindows(windows.clips, frames=T, seed=3, flip=True)
    windows.window(Draw(stream, other))
    assert windows.window(Draw(stream, number)) == fresh.window(Draw(stream, number))


def test_starts_are_uniform_and_half_are_flipped(windows: ClipWindows) -> None:
    drawn = [windows.window(Draw(DISCRIMINATOR, number)) for number in range(4000)]
    assert abs(sum(window.flip for window in drawn) / len(drawn) - 0.5) < 0.05  # 6 standard deviations
    for index, clip in enumerate(windows.clips.clips):
        starts = Counter(window.start for window in drawn if window.clip == index)
        places = clip.length - T + 1
        expected = sum(starts.values()) / places
        assert set(starts) == set(range(places))
        chi_squared = sum((count - expected) ** 2 / expected for count in starts.values())
        assert chi_squared < places + 6 * (2 * places) ** 0.5


def test_seeds_give_other_windows_and_flip_can_be_off(windows: ClipWindows) -> None:
    other = ClipWindows(windows.clips, frames=T, seed=4, flip=True)
    plain = ClipWindows(windows.clips, frames=T, seed=3, flip=False)
    draws = [Draw(GENERATOR, number) for number in range(50)]
    assert [windows.window(draw) for draw in draws] != [other.window(draw) for draw in draws]
    assert not any(plain.window(draw).flip for draw in draws)
    assert [windows.window(draw)[:2] for draw in draws] == [plain.window(draw)[:2] for draw in draws]


def test_the_order_starts_at_any_step() -> None:
    whole = list(BatchOrder(first_step=0, end_step=7, d_passes=2, batch=3))
    rest = list(BatchOrder(first_step=4, end_step=7, d_passes=2, batch=3))
    assert whole[4 * 3 :] == rest
    assert len(whole) == len(BatchOrder(first_step=0, end_step=7, d_passes=2, batch=3)) == 21
    of_d = [draw.number for draws in whole for draw in draws if draw.stream == DISCRIMINATOR]
    of_g = [draw.number for draws in whole for draw in draws if draw.stream == GENERATOR]
    assert of_d == list(range(7 * 2 * 3))
    assert of_g == list(range(7 * 3))


def test_workers_hand_out_the_same_batches(windows: ClipWindows) -> None:
    order = BatchOrder(first_step=2, end_step=5, d_passes=2, batch=2)
    windows.clips.window(0, 0, T)  # this process has the files open already, as a resumed run may
    here = list(batches(windows, order))
    there = list(batches(windows, order, workers=2))
    assert len(here) == len(there) == 9
    for ours, theirs in zip(here, there, strict=True):
        assert ours.clip_ids == theirs.clip_ids
        assert ours.windows == theirs.windows
        assert torch.equal(ours.frames, theirs.frames)


def test_pickling_carries_no_open_file(windows: ClipWindows) -> None:
    windows.clips.window(0, 0, T)
    assert len(pickle.dumps(windows)) < 20_000


def test_an_epoch_is_each_clip_drawn_once_by_d() -> None:
    assert steps_of_epochs(10, clips=12, d_passes=2, batch=2) == 30
    assert steps_of_epochs(1, clips=5, d_passes=2, batch=2) == 2


def test_floats_and_back() -> None:
    frames = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 1, 16, 16, 3)
    floats = to_float(frames, torch.device("cpu"))
    assert floats.shape == (1, 1, 3, 16, 16)
    assert floats.min() == -1.0
    assert floats.max() == 1.0
    np.testing.assert_array_equal(to_uint8(floats), frames.numpy())
    assert to_uint8(torch.full((3, 1, 1), 1.7)).max() == 255


def test_another_size_says_what_to_export(textures: Path) -> None:
    with pytest.raises(DataError, match=r"32x32 frames and this run needs 64x64: .*`curate export --size 64`"):
        open_clips(textures, "train", resolution=64, frames=T)


def test_no_clip_is_long_enough(textures: Path) -> None:
    with pytest.raises(DataError, match=r"all 6 clips of split train .* shorter than 50 frames"):
        open_clips(textures, "train", resolution=32, frames=50)


def test_an_empty_split(tmp_path: Path) -> None:
    folder = write_textures(tmp_path / "shards", {"train": [[30]]})
    clips = open_clips(folder, "val", resolution=32, frames=T)
    assert clips.clips == ()
    with pytest.raises(DataError, match="split val holds no clip"):
        ClipWindows(clips, frames=T, seed=0, flip=True)


def test_bad_folders_and_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder"):
        open_clips(tmp_path / "nothing", "train", resolution=32, frames=T)
    with pytest.raises(ShardError, match="manifest"):
        open_clips(tmp_path, "train", resolution=32, frames=T)
    folder = write_textures(tmp_path / "shards", {"train": [[30], [30]]})
    shard = folder / "train-00001.h5"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ShardError, match="train-00001"):
        open_clips(folder, "train", resolution=32, frames=T)
    shard.write_bytes(whole + b"more")
    with pytest.raises(DataError, match="not the file that the manifest records"):
        open_clips(folder, "train", resolution=32, frames=T)
    shard.write_bytes(whole)
    with h5py.File(shard, "r+") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(ShardError, match="schema version 99"):
        ShardReader(shard).height  # noqa: B018
    shard.unlink()
    with pytest.raises(ShardError, match="no such shard"):
        open_clips(folder, "train", resolution=32, frames=T)
