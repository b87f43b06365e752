"""Lossless files: the same frames back, byte for byte, at exact times, through the pipeline's own ways to frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.decode import resized, rgb
from curation.errors import StageError
from curation.importers.lossless import read_fps, write_lossless
from curation.probe import check_decodes, probe
from tests.curation.import_cases import moving_blobs


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 5),
    height=st.integers(8, 90),
    width=st.integers(8, 90),
    fps=st.sampled_from(["25", "30000/1001", "12.5", "1", "7", "1000/3", "1000"]),
    seed=st.integers(0, 9),
)
def test_frames_and_times_come_back(
    tmp_path_factory: pytest.TempPathFactory, count: int, height: int, width: int, fps: str, seed: int
) -> None:
    path = tmp_path_factory.mktemp("lossless") / "a.mp4"
    frames = moving_blobs(count, height, width, seed)
    assert write_lossless(path, iter(frames), Fraction(fps)) == count
    info = probe(path)
    check_decodes(info)
    assert [info.seconds(int(pts)) for pts in info.pts] == [k / Fraction(fps) for k in range(count)]
    assert info.duration == count / Fraction(fps)
    assert (info.width, info.height, info.codec) == (width, height, "ffv1")
    back = [frame.copy() for frame in rgb(path, int(info.pts[0]), info.end_pts)]
    np.testing.assert_array_equal(np.stack(back), frames)


def test_export_size_equal_to_source_size_changes_nothing(tmp_path: Path) -> None:
    frames = moving_blobs(4, 64, 64, 1)
    write_lossless(tmp_path / "a.mp4", frames, Fraction(25))
    info = probe(tmp_path / "a.mp4")
    back = [frame.copy() for _, frame in resized(info.path, int(info.pts[0]), info.end_pts, height=64, width=64)]
    np.testing.assert_array_equal(np.stack(back), frames)


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_lossless(tmp_path / name, moving_blobs(6, 48, 64, 2), Fraction(25))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("shapes", "words"),
    [([], "no frames"), ([(64, 64), (64, 48)], "frame 2 is 48x64, those before 64x64"), ([(7, 64)], "64x7")],
)
def test_nothing_is_left_of_a_refused_video(tmp_path: Path, shapes: list[tuple[int, int]], words: str) -> None:
    with pytest.raises(StageError, match=words):
        write_lossless(tmp_path / "a.mp4", (np.zeros((*shape, 3), np.uint8) for shape in shapes), Fraction(25))
    assert list(tmp_path.iterdir()) == []


def test_frame_rates_are_read_exactly() -> None:
    assert read_fps("29.97") == Fraction(2997, 100)
    assert read_fps("30000/1001") == Fraction(30000, 1001)
    for text in ("0", "-1", "1001", "fast", "1/0", "nan", "inf"):
        with pytest.raises(ValueError, match="frame rate"):
            read_fps(text)
