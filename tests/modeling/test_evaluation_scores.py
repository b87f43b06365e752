"""The report against independent computation, its baselines, and where it must say "undefined"."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from modeling.data.windows import DataError, open_clips
from modeling.evaluation.measures import FrameScores, Span
from modeling.evaluation.pipeline import EvaluationRequest, evaluate
from modeling.evaluation.report import as_markdown
from modeling.evaluation.scores import frame_summary, motion_map, motion_summary, pearson
from modeling.inference import Trained, load_trained, roll_out
from tests.modeling.moving_textures import texture_clip, write_textures

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained(trained_run: Path) -> Trained:
    return load_trained(trained_run, CPU)


def scored(clip: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, Any]:
    """The summary of one clip's frames after the first."""
    measure = FrameScores(Span(1, len(clip)), clip.shape[1])
    arrays = measure(clip[None], truth[None])
    assert measure.ssim is not None
    return frame_summary(arrays[measure.psnr], arrays[measure.ssim])


def test_the_report_equals_a_slow_twin(trained: Trained, textures: Path) -> None:
    clips = open_clips(textures, "test", resolution=32, frames=6)
    report = evaluate(EvaluationRequest(trained=trained, clips=clips, frames=6, seed=4, motion=True))
    decibels, copied, pooled = [], [], []
    for index in range(3):
        real = clips.window(index, 0, 6)
        sample = roll_out(trained.generator, real[:1], frames=6, seed=4 + index)
        quiet = roll_out(trained.generator, real[:1], frames=6, seed=None)
        for t in range(1, 6):
            for made, into in ((sample[t], decibels), (real[0], copied)):
                mse = np.mean((made.astype(float) - real[t].astype(float)) ** 2)
                into.append(10 * math.log10(255**2 / mse))
        pooled.append([np.std(clip[1:].astype(float), axis=0).mean(axis=-1).ravel() for clip in (quiet, real)])
    assert report["model"]["psnr"] == pytest.approx(np.mean(decibels), abs=1e-9)
    assert report["copied_frame"]["psnr"] == pytest.approx(np.mean(copied), abs=1e-9)
    assert report["model"]["psnr_per_frame"][2] == pytest.approx(np.mean(decibels[2::5]), abs=1e-9)
    x, y = np.concatenate([p[0] for p in pooled]), np.concatenate([p[1] for p in pooled])
    assert report["motion"]["trained"]["r"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    each = [np.corrcoef(a, b)[0, 1] for a, b in pooled]
    assert report["motion"]["trained"]["r_mean_of_clips"] == pytest.approx(np.mean(each), abs=1e-9)
    assert report["motion"]["untrained"]["r"] != report["motion"]["trained"]["r"]
    protocol = report["protocol"]
    assert (protocol["n"], protocol["frames"], protocol["scored_frames"], protocol["stride"]) == (3, 6, 5, 1)
    assert (protocol["split"], protocol["resolution"], protocol["seed"], protocol["step"]) == ("test", 32, 4, 3)
    json.dumps(report, allow_nan=False)


def test_a_copied_frame_does_not_move(trained: Trained, textures: Path) -> None:
    clips = open_clips(textures, "test", resolution=32, frames=5)
    report = evaluate(EvaluationRequest(trained=trained, clips=clips, frames=5, motion=True, limit=2))
    assert report["protocol"]["n"] == 2
    copied = report["motion"]["copied_frame"]
    assert copied == {"r": None, "r_mean_of_clips": None, "undefined_clips": 2}
    page = as_markdown(report, "name")
    assert "| input frame copied | undefined | undefined |" in page
    assert "Evaluation of name, step 3" in page


def test_perfect_frames_are_counted_and_left_out() -> None:
    clip = texture_clip(1, 4, 16)
    changed = clip.copy()
    changed[2] ^= 1  # every value off by one: 48.13 dB
    summary = scored(changed, clip)
    assert summary["identical_frames"] == 2
    assert summary["psnr"] == pytest.approx(20 * math.log10(255))
    assert summary["psnr_per_frame"] == [None, pytest.approx(20 * math.log10(255)), None]
    assert summary["ssim_per_frame"][0] == pytest.approx(1.0)
    whole = scored(clip, clip)
    assert whole["psnr"] is None
    assert whole["ssim"] == pytest.approx(1.0)


def test_frame_zero_is_left_out() -> None:
    clip = texture_clip(2, 5, 16)
    other = clip.copy()
    other[0] = 255 - other[0]
    assert scored(other, clip)["identical_frames"] == 4
    np.testing.assert_array_equal(motion_map(other), motion_map(clip))


def test_samples_that_move_like_the_real_clip_correlate() -> None:
    clip = texture_clip(3, 20, 24)
    fainter = (128 + (clip.astype(int) - 128) // 2).astype(np.uint8)
    still = np.repeat(clip[:1], 20, axis=0)
    real, made = motion_map(clip), motion_map(fainter)
    assert motion_summary(made[None], real[None])["r"] > 0.99
    both = motion_summary(np.stack([made, motion_map(still)]), np.stack([real, real]))
    assert both["undefined_clips"] == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=3, max_size=30))
def test_pearson_equals_numpys(pairs: list[tuple[float, float]]) -> None:
    x, y = np.array(pairs).T
    r = pearson(x, y)
    if x.std() < 1e-6 or y.std() < 1e-6:
        return
    assert r == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)


def test_pearson_of_what_does_not_vary_is_undefined() -> None:
    assert pearson(np.zeros((2, 2)), np.arange(4.0)) is None
    assert pearson(np.arange(4.0), np.arange(4.0) * -3) == pytest.approx(-1)


def test_a_split_without_clips(trained: Trained, tmp_path: Path) -> None:
    data = write_textures(tmp_path / "shards", {"train": [[30]]})
    clips = open_clips(data, "test", resolution=32, frames=5)
    with pytest.raises(DataError, match="split test holds no clip to evaluate on"):
        evaluate(EvaluationRequest(trained=trained, clips=clips, frames=5))
