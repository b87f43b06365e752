"""Extras and masks in exports: the rows of the frames that the time grid took, the maps where the frames are."""

from __future__ import annotations

import hashlib
import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import webdataset
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import select

from curation.commands import main
from curation.exporting.resample import Grid, fill, shown
from curation.exporting.side import masks_of_clips
from curation.masks.given import mask_path, write_mask
from db.engine import open_catalogue
from db.models import Clip, Extra, Mask, Video
from db.shards import ShardReader
from tests.curation.export_cases import add_video, make_dataset, moving_frames, write_video


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a and b: 2 clips each, train; v: 60 frames at uneven times, train; c: val."""
    folder = tmp_path_factory.mktemp("prepared") / "set"
    with make_dataset(folder, {"a": "train", "b": "train", "c": "val"}) as catalogue:
        times = np.cumsum([0, *([20, 60, 60] * 20)])[:60].tolist()
        path = write_video(
            folder / "videos" / "v.mp4", moving_frames(60, 48, 64, 3), time_base=Fraction(1, 1000), pts=times
        )
        add_video(catalogue, path)
        with catalogue.writing() as session:
            for video in session.scalars(select(Video)):
                video.frames, video.fps = (60, 60 / 2.8) if video.id == "file-v" else (50, 25.0)
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def export(dataset: Path, *arguments: object, status: int = 0) -> dict[str, Any]:
    options = ["export", "--dataset", dataset, "--size", 16, "--workers", 1, "--json", *arguments]
    result = CliRunner().invoke(main, [str(option) for option in options])
    assert result.exit_code == status, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def verify(dataset: Path) -> None:
    result = CliRunner().invoke(main, ["verify", "--dataset", str(dataset)])
    assert result.exit_code == 0, result.output


def add_extra(dataset: Path, video: str, name: str, values: NDArray[Any]) -> Path:
    path = dataset / "videos" / f"{video}.{name}.npy"
    np.save(path, values)
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        session.merge(Extra(video_id=f"file-{video}", name=name, path=f"videos/{path.name}", sha256=digest))
    return path


def add_mask(dataset: Path, video: str, pts: int, labels: NDArray[np.uint8], origin: str = "given") -> Path:
    content = cv2.imencode(".png", labels)[1].tobytes()
    digest = hashlib.sha256(content).hexdigest()
    stored = mask_path(f"file-{video}", pts, origin, digest)  # type: ignore[arg-type]
    write_mask(dataset, stored, content)
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.merge(Mask(video_id=f"file-{video}", pts=pts, origin=origin, path=stored, sha256=digest))
    return dataset / stored


def readers(dataset: Path) -> dict[str, tuple[ShardReader, int]]:
    """Each clip of the newest export -> its shard and place."""
    manifest = json.loads((dataset / "shards" / "manifest.json").read_text())
    return {
        clip: (ShardReader(dataset / "shards" / shard["file"]), number)
        for shard in manifest["shards"]
        for number, clip in enumerate(shard["clip_ids"])
    }


def clips_of(dataset: Path, video: str) -> list[Clip]:
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        return list(session.scalars(select(Clip).where(Clip.video_id == f"file-{video}").order_by(Clip.index)))


@settings(deadline=None)
@given(
    gaps=st.lists(st.integers(1, 400) | st.integers(1, 4), min_size=1, max_size=30),
    start=st.integers(-1000, 100_000),
    base=st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 25)]),
    fps=st.sampled_from([None, *map(Fraction, ("1", "10", "25", "30000/1001", "60"))]),
)
def test_rows_are_those_of_the_frames_that_fill_shows(
    gaps: list[int], start: int, base: Fraction, fps: Fraction | None
) -> None:
    times = np.cumsum([start, *gaps]).tolist()
    grid = Grid(start_pts=start, end_pts=times[-1], time_base=base, frame_count=len(times) - 1, fps=fps)
    assume(grid.length <= 300)
    out = np.full((grid.length, 1, 1, 3), 255, np.uint8)
    fill(((time, np.full((1, 1, 3), n, np.uint8)) for n, time in enumerate(times[:-1])), grid, out)
    assert shown(times[:-1], grid).tolist() == out[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("fps", ["native", "25", "10"])
def test_rows_of_an_extra_follow_the_frames(dataset: Path, fps: str) -> None:
    """The extra is the frame's own number: what stands beside a frame tells which source frame it is."""
    for video, count in (("a", 50), ("v", 60)):
        numbers = np.arange(count, dtype=np.float64)
        add_extra(dataset, video, "action", np.stack([numbers, -numbers], axis=1))
        add_extra(dataset, video, "number", np.arange(count, dtype=">i4"))
    export(dataset, "--fps", fps)
    verify(dataset)
    where = readers(dataset)
    export(dataset, "--fps", "native", "--format", "webdataset", "--codec", "raw")
    for video in ("a", "v"):
        # Native frames, clip after clip, are all frames of the video from the first clip on.
        for clip in clips_of(dataset, video):
            reader, place = where[clip.id]
            length = reader.rows[place].length
            rows = reader.extra("number", place, 0, length)
            assert rows.dtype == np.dtype("<i4")
            np.testing.assert_array_equal(reader.extra("action", place, 0, length), np.stack([rows, -rows], 1))
            first = 0 if clip.index == 0 else clips_of(dataset, video)[0].frame_count
            if fps == "native":
                np.testing.assert_array_equal(rows, np.arange(first, first + clip.frame_count))
            else:
                native = next(
                    sample["frames.npy"]
                    for sample in webdataset.WebDataset(
                        [str(path) for path in sorted((dataset / "webdataset").glob("train-*.tar"))], shardshuffle=False
                    ).decode()
                    if sample["json"]["id"] == clip.id
                )
                np.testing.assert_array_equal(reader.clip(place), native[rows - first])


def test_all_clips_of_a_shard_have_the_same_extras(dataset: Path) -> None:
    add_extra(dataset, "a", "action", np.zeros((50, 4), np.float32))
    add_extra(dataset, "v", "action", np.zeros((60, 2), np.float32))
    told = export(dataset)
    assert told["shards_written"] == 4
    groups = {}
    for file in sorted((dataset / "shards").glob("*.h5")):
        reader = ShardReader(file)
        groups[file.name] = (reader.extras, {row.video_id for row in reader.rows})
    assert groups == {
        "train-00000.h5": ((), {"file-b"}),
        "train-00001.h5": (("action",), {"file-v"}),
        "train-00002.h5": (("action",), {"file-a"}),
        "val-00000.h5": ((), {"file-c"}),
    }
    assert export(dataset)["new_version"] is False
    with h5py.File(dataset / "shards" / "train-00000.h5") as file:
        assert "extras" not in file
        assert "side" not in file["clips"]


def test_another_extra_makes_another_shard(dataset: Path) -> None:
    export(dataset)
    add_extra(dataset, "c", "action", np.zeros((50, 4), np.float32))
    told = export(dataset)
    assert (told["shards_written"], told["shards_kept"], told["version"]) == (1, 1, 2)
    assert [row.side != "" for row in ShardReader(dataset / "shards" / "val-00001.h5").rows] == [True, True]
    add_extra(dataset, "c", "action", np.ones((50, 4), np.float32))
    assert export(dataset)["shards_written"] == 1
    reader = ShardReader(dataset / "shards" / "val-00002.h5")
    assert reader.extra("action", 0, 0, 25).min() == 1
    verify(dataset)
    result = CliRunner().invoke(main, ["export", "--dataset", str(dataset), "--diff", "2", "3"])
    assert "with other extras or masks: file-c-" in result.output


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "extra action is gone"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"!"), "extra action was changed"),
        (lambda path: path.write_bytes(b"no array"), "extra action cannot be read"),
    ],
)
def test_an_extra_that_cannot_be_read_fails_its_clips_alone(dataset: Path, spoil: Any, said: str) -> None:
    path = add_extra(dataset, "a", "action", np.zeros((50, 4), np.float32))
    whole = path.read_bytes()
    spoil(path)
    told = export(dataset, status=1)
    assert {failure["item"] for failure in told["failures"]} == {clip.id for clip in clips_of(dataset, "a")}
    assert all(said in failure["error"] for failure in told["failures"])
    assert told["clips"] == 6
    verify(dataset)
    path.write_bytes(whole)
    assert export(dataset)["clips"] == 8
    verify(dataset)


def test_an_extra_of_another_length_is_refused(dataset: Path) -> None:
    add_extra(dataset, "a", "action", np.zeros((49, 4), np.float32))
    told = export(dataset, status=1)
    assert "extra action has 49 rows, the video 50 frames" in told["failures"][0]["error"]
    add_extra(dataset, "a", "action", np.array([["x"] * 4] * 50))
    told = export(dataset, status=1)
    assert "is not one row of numbers a frame" in told["failures"][0]["error"]


def test_rows_are_found_without_the_whole_video_where_frames_are_even(dataset: Path) -> None:
    for video, count in (("a", 50), ("v", 60)):
        add_extra(dataset, video, "number", np.arange(count, dtype=np.int32))
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        for name in ("file-a", "file-v"):
            video = session.get_one(Video, name)
            assert video.path is not None
            for clip in video.clips:
                clip.path, clip.sha256, clip.bytes = video.path, video.sha256, video.bytes
            video.path = None
    told = export(dataset, "--fps", "native", status=1)
    assert {failure["item"] for failure in told["failures"]} == {clip.id for clip in clips_of(dataset, "v")}
    assert "frames are not evenly spaced" in told["failures"][0]["error"]
    where = readers(dataset)
    for clip, first in zip(clips_of(dataset, "a"), (0, 25), strict=True):
        reader, place = where[clip.id]
        np.testing.assert_array_equal(reader.extra("number", place, 0, 25), np.arange(first, first + 25))


def test_masks_stand_at_the_frames_that_show_theirs(dataset: Path) -> None:
    """In an uneven video at 10 fps: a mask of a frame that the grid leaves out is left out."""
    clips = clips_of(dataset, "v")
    clip = clips[0]
    times = np.cumsum([0, *([20, 60, 60] * 20)])[:60] * clip.time_base_den // 1000
    rng = np.random.default_rng(0)
    maps = {int(pts): rng.integers(0, 200, (48, 64), dtype=np.uint8) for pts in times[:12]}
    for pts, labels in maps.items():
        add_mask(dataset, "v", pts, labels)
    add_mask(dataset, "v", int(times[0]), np.zeros((48, 64), np.uint8), origin="motion")
    assert "masks" not in json.loads(ShardReader(_only(dataset, export(dataset))).attributes["recipe"])
    for fps, number in (("native", 1), ("10", 2), ("60", 3)):
        export(dataset, "--masks", "given", "--fps", fps, "--fit", "squash")
        reader = ShardReader(dataset / "shards" / f"train-0000{number}.h5")
        place = [row.id for row in reader.rows].index(clip.id)
        inside = [int(pts) for pts in times if clip.start_pts <= pts < clip.end_pts]
        grid = Grid(
            start_pts=clip.start_pts,
            end_pts=clip.end_pts,
            time_base=Fraction(clip.time_base_num, clip.time_base_den),
            frame_count=clip.frame_count,
            fps=None if fps == "native" else Fraction(fps),
        )
        showing = shown(inside, grid).tolist()
        expected = {showing.index(n): maps[pts] for n, pts in enumerate(inside) if pts in maps and n in showing}
        assert reader.masked_frames(place) == tuple(expected)
        for frame, labels in expected.items():
            nearest = labels[(np.arange(16) * 2 + 1) * 48 // 32][:, (np.arange(16) * 2 + 1) * 64 // 32]
            np.testing.assert_array_equal(reader.labels(place, frame), nearest)
        verify(dataset)
    assert len(ShardReader(dataset / "shards" / "train-00002.h5").masked_frames(0)) < 12
    export(dataset, "--masks", "motion")
    reader = ShardReader(dataset / "shards" / "train-00004.h5")
    place = [row.id for row in reader.rows].index(clip.id)
    assert reader.masked_frames(place) == (0,)
    assert reader.labels(place, 0).max() == 0


def _only(dataset: Path, told: dict[str, Any]) -> Path:
    assert told["version"] == 1
    return dataset / "shards" / "train-00000.h5"


def test_masks_go_into_tars_as_they_go_into_shards(dataset: Path) -> None:
    labels = np.random.default_rng(1).integers(0, 9, (48, 64), dtype=np.uint8)
    clip = clips_of(dataset, "a")[1]
    add_mask(dataset, "a", clip.start_pts, labels)
    add_extra(dataset, "a", "action", np.arange(200, dtype=np.float32).reshape(50, 4))
    assert "1 of 8 clips have masks (given)" in export(dataset, "--masks", "given")["remarks"]
    assert "0 of 8 clips have masks (motion)" in export(dataset, "--masks", "motion")["remarks"]
    export(dataset, "--masks", "given")
    export(dataset, "--masks", "given", "--format", "webdataset")
    reader, place = readers(dataset)[clip.id]
    tars = [str(path) for path in sorted((dataset / "webdataset").glob("*.tar"))]
    samples = {s["json"]["id"]: s for s in webdataset.WebDataset(tars, shardshuffle=False).decode("rgb8")}
    sample = samples[clip.id]
    np.testing.assert_array_equal(sample["0000.mask.png"][:, :, 0], reader.labels(place, 0))
    np.testing.assert_array_equal(sample["action.npy"], reader.extra("action", place, 0, 25))
    assert (sample["json"]["masks"], sample["json"]["extras"]) == ([0], ["action"])
    result = CliRunner().invoke(main, ["verify", str(dataset / "webdataset")])
    assert result.exit_code == 0, result.output


def test_a_mask_that_was_changed_or_is_gone_fails_its_clip_alone(dataset: Path) -> None:
    clip = clips_of(dataset, "a")[0]
    path = add_mask(dataset, "a", clip.start_pts, np.zeros((48, 64), np.uint8))
    whole = path.read_bytes()
    for spoil, said in (
        (lambda: path.write_bytes(whole + b"!"), "the mask was changed"),
        (path.unlink, "No such file"),
    ):
        spoil()
        told = export(dataset, "--masks", "given", status=1)
        assert [failure["item"] for failure in told["failures"]] == [clip.id]
        assert said in told["failures"][0]["error"]
        assert told["clips"] == 7
        path.write_bytes(whole)
    assert export(dataset, "--masks", "given")["clips"] == 8
    add_mask(dataset, "a", clip.start_pts, np.zeros((24, 32), np.uint8))
    told = export(dataset, "--masks", "given", status=1)
    assert "32x24, the frames are 64x48" in told["failures"][0]["error"]
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        assert set(masks_of_clips(session, "given")) == {clip.id}
