"""`curate import bair`: frames, actions and positions of TFRecords, exactly, and all the way to a shard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from db.engine import Catalogue
from db.models import Clip, Extra, Query, Video
from db.shards import ShardReader
from db.states import VideoState
from tests.curation.download_cases import fetch
from tests.curation.import_cases import (
    example,
    extras_of,
    framed,
    frames_of,
    push,
    run,
    run_import,
    videos,
    write_tfrecords,
)


@pytest.fixture
def robot(tmp_path: Path) -> Path:
    """softmotion30_44k with 2 files of 2 records for train and 1 record for test, 3 frames each."""
    root = tmp_path / "softmotion30_44k"
    write_tfrecords(root / "train" / "traj_0_to_255.tfrecords", [push(1)[0], push(2)[0]])
    write_tfrecords(root / "train" / "traj_1024_to_1279.tfrecords", [push(3)[0], push(4)[0]])
    write_tfrecords(root / "test" / "traj_0_to_255.tfrecords", [push(5)[0]])
    return root


def test_frames_actions_and_positions_are_kept_exactly(catalogue: Catalogue, robot: Path) -> None:
    outcome = run_import(catalogue, "bair", robot)
    assert (outcome["added"], outcome["already_known"], outcome["failures"]) == (5, 0, [])
    assert outcome["splits"] == {"test": 1, "train": 4}
    assert outcome["leaks"] == {}
    found = videos(catalogue)
    assert list(found) == [
        "train-traj_0_to_255-001",
        "train-traj_0_to_255-002",
        "train-traj_1024_to_1279-001",
        "train-traj_1024_to_1279-002",
        "test-traj_0_to_255-001",
    ]
    for seed, video in enumerate(found.values(), 1):
        _, frames, actions, positions = push(seed)
        np.testing.assert_array_equal(frames_of(catalogue, video), frames)
        extras = extras_of(catalogue, video)
        assert set(extras) == {"action", "endeffector_pos"}
        assert extras["action"].dtype == np.float32
        np.testing.assert_array_equal(extras["action"], actions)
        np.testing.assert_array_equal(extras["endeffector_pos"], positions)
    last = found["test-traj_0_to_255-001"]
    assert last.source == f"{robot}/test/traj_0_to_255.tfrecords#1"
    assert (last.state, last.official_split, last.provider) == (VideoState.DOWNLOADED, "test", "bair")
    assert (last.width, last.height, last.frames, last.fps, last.codec) == (64, 64, 3, 25.0, "ffv1")
    assert last.path == f"videos/{last.id}.mp4" and last.licence and last.tools


def test_the_other_camera_is_another_video_of_the_same_group(catalogue: Catalogue, robot: Path) -> None:
    run_import(catalogue, "bair", robot)
    outcome = run_import(catalogue, "bair", robot, "--camera", "main", "--fps", "10")
    assert outcome["added"] == 5
    one, other = (videos(catalogue)[f"train-traj_0_to_255-001{camera}"] for camera in ("", "-main"))
    np.testing.assert_array_equal(frames_of(catalogue, other), push(1)[1][:, ::-1])
    assert one.group_key == other.group_key and other.fps == 10.0


def test_again_does_nothing_and_lost_files_are_made_again(catalogue: Catalogue, robot: Path) -> None:
    run_import(catalogue, "bair", robot)
    before = {path.name: path.read_bytes() for path in (catalogue.folder / "videos").glob("bair-*")}
    assert len(before) == 15
    assert [run_import(catalogue, "bair", robot)[key] for key in ("added", "already_known")] == [0, 5]
    lost, taken_down, *_ = videos(catalogue).values()
    catalogue.path(str(lost.path)).unlink()
    catalogue.path(str(taken_down.path)).unlink()
    with catalogue.writing() as session:
        session.get_one(Video, taken_down.id).state = VideoState.TAKEN_DOWN
    outcome = run_import(catalogue, "bair", robot)
    assert (outcome["added"], outcome["already_known"], outcome["made_again"]) == (0, 4, 1)
    assert catalogue.path(str(lost.path)).read_bytes() == before[f"{lost.id}.mp4"]
    assert not catalogue.path(str(taken_down.path)).exists()
    with catalogue.reading() as session:
        assert len(session.scalars(select(Extra)).all()) == 10
        assert len(session.scalars(select(Query)).all()) == 2


def test_a_made_file_that_is_lost_leads_back_to_the_import(catalogue: Catalogue, robot: Path) -> None:
    run_import(catalogue, "bair", robot)
    lost, kept, *_ = videos(catalogue).values()
    path = catalogue.path(str(lost.path))
    whole = path.read_bytes()
    path.unlink()
    assert run(catalogue, "cut").exit_code == 1
    report = fetch(catalogue, retry=True)
    assert [(failed.id, failed.error.message) for failed in report.failed] == [
        (lost.id, f"{path}: gone; make it again with: curate import bair")
    ]
    assert run_import(catalogue, "bair", robot)["made_again"] == 1
    assert path.read_bytes() == whole
    # A made file that failed for another reason is checked in its place, not fetched.
    with catalogue.writing() as session:
        session.get_one(Video, kept.id).state = VideoState.FAILED
    assert fetch(catalogue, retry=True).done == [kept.id]
    again = videos(catalogue)[kept.provider_id]
    assert (again.path, again.sha256, again.state) == (kept.path, kept.sha256, VideoState.DOWNLOADED)
    assert set(extras_of(catalogue, again)) == {"action", "endeffector_pos"}


def test_damaged_records_are_named_and_the_rest_goes_on(catalogue: Catalogue, robot: Path) -> None:
    file = robot / "train" / "traj_0_to_255.tfrecords"
    good = push(1)[0]
    bad_data = bytearray(framed(push(2)[0]))
    bad_data[5000] ^= 1
    short = example({"0/image_aux1/encoded": b"\0" * 100, "0/action": [0.0] * 4, "0/endeffector_pos": [0.0] * 3})
    no_action = example({"0/image_aux1/encoded": b"\0" * 12288, "0/endeffector_pos": [0.0] * 3})
    few = example({"0/image_aux1/encoded": b"\0" * 12288, "0/action": [0.0] * 3, "0/endeffector_pos": [0.0] * 3})
    other = example({"move/0/image/encoded": b"jpeg"})
    tail = framed(push(6)[0])[:9000]
    file.write_bytes(
        framed(good)
        + bytes(bad_data)
        + b"".join(map(framed, [short, no_action, few, other, b"\xff", push(7)[0]]))
        + tail
    )
    outcome = run_import(catalogue, "bair", robot, status=1)
    assert outcome["added"] == 5
    failed = {failure["item"]: failure["error"] for failure in outcome["failures"]}
    stem = "train-traj_0_to_255-00"
    assert failed == {
        f"{file.name}, record 2": "corrupt: its data does not match its checksum",
        f"{stem}3": "corrupt: 0/image_aux1/encoded has 100 bytes, not the 12,288 of 64x64 RGB",
        f"{stem}4": "corrupt: it has no 0/action",
        f"{stem}5": "corrupt: 0/action has 3 numbers, not 4",
        f"{stem}6": "corrupt: it has no 0/image_aux1/encoded",
        f"{stem}7": "corrupt: it is no tf.train.Example",
        f"{file.name}, record 9": "corrupt: the file ends within it; nothing more of the file can be read",
    }
    assert f"{stem}8" in videos(catalogue)
    assert outcome["splits"] == {"test": 1, "train": 4}
    left = {path.name.split(".")[0] for path in (catalogue.folder / "videos").glob("bair-*")}
    assert left == {video.id for video in videos(catalogue).values()}


def test_dry_run_counts_alone(catalogue: Catalogue, robot: Path) -> None:
    outcome = run_import(catalogue, "bair", robot.parent, "--dry-run")
    assert (outcome["found"], outcome["splits"]) == (5, {"test": 1, "train": 4})
    assert videos(catalogue) == {} and list((catalogue.folder / "videos").iterdir()) == []


def test_another_layout_is_refused(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.jpg").touch()
    result = run(catalogue, "import", "bair", tmp_path / "pictures")
    assert result.exit_code == 2
    assert "expected train/*.tfrecords and test/*.tfrecords (the folder softmotion30_44k); found 1.jpg" in result.output


def test_from_records_to_a_shard(catalogue: Catalogue, tmp_path: Path) -> None:
    """Imported, cut, scored, accepted, split and exported at 64x64, frames, actions and positions are the records'."""
    root = tmp_path / "softmotion30_44k"
    write_tfrecords(root / "train" / "traj_0_to_255.tfrecords", [push(seed, 30)[0] for seed in (1, 2)])
    write_tfrecords(root / "test" / "traj_0_to_255.tfrecords", [push(3, 30)[0]])
    run_import(catalogue, "bair", root)
    for command in (["cut"], ["score", "--workers", "1"], ["filter"], ["preview", "--workers", "1"]):
        result = run(catalogue, *command)
        assert result.exit_code == 0, result.output
    accepted = run(catalogue, "run", "--accept-unreviewed", "--size", "64", "--json")
    assert accepted.exit_code == 0, accepted.output
    with catalogue.reading() as session:
        clips = {clip.id: clip.video_id for clip in session.scalars(select(Clip))}
    by_video = {video.id: video for video in videos(catalogue).values()}
    manifest = json.loads((catalogue.folder / "shards" / "manifest.json").read_text())
    seen = 0
    for shard in manifest["shards"]:
        with ShardReader(catalogue.folder / "shards" / shard["file"]) as reader:
            for index, row in enumerate(reader.rows):
                video = by_video[clips[row.id]]
                seed = int(video.provider_id[-1]) if video.official_split == "train" else 3
                _, frames, actions, positions = push(seed, 30)
                assert reader.split == video.official_split
                np.testing.assert_array_equal(reader.clip(index), frames)
                np.testing.assert_array_equal(reader.extra("action", index, 0, 30), actions)
                np.testing.assert_array_equal(reader.extra("endeffector_pos", index, 0, 30), positions)
                seen += 1
    assert seen == 3
