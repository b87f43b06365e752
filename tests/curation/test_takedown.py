"""A take-down removes a video everywhere and touches nothing else; killed anywhere, the same command finishes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import curation.exporting.export
import curation.exporting.rewrite
import curation.upkeep.takedown
from curation.commands import main
from curation.exporting.lock import exporting
from curation.exporting.webdataset_reader import open_shard
from curation.providers.found import video_id
from db.engine import open_catalogue
from db.models import Clip, Extra, Mask, Preview, Section, Shard, Video
from db.shards import read_manifest
from tests.curation.export_cases import add_video, make_dataset, moving_frames, write_video

CLIP = 25 * 16 * 16 * 3
OPTIONS = ["--size", "16", "--shard-size", str(3 * CLIP), "--workers", "1"]
TAR = ["--format", "webdataset", "--shard-size", str(3 * CLIP // 5)]  # JPEG is counted as a fifth


def curate(folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, [arguments[0], "--dataset", str(folder), "--json", *arguments[1:]])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else {"error": result.stderr.strip()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five HDF5 shards (raw) and as many tars (JPEG) of five videos; video b stands in two shards of each."""
    folder = tmp_path_factory.mktemp("prepared") / "set"
    with make_dataset(folder, {"a": "train", "b": "train", "c": "train", "d": "val", "f": "train"}) as catalogue:
        outside = write_video(folder.parent / "e.mp4", moving_frames(50, 48, 64, 9))
        add_video(catalogue, outside, split="test")
    curate(folder, "export", *OPTIONS)
    curate(folder, "export", *OPTIONS, *TAR)
    assert [e.file for e in read_manifest(folder / "shards").shards] == [
        "train-00000.h5", "train-00001.h5", "train-00002.h5", "val-00000.h5", "test-00000.h5",
    ]  # fmt: skip
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def files(folder: Path, kind: str) -> dict[str, tuple[bytes, int]]:
    """Each shard's bytes and time of change."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted((folder / kind).iterdir())
        if path.suffix in (".h5", ".tar")
    }


def ids(folder: Path, kind: str = "shards") -> dict[str, list[str]]:
    return {entry.file: list(entry.clip_ids) for entry in read_manifest(folder / kind).shards}


def test_only_the_shards_that_held_it_are_made_anew(dataset: Path) -> None:
    before = {kind: files(dataset, kind) for kind in ("shards", "webdataset")}
    listed = {kind: ids(dataset, kind) for kind in before}
    for path in (dataset / "videos").glob("*.mp4"):
        path.unlink()  # nothing is decoded
    told = curate(dataset, "takedown", "file-a", "--reason", "its owner asked")
    assert (told["taken_down"], told["clips"], told["shards_rewritten"]) == (["file-a"], 2, 2)
    for kind, suffix in (("shards", ".h5"), ("webdataset", ".tar")):
        after = files(dataset, kind)
        old = f"train-00000{suffix}"
        untouched = {name: content for name, content in before[kind].items() if name != old}
        assert {name: after[name] for name in untouched} == untouched
        assert set(after) - set(untouched) == {f"train-00003{suffix}"}
        now = ids(dataset, kind)
        assert now[f"train-00003{suffix}"] == [clip for clip in listed[kind][old] if not clip.startswith("file-a")]
        assert {clip for clips in now.values() for clip in clips} == {
            clip for clips in listed[kind].values() for clip in clips if not clip.startswith("file-a")
        }
        # The clips that were copied are what they were, bit by bit.
        (dataset / old).write_bytes(before[kind][old][0])
        with open_shard(dataset / old) as was, open_shard(dataset / kind / f"train-00003{suffix}") as is_:
            place = [row.id for row in was.rows].index(is_.rows[0].id)
            assert is_.clip_sha256[0] == was.clip_sha256[place]
            assert np.array_equal(is_.clip(0), was.clip(place))
    assert curate(dataset, "verify")["faults"] == 0
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        video = session.get_one(Video, "file-a")
        assert (video.state, video.path, video.taken_down_reason) == ("taken-down", None, "its owner asked")
        assert video.taken_down_at is not None
        assert set(session.scalars(sa.select(Clip.state).where(Clip.video_id == "file-a"))) == {"taken-down"}


def test_what_is_rewritten_is_what_a_fresh_export_writes(dataset: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(dataset, tmp_path / "other"))
    told = curate(dataset, "takedown", "file-c")
    assert len(told["replaced"]) == 2
    with open_catalogue(other) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Clip).where(Clip.video_id == "file-c").values(state="taken-down"))
    for options, kind in (([], "shards"), (TAR, "webdataset")):
        curate(other, "export", *OPTIONS, *options)
        newest = {entry.sha256 for entry in read_manifest(dataset / kind).shards}
        assert newest == {entry.sha256 for entry in read_manifest(other / kind).shards}


def test_a_video_in_two_shards_costs_two(dataset: Path) -> None:
    before = files(dataset, "shards")
    told = curate(dataset, "takedown", "file-b")
    assert {old: new for old, new in told["replaced"].items() if old.endswith(".h5")} == {
        "shards/train-00000.h5": "shards/train-00003.h5",
        "shards/train-00001.h5": "shards/train-00004.h5",
    }
    after = files(dataset, "shards")
    assert {name for name in before if after.get(name) == before[name]} == {
        "train-00002.h5", "val-00000.h5", "test-00000.h5",
    }  # fmt: skip


def test_older_versions_lose_the_files_and_keep_their_manifests(dataset: Path) -> None:
    curate(dataset, "export", "--size", "24")
    curate(dataset, "export", *OPTIONS)
    before = files(dataset, "shards")
    told = curate(dataset, "takedown", "file-d")
    assert set(before) - set(files(dataset, "shards")) == {"val-00000.h5", "val-00001.h5"}
    assert told["replaced"] == {"shards/val-00000.h5": None, "webdataset/val-00000.tar": None}
    for version, file in ((1, "val-00000.h5"), (3, "val-00001.h5")):
        content = json.loads((dataset / "shards" / f"manifest-{version}.json").read_text())
        assert [note["file"] for note in content["taken_down"]] == [file]
        assert list(content["taken_down"][0]["videos"]) == ["file-d"]
        assert read_manifest(dataset / "shards", f"manifest-{version}.json").version == version
    newest = read_manifest(dataset / "shards")
    assert newest.of_split("val") == ()
    assert "taken_down" not in json.loads((dataset / "shards" / f"manifest-{newest.version}.json").read_text())
    assert curate(dataset, "verify")["faults"] == 0
    assert curate(dataset, "export", *OPTIONS)["new_version"] is False


def test_all_media_go_and_what_is_not_ours_stays(dataset: Path) -> None:
    curate(dataset, "preview", "--workers", "1")
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        clip = session.scalars(sa.select(Clip).where(Clip.video_id == "file-a")).first()
        assert clip is not None
        clip.path, clip.sha256, clip.bytes = f"clips/{clip.id}.mp4", "0" * 64, 1
        session.add(Section(video_id="file-a", index=0, start=0, end=1, path="videos/file-a/000.mp4", bytes=1))
        session.add(Extra(video_id="file-a", name="actions", path="extras/file-a.npy", sha256="0" * 64))
        session.add(Mask(video_id="file-a", pts=0, origin="given", path="masks/file-a-0.png", sha256="0" * 64))
    made = [f"clips/{clip.id}.mp4", "videos/file-a/000.mp4", "extras/file-a.npy", "masks/file-a-0.png"]
    made += ["videos/file-a.webm", "videos/.partial/file-a/part/x.part"]
    for name in made:
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset / name).write_bytes(b"x")
    previews = {path.name for path in (dataset / "previews").iterdir()}
    others = {path.name for path in (dataset / "videos").glob("*.mp4")} - {"a.mp4"}
    told = curate(dataset, "takedown", "file-a", "file-e")
    assert not [name for name in [*made, "videos/a.mp4"] if (dataset / name).exists()]
    assert {path.name for path in (dataset / "videos").glob("*.mp4")} == others
    gone = previews - {path.name for path in (dataset / "previews").iterdir()}
    assert {name.rsplit("-", 2)[0] for name in gone} == {"file-a", "file-e"}
    outside = next(said for said in told["remarks"] if "yours to delete" in said)
    assert Path(outside.rpartition(" ")[2]).exists()
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        assert session.scalars(sa.select(Preview.clip_id).where(Preview.clip_id.startswith("file-a"))).all() == []
        assert session.scalars(sa.select(Extra)).all() == session.scalars(sa.select(Mask)).all() == []


def test_it_is_never_fetched_again(dataset: Path) -> None:
    web = video_id("web", "https://example.org/w.mp4")
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.execute(
            sa.update(Video).where(Video.id == "file-a").values(source="https://example.org/v.mp4", provider="web")
        )
        session.add(
            Video(id=web, provider="web", provider_id="https://example.org/w.mp4", source="https://example.org/w.mp4")
        )
    # The same address, written otherwise.
    told = curate(dataset, "takedown", "https://example.org/v.mp4", "HTTPS://EXAMPLE.ORG/w.mp4#t=1")
    assert told["taken_down"] == ["file-a", web]
    told = curate(dataset, "add", "https://example.org/w.mp4", "https://example.org/new.mp4")
    assert told["added"] == 1
    assert any(f"taken down, and never fetched again: {web}" in said for said in told["remarks"])
    curate(dataset, "download", "--retry", "--workers", "1", "--limit", "1", status=1)
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        assert session.get_one(Video, "file-a").state == session.get_one(Video, web).state == "taken-down"


def test_runs_that_read_a_shard_of_it_are_named(dataset: Path, tmp_path: Path) -> None:
    manifest = read_manifest(dataset / "shards")
    hashes = {entry.file: entry.sha256 for entry in manifest.shards}

    def run(name: str, *shards: str, **more: Any) -> None:
        path = tmp_path / "runs" / name
        path.mkdir(parents=True)
        told = {"seed": 1, "data": {"recipe_hash": "r", "shards": {file: hashes[file] for file in shards}}, **more}
        (path / "environment.json").write_text(json.dumps(told))

    run("on-it", "train-00000.h5", "val-00000.h5")
    run("deep/er", "train-00000.h5")
    run("not-on-it", "train-00001.h5", "test-00000.h5")
    run("resumed", "train-00001.h5", resumed=[{"data": {"shards": {"train-00000.h5": hashes["train-00000.h5"]}}}])
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "environment.json").write_text("{")
    named = {
        str(tmp_path / "runs" / "on-it"): ["shards/train-00000.h5"],
        str(tmp_path / "runs" / "deep" / "er"): ["shards/train-00000.h5"],
        str(tmp_path / "runs" / "resumed"): ["shards/train-00000.h5"],
        str(tmp_path / "runs" / "broken"): ["unreadable"],
    }
    assert curate(dataset, "takedown", "file-a", "--runs", str(tmp_path / "runs"))["runs_named"] == named
    # Asked again, when the shards are long gone.
    told = curate(dataset, "takedown", "file-a", "--runs", str(tmp_path / "runs"))
    assert (told["runs_named"], told["videos"], told["shards_rewritten"]) == (named, 0, 0)
    assert any("taken down before: file-a" in said for said in told["remarks"])


POINTS: dict[str, tuple[Any, str, int]] = {
    "before anything is deleted": (curation.upkeep.takedown, "_purge", 0),
    "media deleted": (curation.upkeep.takedown, "rewrite_exports", 0),
    "first shard copied, not recorded": (curation.exporting.rewrite, "record", 0),
    "first shard recorded": (curation.exporting.rewrite, "_replace", 1),
    "before the manifest": (curation.exporting.export, "write_manifest", 0),
    "new version, old files": (curation.upkeep.takedown, "_delete_shards", 0),
    "files deleted": (curation.upkeep.takedown, "_note_in_manifests", 0),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_take_down_that_is_killed_is_finished_by_the_next(
    prepared: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    undisturbed = Path(shutil.copytree(prepared, tmp_path / "undisturbed"))
    curate(undisturbed, "takedown", "file-a", "file-c")
    module, name, after = POINTS[point]
    real: Callable[..., Any] = getattr(module, name)
    calls = 0

    def killed(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, killed)
    result = CliRunner().invoke(main, ["takedown", "--dataset", str(dataset), "file-a", "file-c"])
    assert result.exit_code != 0
    monkeypatch.setattr(module, name, real)
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        assert session.get_one(Video, "file-a").state == "taken-down"
    curate(dataset, "takedown")
    for kind in ("shards", "webdataset"):
        assert {name: content for name, (content, _) in files(dataset, kind).items()} == {
            name: content for name, (content, _) in files(undisturbed, kind).items()
        }
    assert curate(dataset, "verify")["faults"] == 0
    assert curate(dataset, "export", *OPTIONS)["new_version"] is False


def test_until_it_is_finished_verify_says_so(dataset: Path) -> None:
    with open_catalogue(dataset) as catalogue, exporting(catalogue):
        told = curate(dataset, "takedown", "file-a", status=1)
    assert "are taken down, but shards still hold them: another export of" in told["error"]
    errors = [failure["error"] for failure in curate(dataset, "verify", status=1)["failures"]]
    assert any("holds clips that were taken down; run: curate takedown file-a" in error for error in errors)
    assert curate(dataset, "takedown")["shards_rewritten"] == 2
    assert curate(dataset, "verify")["faults"] == 0


def test_a_shard_that_is_damaged_goes_too_and_its_other_clips_come_back_by_an_export(dataset: Path) -> None:
    path = dataset / "shards" / "train-00000.h5"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # in the last of its clips, which is not of the video
    path.write_bytes(data)
    told = curate(dataset, "takedown", "file-a", status=1)
    [failure] = told["failures"]
    assert failure["item"] == "shards/train-00000.h5"
    assert "is damaged" in failure["error"]
    assert "curate export" in failure["error"]
    assert not path.exists()
    curate(dataset, "export", *OPTIONS)
    assert curate(dataset, "verify")["faults"] == 0
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        there = session.scalars(sa.select(Shard.file)).all()
    assert "shards/train-00003.h5" in there


def test_a_local_file_is_named_by_any_path_to_it(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = dataset / "videos" / "d.mp4"
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Video).where(Video.id == "file-d").values(source=str(path.resolve())))
    monkeypatch.chdir(dataset / "shards")
    assert curate(dataset, "takedown", "../videos/d.mp4")["taken_down"] == ["file-d"]


def test_what_nobody_knows_and_nothing_at_all(dataset: Path) -> None:
    assert "no video is called nobody" in curate(dataset, "takedown", "nobody", status=2)["error"]
    assert "nothing to take down" in curate(dataset, "takedown", status=2)["error"]
    told = curate(dataset, "takedown", "nobody", "file-b", status=1)
    assert told["taken_down"] == ["file-b"]
    assert [failure["item"] for failure in told["failures"]] == ["nobody"]
