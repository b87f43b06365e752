"""Clips that are of one video are alike: intervals draw videos, and halves of the real clips share none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling.data.windows import open_clips
from modeling.evaluation.distances import frechet, moments, neighbours, score_of_classes
from modeling.evaluation.numbers import halves_of
from tests.modeling.conftest import Run
from tests.modeling.moving_textures import write_textures


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=30), st.integers(0, 9))
def test_halves_share_no_video(videos: list[int], seed: int) -> None:
    numbers = np.array(videos)
    first, second = halves_of(numbers, seed)
    assert sorted([*first, *second]) == list(range(len(videos)))
    assert not set(numbers[first]) & set(numbers[second])
    largest = max(videos.count(video) for video in videos)
    assert abs(len(first) - len(second)) <= largest


def test_intervals_of_clips_that_are_copies_are_those_of_their_videos() -> None:
    """Each video twice says no more than once: a spread over clips alone would be narrower."""
    random = np.random.default_rng(0)
    once, other = random.normal(size=(30, 4, 3)), random.normal(1, 2, size=(30, 4, 3))
    twice, copies = once.repeat(2, axis=0), other.repeat(2, axis=0)
    videos = np.arange(30).repeat(2)
    [_, of_videos] = frechet(twice, copies, moments(twice), draws=300, seed=0, videos=(videos, videos))
    [_, of_clips] = frechet(twice, copies, moments(twice), draws=300, seed=0)
    [_, expected] = frechet(once, other, moments(once), draws=300, seed=0)
    assert of_videos is not None and of_clips is not None and expected is not None
    assert of_videos.high - of_videos.low == pytest.approx(expected.high - expected.low, rel=0.1)
    assert of_clips.high - of_clips.low < 0.85 * (expected.high - expected.low)
    wide, narrow = (score_of_classes(5 * copies, 1, draws=300, seed=0, videos=of)[2] for of in (videos, None))
    assert wide is not None and narrow is not None and wide.high - wide.low > narrow.high - narrow.low
    assert neighbours(twice, copies, 5, (videos, videos))[1].tolist() == np.arange(30).repeat(8).tolist()


def test_clips_of_one_video_give_no_intervals(trained_run: Path, modeling: Run, tmp_path: Path) -> None:
    """Two videos give wider ones than as many videos as clips, and one gives none, which is said."""
    found = {}
    for per_video in (1, 3, 6):
        lengths = {"train": [[9] * 6], "test": [[9] * 6]}
        shards = write_textures(tmp_path / f"shards-{per_video}", lengths, per_video=per_video)
        clips = open_clips(shards, "test", resolution=32, frames=8).clips
        assert len({clip.video for clip in clips}) == 6 // per_video
        out = tmp_path / f"out-{per_video}"
        arguments = ["--metrics", "proxy,psnr,prdc,motion", "--out", str(out)]
        result = modeling("evaluate", "--run", trained_run, "--data", shards, *arguments)
        assert result.exit_code == 0, result.output
        [file] = out.glob("*.json")
        found[per_video] = json.loads(file.read_text())
        assert ("of one video: no intervals" in result.output) == (per_video == 6)
        assert (f"rest on {6 // per_video} videos: too few" in result.output) == (per_video < 6)
        assert f"6 clips of test from {6 // per_video} videos;" in result.output
        assert found[per_video]["protocol"]["videos"] == 6 // per_video
    for name, number in found[6]["metrics"]["model"].items():
        assert number["low"] is None and number["value"] == found[1]["metrics"]["model"][name]["value"]
    assert "real_against_real" not in found[6]["metrics"] and "proxy-fd" in found[3]["metrics"]["real_against_real"]
    psnr = [found[per_video]["metrics"]["model"]["psnr"] for per_video in (1, 3)]
    assert all(number["low"] < number["value"] < number["high"] for number in psnr)
    assert found[1]["protocol"]["protocol_hash"] == found[6]["protocol"]["protocol_hash"]
