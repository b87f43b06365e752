"""JPEG and WebDataset exports: the same bytes again, small steps, two lines of versions, read by their own library."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from click.testing import CliRunner
from PIL import Image
from sqlalchemy import select

import curation.exporting.shards
from curation.commands import main
from curation.exporting.export import export_clips, newest_shards
from curation.exporting.plan import Prescribed, newest_export, newest_exports
from curation.exporting.recipe import FORMATS, ExportRecipe
from curation.exporting.webdataset_reader import TarReader, open_shard
from db.engine import open_catalogue
from db.models import Clip, Decision, Shard, Video
from db.shards import Codec, ShardError, ShardReader, read_manifest
from db.states import ClipState, move_clips
from tests.curation.export_cases import add_video, make_dataset, moving_frames, write_video

VIDEOS = {"a": "train", "b": "train", "c": "val", "d": "test"}
WAYS = {
    "raw": (),
    "jpeg": ("--codec", "jpeg"),
    "webdataset": ("--format", "webdataset"),
    "webdataset raw": ("--format", "webdataset", "--codec", "raw"),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "set"
    make_dataset(folder, VIDEOS).close()
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def curate(*arguments: object, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, [*map(str, arguments), "--json"])
    assert result.exit_code == status, result.output
    if not result.stdout:
        assert "Traceback" not in result.stderr
        return {"error": result.stderr.strip()}
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def export(dataset: Path, *arguments: object, status: int = 0) -> dict[str, Any]:
    return curate("export", "--dataset", dataset, "--size", 16, "--workers", 1, *arguments, status=status)


def folder_of(dataset: Path, way: str) -> Path:
    return dataset / ("webdataset" if way.startswith("webdataset") else "shards")


def state_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every shard's bytes and time of change."""
    files = [path for path in folder.iterdir() if path.suffix in (".h5", ".tar")]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(files)}


def move(dataset: Path, clip: str, state: ClipState) -> None:
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        verdict = "accept" if state == ClipState.ACCEPTED else "reject"
        session.add(Decision(clip_id=clip, annotator="tester", verdict=verdict))
        assert move_clips(session, [clip], state) == 1


def clips_of(dataset: Path, video: str) -> list[str]:
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        return list(session.scalars(select(Clip.id).where(Clip.video_id == f"file-{video}").order_by(Clip.index)))


@pytest.mark.parametrize("way", WAYS)
def test_twice_is_the_same_bytes_without_a_decode_and_one_clip_more_is_one_small_shard(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    late = clips_of(dataset, "b")[1]
    move(dataset, late, ClipState.REJECTED)
    elsewhere = Path(shutil.copytree(dataset, tmp_path / "elsewhere" / "set"))
    told = export(dataset, *WAYS[way])
    assert (told["version"], told["clips"], told["shards_written"]) == (1, 7, 3)
    before = state_of(folder_of(dataset, way))
    with monkeypatch.context() as patch:
        patch.setattr(curation.exporting.shards, "read_clip", None)  # a decode would call it
        again = export(dataset, *WAYS[way])
    assert (again["version"], again["new_version"], again["shards_kept"]) == (1, False, 3)
    assert state_of(folder_of(dataset, way)) == before
    # Another folder, two workers: the same bytes.
    export(elsewhere, *WAYS[way], "--workers", 2)
    there = state_of(folder_of(elsewhere, way))
    assert {name: content for name, (content, _) in there.items()} == {
        name: content for name, (content, _) in before.items()
    }
    assert (folder_of(dataset, way) / "manifest.json").read_bytes() == (
        folder_of(elsewhere, way) / "manifest.json"
    ).read_bytes()
    move(dataset, late, ClipState.ACCEPTED)
    told = export(dataset, *WAYS[way])
    assert (told["version"], told["clips"], told["shards_written"], told["shards_kept"]) == (2, 8, 1, 3)
    after = state_of(folder_of(dataset, way))
    assert {name: after[name] for name in before} == before
    (new,) = after.keys() - before.keys()
    assert [row.id for row in open_shard(folder_of(dataset, way) / new).rows] == [late]
    assert curate("verify", folder_of(dataset, way))["faults"] == 0


def test_jpeg_shards_hold_the_raw_frames_nearly_in_fewer_bytes(dataset: Path) -> None:
    export(dataset)
    told = export(dataset, "--codec", "jpeg", "--quality", 90)
    assert told["shards_written"] == 3
    assert curate("verify", "--dataset", dataset)["faults"] == 0
    raw = ShardReader(dataset / "shards" / "train-00000.h5")
    jpeg = ShardReader(dataset / "shards" / "train-00001.h5")
    assert jpeg.attributes["codec"] == "jpeg"
    assert json.loads(jpeg.attributes["recipe"])["quality"] == 90
    assert [row.id for row in raw.rows] == [row.id for row in jpeg.rows]
    for clip in range(len(raw.rows)):
        assert np.abs(raw.clip(clip).astype(int) - jpeg.clip(clip)).mean() < 5
    assert raw.clip_sha256 != jpeg.clip_sha256
    # Another quality is another recipe.
    assert export(dataset, "--codec", "jpeg")["shards_written"] == 3


def test_old_recipes_keep_their_hashes() -> None:
    """Shards of earlier versions go on to serve."""
    settings = {"kind": "export", "version": 1, "size": 128, "fit": "crop", "fps": "25", "codec": "raw"}
    assert ExportRecipe().settings() == settings
    for recipe in (
        ExportRecipe(fps=None, fit="squash"),
        ExportRecipe(codec=Codec(name="jpeg", quality=80), masks="motion", format="webdataset"),
    ):
        assert ExportRecipe.of_settings(recipe.settings()) == recipe
    for wrong in ({}, {**settings, "codec": "webp"}, {**settings, "extra": 1}, {**settings, "size": "128"}):
        with pytest.raises(ValueError):
            ExportRecipe.of_settings(wrong)


def test_the_webdataset_library_reads_what_shards_hold(dataset: Path) -> None:
    export(dataset)
    told = export(dataset, "--format", "webdataset", "--codec", "raw")
    assert told["version"] == 2
    told = export(dataset, "--format", "webdataset")
    assert told["remarks"][0] == "version 3: webdataset/manifest-3.json, and manifest.json"
    reader = ShardReader(dataset / "shards" / "train-00000.h5")
    raw = list(webdataset.WebDataset(str(dataset / "webdataset" / "train-00000.tar"), shardshuffle=False).decode())
    jpeg = list(
        webdataset.WebDataset(str(dataset / "webdataset" / "train-00001.tar"), shardshuffle=False).decode("rgb8")
    )
    assert len(raw) == len(jpeg) == len(reader.rows) == 4
    for number, (row, plain, coded) in enumerate(zip(reader.rows, raw, jpeg, strict=True)):
        assert plain["__key__"] == coded["__key__"] == row.id
        np.testing.assert_array_equal(plain["frames.npy"], reader.clip(number))
        images = np.stack([coded[f"{frame:04d}.jpg"] for frame in range(row.length)])
        assert np.abs(images.astype(int) - reader.clip(number)).mean() < 4
        for sample in (plain, coded):
            assert (sample["json"]["source_url"], sample["json"]["licence"]) == (row.source_url, "CC0")
            assert (sample["json"]["start"], sample["json"]["end"], sample["json"]["fps"]) == (row.start, row.end, 25)
            assert sample["json"]["export"]["split"] == "train"
        assert plain["json"]["sha256"] == reader.clip_sha256[number]


def test_a_tar_is_plain_and_its_reader_agrees_with_another(dataset: Path) -> None:
    export(dataset, "--format", "webdataset")
    path = dataset / "webdataset" / "val-00000.tar"
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
        first = tar.extractfile(members[0])
        assert first is not None
        image = np.asarray(Image.open(io.BytesIO(first.read())).convert("RGB"))
    reader = TarReader(path)
    assert members[0].name == f"{reader.rows[0].id}.0000.jpg"
    assert np.abs(image.astype(int) - reader.clip(0)[0]).max() <= 1
    assert (reader.split, reader.height, reader.width, reader.fps) == ("val", 16, 16, 25.0)
    assert (reader.frame_count, reader.frame_shape, reader.offsets) == (50, (16, 16, 3), (0, 25))
    manifest = read_manifest(dataset / "webdataset")
    assert manifest.recipe["format"] == "webdataset"
    assert [entry.file for entry in manifest.shards] == ["train-00000.tar", "val-00000.tar", "test-00000.tar"]


def test_damage_to_a_tar_is_found_and_named(dataset: Path) -> None:
    export(dataset, "--format", "webdataset", "--codec", "raw")
    path = dataset / "webdataset" / "val-00000.tar"
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        spans = {member.name: (member.offset_data, member.size) for member in tar}
    for row in TarReader(path).rows:
        start, size = spans[f"{row.id}.frames.npy"]
        for place in (3, 200, size // 2, size - 1):
            data = bytearray(whole)
            data[start + place] ^= 1
            path.write_bytes(data)
            assert TarReader(path).damaged_clips() == [row.id]
            told = curate("verify", path, status=1)
            assert [failure["error"] for failure in told["failures"]] == [
                f"the frames of clip {row.id} are not those that were written"
            ]
    for position in range(0, len(whole), 1501):
        data = bytearray(whole)
        data[position] ^= 1 << position % 8
        path.write_bytes(data)
        try:
            TarReader(path).damaged_clips()
        except ShardError as error:
            assert str(path) in str(error)
    for size in (0, 100, 512, 5000, len(whole) // 2, len(whole) - 11000):
        path.write_bytes(whole[:size])
        with pytest.raises(ShardError, match=r"val-00000\.tar"):
            TarReader(path).rows  # noqa: B018
    path.unlink()
    with pytest.raises(ShardError, match="no such shard"):
        TarReader(path).rows  # noqa: B018


def test_the_two_formats_keep_to_themselves(dataset: Path) -> None:
    assert export(dataset)["version"] == 1
    assert export(dataset, "--format", "webdataset")["version"] == 2
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        newest = newest_exports(session)
        assert {name: export.version for name, export in newest.items()} == {"hdf5": 1, "webdataset": 2}
        assert newest_export(session) is newest["hdf5"]
        for name, layout in FORMATS.items():
            files = set(newest_shards(session, name).values())
            assert files == {f"{layout.folder}/{split}-00000{layout.suffix}" for split in ("train", "val", "test")}
    # Neither notices the other.
    assert export(dataset)["new_version"] is False
    assert export(dataset, "--format", "webdataset")["new_version"] is False
    assert curate("verify", "--dataset", dataset)["faults"] == 0
    shutil.rmtree(dataset / "webdataset")
    assert export(dataset)["new_version"] is False
    told = export(dataset, "--format", "webdataset")
    assert (told["shards_written"], told["version"]) == (3, 3)
    assert sorted(path.name for path in (dataset / "webdataset").glob("*.tar")) == [
        f"{split}-00001.tar" for split in ("test", "train", "val")
    ]


def test_a_clip_that_does_not_decode_leaves_no_trace_in_a_tar(dataset: Path, tmp_path: Path) -> None:
    straight = Path(shutil.copytree(dataset, tmp_path / "straight" / "set"))
    (dataset / "videos" / "a.mp4").unlink()
    told = export(dataset, "--format", "webdataset", status=1)
    assert (told["clips"], {failure["item"] for failure in told["failures"]}) == (6, set(clips_of(dataset, "a")))
    for clip in clips_of(straight, "a"):
        move(straight, clip, ClipState.REJECTED)
    export(straight, "--format", "webdataset")
    both = [
        {name: data for name, (data, _) in state_of(folder / "webdataset").items()} for folder in (dataset, straight)
    ]
    assert both[0] == both[1]


def test_an_id_with_a_dot_is_one_sample(dataset: Path) -> None:
    """WebDataset takes all that follows a name's first dot for the member's kind."""
    path = write_video(dataset / "videos" / "e.f.mp4", moving_frames(50, 48, 64, 3))
    with open_catalogue(dataset) as catalogue:
        ids = add_video(catalogue, path)
        assert all("." in clip for clip in ids)
    export(dataset, "--format", "webdataset", "--codec", "raw")
    tar = dataset / "webdataset" / "train-00000.tar"
    samples = list(webdataset.WebDataset(str(tar), shardshuffle=False).decode())
    assert [sample["json"]["id"] for sample in samples] == [row.id for row in TarReader(tar).rows]
    assert set(ids) < {sample["json"]["id"] for sample in samples}
    assert TarReader(tar).damaged_clips() == []


def test_diff_tells_clips_shards_and_recipe(dataset: Path) -> None:
    late, gone = clips_of(dataset, "b")[1], clips_of(dataset, "a")[0]
    move(dataset, late, ClipState.REJECTED)
    export(dataset)
    move(dataset, late, ClipState.ACCEPTED)
    move(dataset, gone, ClipState.REJECTED)
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.connection().exec_driver_sql("UPDATE splits SET name = 'train' WHERE video_id = 'file-c'")
    export(dataset, "--fps", 10)
    told = curate("export", "--dataset", dataset, "--diff", 1, 2)
    counts = {name: told[name] for name in ("clips_added", "clips_removed", "clips_moved", "clips_kept")}
    assert counts == {"clips_added": 1, "clips_removed": 1, "clips_moved": 2, "clips_kept": 4}
    diff = told["diff"]
    assert diff["added"] == {"train": [late], "val": [], "test": []}
    assert diff["removed"] == {"train": [gone], "val": [], "test": []}
    assert diff["moved"] == [{"clip": clip, "from": "val", "to": "train"} for clip in clips_of(dataset, "c")]
    assert diff["recipe"] == {"fps": {"from": "25", "to": "10"}}
    assert diff["shards"]["new"] == ["shards/test-00001.h5", "shards/train-00001.h5"]
    assert diff["shards"]["dropped"] == ["shards/test-00000.h5", "shards/train-00000.h5", "shards/val-00000.h5"]
    assert "recipe: fps was 25, is 10" in told["remarks"]
    back = curate("export", "--dataset", dataset, "--diff", 2, 1)["diff"]
    assert (back["added"], back["removed"]) == (diff["removed"], diff["added"])
    same = curate("export", "--dataset", dataset, "--diff", 1, 1)
    assert (same["clips_added"], same["clips_kept"], same["shards_kept"], same["diff"]["recipe"]) == (0, 7, 3, {})
    error = curate("export", "--dataset", dataset, "--diff", 1, 7, status=2)["error"]
    assert error.endswith("--diff: there is no version 7; there are: 1 (hdf5), 2 (hdf5)")


def test_a_prescribed_layout_is_made_as_told_and_the_rest_as_ever(dataset: Path) -> None:
    a, b = clips_of(dataset, "a"), clips_of(dataset, "b")
    told = [
        Prescribed(file="train-00004.h5", split="train", clips=(b[1], a[0])),
        Prescribed(file="val-00000.h5", split="val", clips=("gone",)),
        Prescribed(file="test-00000.h5", split="train", clips=(a[1],)),
        Prescribed(file="train-00005.h5", split="train", clips=(b[1],)),  # has a place already
        Prescribed(file="other.h5", split="train", clips=(b[0],)),
    ]
    recipe = ExportRecipe(size=16)
    with open_catalogue(dataset) as catalogue:
        export_clips(catalogue, recipe, prescribed=told)
    entries = {entry.file: entry.clip_ids for entry in read_manifest(dataset / "shards").shards}
    assert entries["train-00004.h5"] == (b[1], a[0])
    # Names that were told rightly and not used stay free for their clips.
    assert entries["train-00006.h5"] == (a[1], b[0])
    assert set(entries) == {"train-00004.h5", "train-00006.h5", "val-00001.h5", "test-00000.h5"}
    # With all in place there is nothing to prescribe.
    assert export(dataset)["new_version"] is False


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--quality", "90"], "raw frames have no quality"),
        (["--codec", "jpeg", "--quality", "0"], "not in the range"),
        (["--codec", "png"], "is not one of"),
        (["--format", "zip"], "is not one of"),
        (["--masks", "painted"], "is not one of"),
        (["--diff", "1"], "requires 2 arguments"),
    ],
)
def test_bad_options_are_refused(dataset: Path, options: list[str], said: str) -> None:
    result = CliRunner().invoke(main, ["export", "--dataset", str(dataset), *options])
    assert result.exit_code == 2
    assert said in result.stderr


def test_clips_of_files_of_their_own_give_the_same_bytes(dataset: Path, tmp_path: Path) -> None:
    """A section keeps the source's timestamps: its frames land in the shard as those of the whole video would."""
    other = Path(shutil.copytree(dataset, tmp_path / "other" / "set"))
    export(dataset)
    with open_catalogue(other) as catalogue, catalogue.writing() as session:
        video = session.get_one(Video, "file-a")
        assert video.path is not None
        kept = catalogue.path("clips/own.mp4")
        shutil.move(catalogue.path(video.path), kept)
        for clip in video.clips:
            clip.path, clip.sha256, clip.bytes = "clips/own.mp4", video.sha256, video.bytes
        video.path = None
    export(other)
    assert state_of(other / "shards")["train-00000.h5"][0] == state_of(dataset / "shards")["train-00000.h5"][0]
    with open_catalogue(other) as catalogue, catalogue.reading() as session:
        assert len(session.scalars(select(Shard)).all()) == 3
