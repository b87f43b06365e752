"""`curate import sky-timelapse` and `frames`: numeric order, sizes, splits, videos cut in two."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from curation.importers.images import read_rgb
from db.engine import Catalogue
from tests.curation.import_cases import frames_of, moving_blobs, run, run_import, videos, write_image


def grey(level: int, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


@pytest.fixture
def sky(tmp_path: Path) -> Path:
    """Frame numbers without leading zeros, as 9 and 10: a folder lists them in another order than they were taken."""
    root = tmp_path / "sky_timelapse"
    for side, video, clip in [
        ("sky_train", "07U1fSrk9oI", "07U1fSrk9oI_1"),
        ("sky_train", "rM7aPu9WV2Q", "rM7aPu9WV2Q_1"),
        ("sky_train", "rM7aPu9WV2Q", "rM7aPu9WV2Q_2"),
        ("sky_test", "rM7aPu9WV2Q", "1"),
    ]:
        for number in (8, 9, 10, 11):
            write_image(root / side / video / clip / f"{video}_frames_{number}.jpg", grey(number * 20))
    (root / "readme").write_text("SkyScene")
    return root


def test_sky_clips_in_order_with_their_source_as_group(catalogue: Catalogue, sky: Path) -> None:
    outcome = run_import(catalogue, "sky-timelapse", sky, "--fps", "30")
    assert (outcome["added"], outcome["failures"]) == (4, [])
    assert outcome["splits"] == {"test": 1, "train": 3}
    assert outcome["leaks"] == {"rM7aPu9WV2Q": {"test": 1, "train": 2}}
    assert "leaks: 1 of 2 recordings are on two sides: rM7aPu9WV2Q (test 1, train 2)" in outcome["remarks"]
    found = videos(catalogue)
    assert list(found) == [
        "train-07U1fSrk9oI_1", "train-rM7aPu9WV2Q_1", "train-rM7aPu9WV2Q_2", "test-rM7aPu9WV2Q_1",
    ]  # fmt: skip
    for video in found.values():
        frames = frames_of(catalogue, video)
        assert [round(float(frame.mean()) / 20) for frame in frames] == [8, 9, 10, 11]
        assert video.fps == 30.0
    assert found["test-rM7aPu9WV2Q_1"].source == str(sky / "sky_test" / "rM7aPu9WV2Q" / "1")


def test_damaged_sky_clips_are_named(catalogue: Catalogue, sky: Path) -> None:
    clip = sky / "sky_train" / "07U1fSrk9oI" / "07U1fSrk9oI_1"
    whole = (clip / "07U1fSrk9oI_frames_9.jpg").read_bytes()
    (clip / "07U1fSrk9oI_frames_9.jpg").write_bytes(whole[: len(whole) // 2])
    write_image(sky / "sky_train" / "rM7aPu9WV2Q" / "rM7aPu9WV2Q_2" / "rM7aPu9WV2Q_frames_10.jpg", grey(9, 24, 40))
    (sky / "sky_test" / "empty" / "2").mkdir(parents=True)
    outcome = run_import(catalogue, "sky-timelapse", sky, status=1)
    assert outcome["added"] == 2
    assert {failure["item"]: failure["error"] for failure in outcome["failures"]} == {
        "train-07U1fSrk9oI_1": "corrupt: 07U1fSrk9oI_frames_9.jpg: the file is cut off",
        "train-rM7aPu9WV2Q_2": "corrupt: rM7aPu9WV2Q_frames_10.jpg is 40x24, the frames before it 32x24",
        "sky_test/empty/2": "missing: no images in this folder",
    }
    assert len(list((catalogue.folder / "videos").glob("*.mp4"))) == 2
    (clip / "07U1fSrk9oI_frames_9.jpg").write_bytes(whole)
    assert run_import(catalogue, "sky-timelapse", sky, status=1)["added"] == 1


def test_one_side_alone_and_none(catalogue: Catalogue, sky: Path, tmp_path: Path) -> None:
    (sky / "sky_test").rename(tmp_path / "away")
    outcome = run_import(catalogue, "sky-timelapse", sky, "--dry-run")
    assert outcome["found"] == 3 and "there is no sky_test here" in outcome["remarks"]
    result = run(catalogue, "import", "sky-timelapse", sky / "sky_train")
    assert result.exit_code == 2 and "expected sky_train/<video>/<clip>/*.jpg" in result.output


def test_folders_of_frames(catalogue: Catalogue, tmp_path: Path) -> None:
    root = tmp_path / "footage"
    frames = moving_blobs(12, 16, 24, 1)
    for number, frame in enumerate(frames):
        write_image(root / "river" / f"{number}.png", frame)  # 10.png is listed before 2.png
        write_image(root / "deep" / "sea" / f"f{number:03d}.png", frame)
    write_image(root / "mixed" / "1.png", frames[0])
    write_image(root / "mixed" / "2.png", frames[1, :, :16])
    write_image(root / "poster.png", frames[3])
    outcome = run_import(catalogue, "frames", root, "--label-from-folder", status=1)
    assert outcome["added"] == 2 and outcome["labels"] == {"footage": 1, tmp_path.name: 1}
    (failure,) = outcome["failures"]
    assert failure["error"] == "corrupt: 2.png is 16x16, the frames before it 24x16"
    found = videos(catalogue)
    np.testing.assert_array_equal(frames_of(catalogue, found[str(root / "river")]), frames)
    assert found[str(root)].frames == 1
    deeper = run_import(catalogue, "frames", root, "--recursive", status=1)
    assert (deeper["added"], deeper["already_known"]) == (1, 2)
    np.testing.assert_array_equal(frames_of(catalogue, videos(catalogue)[str(root / "deep" / "sea")]), frames)
    (tmp_path / "nothing" / "in" / "here").mkdir(parents=True)
    result = run(catalogue, "import", "frames", tmp_path / "nothing")
    assert result.exit_code == 2 and "--recursive" in result.output


def test_images_are_read_as_stored(tmp_path: Path) -> None:
    """No turning by EXIF, no alpha, grey as three equal channels."""
    pixels = moving_blobs(1, 16, 24, 5)[0]
    write_image(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), pixels)
    write_image(tmp_path / "grey.png", pixels[:, :, 0])
    np.testing.assert_array_equal(read_rgb(tmp_path / "grey.png"), np.repeat(pixels[:, :, :1], 3, 2))
    _, jpeg = cv2.imencode(".jpg", pixels[:, :, ::-1])
    turned = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "turned.jpg").write_bytes(jpeg.tobytes()[:2] + turned + jpeg.tobytes()[2:])
    assert read_rgb(tmp_path / "turned.jpg").shape == (16, 24, 3)
    assert cv2.imread(str(tmp_path / "turned.jpg")).shape == (24, 16, 3)  # what a viewer would show
