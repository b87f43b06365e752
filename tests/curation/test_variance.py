"""Eq. 3.18 and 3.19: the streaming score against the text's two passes, written out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation.probe import probe
from curation.scores import ArrayFrame, measure
from curation.scores import variance as module
from curation.scores.frame import frames
from curation.scores.variance import Variance


def two_passes(clip: np.ndarray) -> float:
    """The text: the mean image (Eq. 3.18), then the mean square distance from it (Eq. 3.19), in float64."""
    scaled = clip.astype(np.float64) / 255
    mean = sum(frame for frame in scaled) / len(scaled)
    return float(np.mean(sum((frame - mean) * (frame - mean) for frame in scaled) / len(scaled)))


def streamed(clip: np.ndarray) -> float:
    scorer = Variance()
    measure((ArrayFrame(picture, index / 25) for index, picture in enumerate(clip)), [scorer])
    return scorer.values()["variance"]


@settings(deadline=None)
@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_equals_the_two_pass_text(clip: np.ndarray) -> None:
    assert streamed(clip) == pytest.approx(two_passes(clip), abs=1e-9)


def test_extremes() -> None:
    still = np.full((50, 4, 4, 3), 255, np.uint8)
    assert streamed(still) == 0
    blinking = np.zeros((50, 4, 4, 3), np.uint8)
    blinking[::2] = 255
    assert streamed(blinking) == pytest.approx(0.25, abs=1e-12)


def test_long_clips_stay_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    # The sum is carried over to float64 before float32 stops being exact; made to happen early here.
    monkeypatch.setattr(module, "EXACT_FRAMES", 7)
    clip = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), np.uint8)
    assert streamed(clip) == pytest.approx(two_passes(clip), abs=1e-12)
    assert 2**24 // 255 == 65793


def test_a_change_of_size_is_refused() -> None:
    scorer = Variance()
    scorer.push(ArrayFrame(np.zeros((4, 4, 3), np.uint8), 0.0))
    with pytest.raises(ValueError, match="frame size changes"):
        scorer.push(ArrayFrame(np.zeros((4, 6, 3), np.uint8), 0.04))


def test_on_decoded_video(make_video: Callable[..., Path], tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=40, height=50, width=66)
    info = probe(path)
    scorer = Variance()
    assert measure(frames(path, int(info.pts[5]), int(info.pts[35])), [scorer]) == 30
    with av.open(str(path)) as container:
        clip = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])[5:35]
    assert scorer.values()["variance"] == pytest.approx(two_passes(clip), abs=1e-9)


def test_known_footage(footage: Path) -> None:
    """The value measured independently for the first 300 frames of a real video."""
    info = probe(footage / "stream-of-water.mp4")
    scorer = Variance()
    measure(frames(info.path, int(info.pts[0]), info.end_pts), [scorer])
    assert scorer.values()["variance"] == pytest.approx(0.0086, abs=5e-6)
