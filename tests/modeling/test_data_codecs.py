"""Shards of JPEG frames, and with extras and masks beside them, as training reads them."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from db.manifest import ShardEntry
from db.shards import ClipRow, Codec, ExtraType, Side, write_manifest, write_shard
from modeling.config import apply_overrides
from modeling.data.windows import DISCRIMINATOR, ClipWindows, Draw, open_clips
from modeling.presets import get
from modeling.training.loop import TrainingRequest, train
from tests.modeling.moving_textures import texture_clip, write_textures

T = 8
JPEG = Codec(name="jpeg")
SPLITS = {"train": [[12, 9], [20]], "val": [[10]], "test": [[10]]}


def test_windows_of_jpeg_shards_are_their_images_and_close_to_raw_ones(tmp_path: Path) -> None:
    """Against another decoder, image by image."""
    raw = write_textures(tmp_path / "raw", SPLITS)
    jpeg = write_textures(tmp_path / "jpeg", SPLITS, codec=JPEG)
    sets = [open_clips(folder, "train", resolution=32, frames=T) for folder in (raw, jpeg)]
    draws = [Draw(DISCRIMINATOR, number) for number in range(12)]
    plain, coded = (ClipWindows(clips, frames=T, seed=5, flip=True)[draws] for clips in sets)
    assert plain.windows == coded.windows
    assert coded.frames.dtype == torch.uint8
    error = (plain.frames.float() - coded.frames.float()).square().mean()
    assert 0 < error < 255**2 / 10**4  # a PSNR above 40 dB
    for frames, window in zip(coded.frames.numpy(), coded.windows, strict=True):
        clip = sets[1].clips[window.clip]
        with h5py.File(jpeg / f"train-{clip.shard:05d}.h5") as file:
            first = int(file["clips/offset"][clip.row]) + window.start
            offsets = file["frame_offset"][first : first + T + 1]
            images = [file["frames_encoded"][a:b].tobytes() for a, b in pairwise(offsets)]
        expected = np.stack([np.asarray(Image.open(io.BytesIO(image)).convert("RGB")) for image in images])
        shown = frames[:, :, ::-1] if window.flip else frames
        assert np.abs(shown.astype(int) - expected).max() <= 1


def test_a_tiny_training_on_jpeg_shards(tmp_path: Path) -> None:
    data = write_textures(tmp_path / "shards", SPLITS, codec=JPEG)
    options = ["frames=8", "d_s.frames=4", "training.batch=1", "generator.ch=4", "d_s.ch=2", "d_t.ch=2"]
    config = apply_overrides(get("tiny"), [*options, "training.steps=2"])
    run = tmp_path / "run"
    train(
        TrainingRequest(
            data=data, run=run, config=config, device=torch.device("cpu"), checkpoint_every=2, sample_every=2
        )
    )
    assert (run / "model.safetensors").is_file()
    assert len((run / "metrics.jsonl").read_text().splitlines()) >= 2


def test_extras_and_masks_of_a_split(tmp_path: Path) -> None:
    lengths = (12, 9)
    rows = [
        ClipRow(id=f"c{n}", video_id=f"v{n}", source_url="", start=0, end=1, fps=25, length=length, side="made")
        for n, length in enumerate(lengths)
    ]
    actions = [np.arange(4 * length, dtype="<f4").reshape(length, 4) + 100 * n for n, length in enumerate(lengths)]
    labels = np.random.default_rng(0).integers(0, 5, (3, 32, 32), dtype=np.uint8)
    sides = [
        Side(extras={"action": actions[0]}, mask_frames=(0, 3, 6), labels=labels),
        Side(extras={"action": actions[1]}),
    ]
    path = tmp_path / "train-00000.h5"
    info = write_shard(
        path,
        split="train",
        height=32,
        width=32,
        fps=25,
        recipe={},
        rows=rows,
        clips=[texture_clip(n, length, 32) for n, length in enumerate(lengths)],
        extras={"action": ExtraType(dtype="<f4", shape=(4,))},
        sides=sides,
    )
    entry = ShardEntry(
        file=path.name,
        split="train",
        sha256=info.sha256,
        bytes=info.bytes,
        clips=2,
        frames=info.frames,
        clip_ids=("c0", "c1"),
    )
    write_manifest(tmp_path, version=1, recipe={}, tools={}, shards=[entry])
    clips = open_clips(tmp_path, "train", resolution=32, frames=T)
    np.testing.assert_array_equal(clips.extra("action", 1, 1, T), actions[1][1 : 1 + T])
    assert clips.masked_starts(0, T) == (0, 3)
    assert clips.masked_starts(0, 6) == (0, 3, 6)
    assert clips.masked_starts(1, T) == ()
    np.testing.assert_array_equal(clips.labels(0, 3), labels[1])
    with pytest.raises(KeyError):
        clips.labels(1, 0)
    with pytest.raises(KeyError):
        clips.extra("depth", 0, 0, T)
