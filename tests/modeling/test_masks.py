"""Masks from the shards to the generator: where windows start, what is mirrored, what hard masks keep still."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.data.conditions import conditions_of, open_for, remarks_on, windows_for
from modeling.data.examples import example
from modeling.data.masks import one_hot
from modeling.data.windows import DISCRIMINATOR, GENERATOR, ClipWindows, DataError, Draw, batches
from modeling.inference import load_trained, roll_out
from modeling.networks import build_generator
from tests.modeling.conftest import QUICK, Run
from tests.modeling.masked_textures import motion_labels, write_masked

T = 6
CPU = torch.device("cpu")
SPLITS = {
    "train": [(12, (0, 3, 6, 9)), (10, ()), (9, (2,)), (8, (7,)), (6, (0,))],  # 9 and 7 are too late to start at
    "val": [(8, (1,)), (7, ())],
    "test": [(9, (2, 3)), (8, (0,))],
}
KEPT = ("train-101", "train-103", "train-105")


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masked") / "shards"
    write_masked(folder, SPLITS)
    return folder


def _config(*overrides: str) -> Config:
    return apply_overrides(
        presets.get("tiny"), [f"frames={T}", "d_s.frames=3", "generator.ch=2", "mask_classes=1", *overrides]
    )


def _windows(masked: Path, *overrides: str) -> ClipWindows:
    config = _config(*overrides)
    return windows_for(config, open_for(config, masked, "train"))


def test_one_hot_has_a_channel_for_each_class_but_the_still_one() -> None:
    labels = torch.tensor([[[0, 1], [2, 3]], [[3, 3], [0, 0]]], dtype=torch.uint8)
    channels = one_hot(labels, 3, CPU)
    assert channels.shape == (2, 3, 2, 2)
    for b in range(2):
        for m in range(3):
            for y in range(2):
                for x in range(2):
                    assert channels[b, m, y, x] == float(labels[b, y, x] == m + 1)


# -- windows -------------------------------------------------------------------------------------------------------


def test_clips_without_a_mask_to_start_at_are_left_out_and_counted(masked: Path) -> None:
    clips = open_for(_config(), masked, "train")
    assert tuple(clip.id for clip in clips.clips) == KEPT
    assert remarks_on(clips, T) == ["left out 2 clips without a label map at a frame to start at"]
    assert len(open_for(_config("mask_classes=0"), masked, "train").clips) == 5


def test_windows_start_at_masked_frames_and_bring_their_labels_mirrored_as_they_are(masked: Path) -> None:
    windows = _windows(masked)
    seen: dict[str, set[int]] = {name: set() for name in KEPT}
    flips = set()
    for stream in (DISCRIMINATOR, GENERATOR):
        draws = [Draw(stream, number) for number in range(60)]
        batch = windows[draws]
        assert batch.labels is not None
        assert batch.labels.shape == (60, 32, 32)
        assert batch.others is None
        for row, window in enumerate(batch.windows):
            seen[batch.clip_ids[row]].add(window.start)
            flips.add(window.flip)
            labels = windows.clips.labels(window.clip, window.start)
            frames = windows.clips.window(window.clip, window.start, T)
            if window.flip:
                labels, frames = labels[:, ::-1], frames[:, :, ::-1]
            np.testing.assert_array_equal(batch.labels[row].numpy(), labels)
            np.testing.assert_array_equal(batch.frames[row].numpy(), frames)
            corner = batch.labels[row, 0, -1 if window.flip else 0]
            assert int(corner) == window.start % 2  # the map of this very frame
    assert seen == {"train-101": {0, 3, 6}, "train-103": {2}, "train-105": {0}}
    assert flips == {False, True}


def test_windows_are_a_function_of_seed_and_draw_also_with_masks(masked: Path) -> None:
    draws = [Draw(DISCRIMINATOR, number) for number in range(12)]
    whole = _windows(masked, "style_mixing=0.5")[draws]
    fresh = _windows(masked, "style_mixing=0.5")
    assert whole.labels is not None
    for number, draw in reversed(list(enumerate(draws))):
        alone = fresh[[draw]]
        assert alone.windows[0] == whole.windows[number]
        assert torch.equal(alone.frames[0], whole.frames[number])
        for name in ("labels", "others", "other_labels"):
            assert torch.equal(getattr(alone, name)[0], getattr(whole, name)[number]), name
    assert _windows(masked)[draws].windows == whole.windows  # mixing moves no window
    assert _windows(masked, "seed=1")[draws].windows != whole.windows


def test_the_other_clip_is_another_one_and_brings_its_own_mask(masked: Path) -> None:
    windows = _windows(masked, "style_mixing=0.5", "context_frames=2")
    draws = [Draw(GENERATOR, number) for number in range(40)]
    batch = windows[draws]
    assert batch.others is not None
    assert batch.other_labels is not None
    assert batch.others.shape == (40, 2, 32, 32, 3)
    chosen = set()
    for row, draw in enumerate(draws):
        other = windows.other(draw)
        assert other.clip != batch.windows[row].clip
        chosen.add((batch.windows[row].clip, other.clip))
        frames, labels = windows.clips.window(other.clip, other.start, 2), windows.clips.labels(other.clip, other.start)
        if other.flip:
            frames, labels = frames[:, :, ::-1], labels[:, ::-1]
        np.testing.assert_array_equal(batch.others[row].numpy(), frames)
        np.testing.assert_array_equal(batch.other_labels[row].numpy(), labels)
    assert len(chosen) == 6  # every pair of the three clips
    given = conditions_of(batch, _config("style_mixing=0.5", "context_frames=2"), CPU)
    assert given.mask is not None
    assert given.other_context is not None
    assert given.mask.shape == (40, 1, 32, 32)
    assert given.other_context.shape == (40, 2, 3, 32, 32)
    assert torch.equal(given.part(3, 5).other_context, given.other_context[3:5])  # type: ignore[arg-type]


def test_workers_bring_masks_too(masked: Path) -> None:
    windows = _windows(masked)
    order = [[Draw(GENERATOR, 2 * n), Draw(GENERATOR, 2 * n + 1)] for n in range(3)]
    here = [windows[draws] for draws in order]
    there = list(batches(windows, order, workers=1))
    for one, two in zip(here, there, strict=True):
        assert torch.equal(one.labels, two.labels)  # type: ignore[arg-type]


# -- bad data ------------------------------------------------------------------------------------------------------


def test_a_split_without_masks_is_named(masked: Path, textures: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_for(_config(), textures, "train")
    message = str(caught.value)
    assert str(textures) in message
    assert "no clip of split train has a label map at a frame that 6 frames can start at" in message
    assert "curate export --masks" in message
    assert "\n" not in message


def test_a_label_above_the_classes_is_named_with_its_clip(tmp_path: Path) -> None:
    write_masked(tmp_path, {"train": [(8, (1,))]}, add=4)
    with pytest.raises(DataError) as caught:
        open_for(_config("mask_classes=3"), tmp_path, "train")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'train-00000.h5'}: frame 1 of clip train-101 has label 5")
    assert "generator.mask_classes=3 takes 0 (still) to 3" in message
    assert len(open_for(_config("mask_classes=5"), tmp_path, "train").clips) == 1


# -- hard masks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 3])
def test_hard_masks_leave_still_pixels_bit_for_bit(classes: int) -> None:
    generator = build_generator(_config(f"mask_classes={classes}", "mask_mode=hard"))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (1, 32, 32, 3), np.uint8)
    labels = rng.integers(0, classes + 1, (32, 32)).astype(np.uint8)
    clip = roll_out(generator, image, frames=9, seed=3, labels_HW=labels)
    assert (clip[:, labels == 0] == image[0][labels == 0]).all()
    moving = clip[1:, labels > 0].astype(int) - image[0][labels > 0]
    assert (np.abs(moving).max(axis=(0, 2)) > 0).mean() > 0.95
    context = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    mask = one_hot(torch.from_numpy(np.stack([labels, labels.T])), classes, CPU)
    video = generator(context, 5, [1, 2], mask)
    still = (mask.sum(dim=1) == 0)[:, None, None].expand_as(video)
    assert torch.equal(video[still], context.expand_as(video)[still])
    video.sum().backward()  # gradients reach the encoder through the pixels that move
    assert generator.encoder.stem.weight.grad.abs().max() > 0


def test_hard_masks_let_move_what_they_are_told() -> None:
    generator = build_generator(_config("mask_classes=4", "mask_mode=hard", "moving_classes=[2,4]"))
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    labels = np.repeat(np.arange(5, dtype=np.uint8), 7)[:32, None].repeat(32, axis=1)
    clip = roll_out(generator, image, frames=5, seed=3, labels_HW=labels)
    for label in range(5):
        same = (clip[:, labels == label] == image[0][labels == label]).all()
        assert same == (label not in (2, 4)), label


def test_a_mask_changes_what_is_generated_where_it_is_an_input() -> None:
    generator = build_generator(_config())
    image = np.full((1, 32, 32, 3), 90, np.uint8)
    labels = np.zeros((32, 32), np.uint8)
    half = labels.copy()
    half[16:] = 1
    clips: list[NDArray[np.uint8]] = [
        roll_out(generator, image, frames=4, seed=None, labels_HW=mask) for mask in (labels, half)
    ]
    assert (clips[0][1:] != clips[1][1:]).any()
    with pytest.raises(ValueError, match=r"the mask must be \(1, 1, 32, 32\), not None"):
        roll_out(generator, image, frames=4, seed=None)


# -- whole runs ----------------------------------------------------------------------------------------------------


def test_a_run_with_hard_masks_trains_samples_and_is_evaluated(masked: Path, tmp_path: Path, modeling: Run) -> None:
    run = tmp_path / "hard"
    options = [*QUICK, "--set", f"frames={T}", "--set", "d_s.frames=3", "--set", "mask_classes=1"]
    options += ["--set", "mask_mode=hard", "--set", "style_mixing=0.9", "--set", "training.batch=2"]
    result = modeling("train", "--data", masked, "--preset", "tiny", "--run", run, "--steps", 2, *options)
    assert result.exit_code == 0, result.output
    assert "left out 2 clips without a label map" in result.output
    assert len(list((run / "samples").glob("*.mp4"))) == 1

    trained = load_trained(run, CPU)
    clips = open_for(trained.config, masked, "test")
    shown = example(clips, 0, trained.config.generator, T)
    np.testing.assert_array_equal(shown.real, clips.window(0, 2, T))  # the first masked frame is 2
    assert shown.labels is not None
    clip = roll_out(trained.generator, shown.context, frames=T, seed=1, labels_HW=shown.labels)
    still = shown.labels == 0
    assert still.any()
    assert (clip[:, still] == shown.real[0][still]).all()
    assert (clip[1:, ~still] != shown.real[0][~still]).any()
    assert (motion_labels(clip)[still] == 0).all()

    result = modeling("evaluate", "--run", run, "--data", masked, "--json")
    assert result.exit_code == 0, result.output
    protocol = json.loads(result.stdout)["protocol"]
    assert (protocol["n"], protocol["start"], protocol["left_out_unmasked"]) == (2, "first label map", 0)

    image, mask, out = tmp_path / "still.png", tmp_path / "mask.png", tmp_path / "out"
    cv2.imwrite(str(image), shown.real[0][..., ::-1])
    cv2.imwrite(str(mask), shown.labels * 255)
    options = ["--mask", mask, "--frames", 5, "--format", "png"]
    result = modeling("animate", "--run", run, "--out", out, *options, image)
    assert result.exit_code == 0, result.output
    frames = [cv2.imread(str(file))[..., ::-1] for file in sorted((out / "still").glob("*.png"))]
    assert len(frames) == 5
    assert all((frame[still] == shown.real[0][still]).all() for frame in frames)
    assert (frames[4][~still] != shown.real[0][~still]).any()
    result = modeling("animate", "--run", run, "--out", out, image)
    assert result.exit_code == 2
    assert "needs a mask" in result.output


def test_a_run_refuses_data_without_masks(textures: Path, tmp_path: Path, modeling: Run) -> None:
    result = modeling(
        "train", "--data", textures, "--preset", "tiny", "--run", tmp_path / "run", *QUICK, "--set", "mask_classes=1"
    )
    assert result.exit_code == 2
    assert "has a label map at a frame that 8 frames can start at" in result.output
    assert not (tmp_path / "run").exists()
