"""`curate import moving-mnist` and `mocogan`: arrays and strips to exact videos."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import StageError
from curation.importers import making
from curation.importers.lossless import write_lossless
from curation.importers.mocogan import split_strip
from db.engine import Catalogue
from tests.curation.import_cases import frames_of, moving_blobs, run, run_import, videos, write_image


def digits(count: int) -> np.ndarray:
    """(20, count, 64, 64) uint8, as mnist_test_seq.npy."""
    return np.random.default_rng(0).integers(0, 256, (20, count, 64, 64), np.uint8)


def test_moving_mnist(catalogue: Catalogue, tmp_path: Path) -> None:
    np.save(tmp_path / "mnist_test_seq.npy", digits(4))
    outcome = run_import(catalogue, "moving-mnist", tmp_path, "--limit", "3")
    assert (outcome["added"], outcome["splits"]) == (3, {"test": 3})
    found = videos(catalogue)
    assert list(found) == ["00000", "00001", "00002"]
    for number, video in enumerate(found.values()):
        expected = np.repeat(digits(4)[:, number, :, :, None], 3, axis=3)
        np.testing.assert_array_equal(frames_of(catalogue, video), expected)
        assert video.frames == 20 and video.id == f"moving-mnist-{number:05d}"
    more = run_import(catalogue, "moving-mnist", tmp_path / "mnist_test_seq.npy")
    assert (more["added"], more["already_known"]) == (1, 3)


def test_a_full_disk_stops_the_import_and_keeps_what_is_made(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "mnist_test_seq.npy", digits(12)[:2])
    written: list[Path] = []

    def until_full(path: Path, frames: Iterable[np.ndarray], fps: Fraction) -> int:
        if len(written) >= 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        return write_lossless(path, frames, fps)

    monkeypatch.setattr(making, "write_lossless", until_full)
    result = run(catalogue, "import", "moving-mnist", tmp_path)
    assert result.exit_code == 1 and "disk-full: No space left on device" in result.output
    assert len(videos(catalogue)) == len(written) == 3
    monkeypatch.undo()
    outcome = run_import(catalogue, "moving-mnist", tmp_path)
    assert (outcome["added"], outcome["already_known"]) == (9, 3)


def test_moving_mnist_with_sequences_for_training(catalogue: Catalogue, tmp_path: Path) -> None:
    np.save(tmp_path / "mnist_test_seq.npy", digits(4))
    outcome = run_import(catalogue, "moving-mnist", tmp_path, "--train", "3", "--dry-run")
    assert outcome["splits"] == {"test": 1, "train": 3}
    result = run(catalogue, "import", "moving-mnist", tmp_path, "--train", "5")
    assert result.exit_code == 2 and "5 sequences for train, but there are 4" in result.output


def test_what_is_no_moving_mnist(catalogue: Catalogue, tmp_path: Path) -> None:
    def told(path: Path) -> str:
        result = run(catalogue, "import", "moving-mnist", path)
        assert result.exit_code == 2 and "Traceback" not in result.output
        return result.output

    assert "expected the file mnist_test_seq.npy" in told(tmp_path)
    file = tmp_path / "mnist_test_seq.npy"
    np.save(file, np.zeros((20, 3, 64), np.uint8))
    assert "found (20, 3, 64) uint8" in told(file)
    np.save(file, np.zeros((20, 3, 64, 64)))
    assert "found (20, 3, 64, 64) float64" in told(file)
    np.save(file, np.array([{}], object), allow_pickle=True)
    assert "expected an array of (frames, sequences, height, width)" in told(file)
    np.save(file, digits(2))
    file.write_bytes(file.read_bytes()[:-9])
    assert "expected an array of (frames, sequences, height, width)" in told(file)
    np.savez(tmp_path / "a.npz", a=digits(1))
    assert "an archive of arrays" in told(tmp_path / "a.npz")


def test_strips_lying_and_standing(catalogue: Catalogue, tmp_path: Path) -> None:
    actions = tmp_path / "data" / "actions"
    blobs = {(label, number): moving_blobs(5, 16, 16, label * 8 + number) for label in (0, 3) for number in (2, 10)}
    for (label, number), frames in blobs.items():
        axis = 1 if label == 0 else 0
        write_image(actions / str(label) / f"{number:08d}.png", np.concatenate(list(frames), axis))
    write_image(actions / "0" / "00000011.png", blobs[0, 2][0])  # one frame
    write_image(actions / "0" / "00000012.png", np.concatenate(list(blobs[0, 2]), 1)[:, :-3])
    (actions / "0" / "00000013.png").write_bytes(b"no image")
    outcome = run_import(catalogue, "mocogan", actions, "--fps", "10", status=1)
    assert outcome["added"] == 4 and outcome["labels"] == {"0": 2, "3": 2}
    assert {failure["item"]: failure["error"].split(":")[0] for failure in outcome["failures"]} == {
        "actions-0-00000011": "unsupported",
        "actions-0-00000012": "unsupported",
        "actions-0-00000013": "corrupt",
    }
    found = videos(catalogue)
    for (label, number), frames in blobs.items():
        video = found[f"actions-{label}-{number:08d}"]
        np.testing.assert_array_equal(frames_of(catalogue, video), frames)
        assert (video.label, video.fps) == (str(label), 10.0)


def test_two_strips_of_one_name(catalogue: Catalogue, tmp_path: Path) -> None:
    strip = np.concatenate(list(moving_blobs(3, 8, 8, 0)), 1)
    for name in ("1.png", "1.bmp"):
        write_image(tmp_path / "shapes" / "0" / name, strip)
    outcome = run_import(catalogue, "mocogan", tmp_path / "shapes", status=1)
    assert outcome["added"] == 1
    assert outcome["failures"][0]["error"] == "unsupported: another item of this data set has the same name"
    result = run(catalogue, "import", "mocogan", tmp_path)
    assert result.exit_code == 2 and "expected folders of classes with image strips" in result.output


@given(count=st.integers(2, 9), side=st.integers(1, 9), standing=st.booleans())
def test_strips_are_split_into_their_squares(count: int, side: int, standing: bool) -> None:
    frames = np.arange(count * side * side * 3, dtype=np.int64).astype(np.uint8).reshape(count, side, side, 3)
    strip = np.concatenate(list(frames), 0 if standing else 1)
    np.testing.assert_array_equal(np.stack(split_strip(strip)), frames)
    with pytest.raises(StageError, match="no strip"):
        split_strip(frames[0])
