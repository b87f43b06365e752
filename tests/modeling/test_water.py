"""The drawn clips that generators are compared on: repeatable, split by scene, moving where there is water alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.water.fields import TILE, noise_tile, sample, wave_slopes
from benchmarks.water.scene import KINDS, kind_of, render
from benchmarks.water.shards import scenes_of_splits, write_water
from db.shards import ShardReader, read_manifest
from modeling.data.windows import open_clips

SEEDS = {kind: next(seed for seed in range(100) if kind_of(seed) == kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_water_moves_and_land_stands_still(kind: str) -> None:
    for seed in [seed for seed in range(60) if kind_of(seed) == kind][:3]:
        clip = render(seed, 0, 12, 32)
        assert clip.shape == (12, 32, 32, 3)
        moving = clip.astype(float).std(axis=0).mean(axis=-1)
        assert moving.max() > 3, f"seed {seed}: nothing moves"
        # Land, rocks and sky: a tenth of the frame and more moves less than the last bit of the rounding.
        assert np.mean(moving < 0.6) > 0.1, f"seed {seed}: everything moves"
        assert clip[0].std() > 8, f"seed {seed}: an even picture"


def test_a_clip_is_a_function_of_scene_and_take() -> None:
    seed = SEEDS["river"]
    first = render(seed, 0, 6, 32)
    np.testing.assert_array_equal(first, render(seed, 0, 6, 32))
    assert not np.array_equal(first, render(seed, 1, 6, 32))
    assert not np.array_equal(first, render(seed + 1, 0, 6, 32))


def test_motion_goes_on_and_does_not_jump() -> None:
    """A frame is nearer to the next than to one much later: video, not noise."""
    nearer = 0
    for seed in range(12):
        clip = render(seed, 0, 16, 32).astype(float)
        steps = np.abs(np.diff(clip, axis=0)).mean()
        far = np.abs(clip[8:] - clip[:-8]).mean()
        nearer += bool(steps < 0.9 * far)
    assert nearer >= 9


def test_larger_frames_show_the_same_scene() -> None:
    for seed in (SEEDS["sea"], SEEDS["fall"]):
        small, large = render(seed, 0, 2, 32)[0].astype(float), render(seed, 0, 2, 64)[0].astype(float)
        averaged = large.reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
        assert np.corrcoef(small.ravel(), averaged.ravel())[0, 1] > 0.9


def test_tiles_repeat_without_a_seam() -> None:
    tile = noise_tile(np.random.default_rng(0))
    y, x = (values.astype(np.float32) for values in np.mgrid[0:40, 0:40] * 3.3 - 50)
    here = sample(tile, x, y)
    np.testing.assert_allclose(here, sample(tile, x + TILE, y - 3 * TILE), atol=2e-3)
    whole = np.arange(TILE, dtype=np.float32)
    row = sample(tile, whole[None], np.zeros((1, TILE), np.float32))
    np.testing.assert_allclose(row[0], tile[0], atol=1e-5)
    assert abs(tile.mean()) < 1e-5
    assert tile.std() == pytest.approx(1, abs=1e-4)


def test_waves_travel() -> None:
    """Half a period later the longest waves are turned over; a whole one later they are back."""
    slopes = wave_slopes(np.random.default_rng(3), np.array([0.0, 0.5, 1.0]), peak=2.0, spread=0.0)
    assert slopes.std() == pytest.approx(1, abs=0.1)
    start, half, whole = (slopes[number].ravel() for number in range(3))
    assert np.corrcoef(start, whole)[0, 1] > np.corrcoef(start, half)[0, 1]


def test_splits_share_no_scene(tmp_path: Path) -> None:
    counts = write_water(tmp_path / "data", side=16, clips=13, frames=5, takes=2, seed=4)
    assert counts == {"train": 10, "val": 2, "test": 1}
    scenes: dict[str, set[str]] = {}
    for split in counts:
        clips = open_clips(tmp_path / "data", split, resolution=16, frames=5)
        assert len(clips.clips) == counts[split]
        scenes[split] = {row.video_id for reader in clips.readers for row in reader.rows}
    assert sum(map(len, scenes.values())) == len(set.union(*scenes.values())) == 7
    reader = ShardReader(tmp_path / "data" / "test-00000.h5")
    np.testing.assert_array_equal(reader.window(0, 0, 5), render(4_000_006, 0, 5, 16))
    assert reader.rows[0].label == kind_of(4_000_006)


def test_the_same_numbers_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_water(tmp_path / name, side=16, clips=3, frames=4, takes=1, seed=0)
    for entry in read_manifest(tmp_path / "one").shards:
        digests = [hashlib.sha256((tmp_path / name / entry.file).read_bytes()).hexdigest() for name in ("one", "two")]
        assert digests[0] == digests[1] == entry.sha256


def test_a_folder_with_files_is_left_alone_and_a_stopped_one_removed(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        write_water(tmp_path, side=16, clips=3, frames=4, takes=1, seed=0)
    assert (tmp_path / "kept.txt").read_text() == "mine"

    def stop(clip: int, clips: int) -> None:
        if clip == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_water(tmp_path / "data", side=16, clips=3, frames=4, takes=1, seed=0, done=stop)
    assert not (tmp_path / "data").exists()


def test_every_split_has_a_scene() -> None:
    assert {split: len(numbers) for split, numbers in scenes_of_splits(3).items()} == {"train": 1, "val": 1, "test": 1}
    assert {split: len(numbers) for split, numbers in scenes_of_splits(240).items()} == {
        "train": 180, "val": 12, "test": 48,
    }  # fmt: skip
    with pytest.raises(ValueError, match="more clips"):
        scenes_of_splits(2)
