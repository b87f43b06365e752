"""A manifest published from one folder rebuilds the same shards in another; what cannot be rebuilt is listed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from curation.commands import main
from curation.publishing.published import read_published
from db.engine import create, open_catalogue
from db.models import Clip, Decision, Split, Video
from db.shards import read_manifest
from tests.curation.export_cases import moving_frames, write_video

CLIP = 25 * 16 * 16 * 3


def curate(folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Run a command with --json: what it printed, or the one line of its error."""
    result = CliRunner().invoke(main, [arguments[0], "--dataset", str(folder), "--json", *arguments[1:]])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else {"error": result.stderr.strip()}


def export(folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    return curate(
        folder, "export", "--size", "16", "--shard-size", str(2 * CLIP), "--workers", "1", *arguments, status=status
    )


def shards(folder: Path, kind: str = "shards") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / kind).glob("*-0*"))}


def accept_all(folder: Path) -> None:
    with open_catalogue(folder) as catalogue, catalogue.writing() as session:
        clips = list(session.scalars(sa.select(Clip.id).order_by(Clip.id)))
        session.add_all(Decision(clip_id=clip, annotator="tester", verdict="accept") for clip in clips)
        session.execute(sa.update(Clip).values(state="accepted"))


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five local files, one of them of another frame rate."""
    folder = tmp_path_factory.mktemp("media")
    for seed, name in enumerate("abcde"):
        write_video(folder / f"{name}.mp4", moving_frames(50, 48, 64, seed), fps=25 if name != "b" else 30)
    return folder


@pytest.fixture(scope="module")
def origin(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of those files: exported in two versions, so that a shard stands that no fresh export would make."""
    folder = tmp_path_factory.mktemp("origin") / "set"
    create(folder).close()
    for names in ("abc", "de"):
        curate(folder, "add", *(str(media / f"{name}.mp4") for name in names))
        curate(folder, "download", "--workers", "1")
        curate(folder, "cut", "--length", "0.5", "--margin", "0", "--spacing", "0", "--workers", "1")
        accept_all(folder)
        curate(folder, "split")
        export(folder)
    export(folder, "--format", "webdataset", "--codec", "jpeg")
    assert len(shards(folder)) > 5
    curate(folder, "manifest", "--out", str(folder.parent / "published.json"))
    return folder


@pytest.fixture
def published(origin: Path) -> Path:
    return origin.parent / "published.json"


def rebuild(folder: Path, manifest: Path, *options: str) -> dict[str, Any]:
    create(folder).close()
    added = curate(folder, "add", "--manifest", str(manifest), *options)
    curate(folder, "download", "--workers", "1")
    return added


def test_the_manifest_says_all_that_is_needed(origin: Path, published: Path, media: Path) -> None:
    told = curate(origin, "manifest", "--out", str(published.with_name("again.json")))
    assert published.with_name("again.json").read_bytes() == published.read_bytes()
    found = read_published(published)
    assert (len(found.videos), len(found.clips), told["clips"]) == (5, 19, 19)
    assert {video.source for video in found.videos} == {str(media / f"{name}.mp4") for name in "abcde"}
    assert any("5 videos are local files, published with their paths" in said for said in told["remarks"])
    assert any("5 videos have no known licence" in said for said in told["remarks"])
    manifest = read_manifest(origin / "shards")
    assert [(s.file, s.sha256) for s in found.shards if s.format == "hdf5"] == [
        (entry.file, entry.sha256) for entry in manifest.shards
    ]


def test_another_folder_rebuilds_the_same_shards(origin: Path, published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "there"
    added = rebuild(folder, published)
    assert (added["added"], added["clips_to_cut"]) == (5, 19)
    assert any(said.startswith("to export as published: curate export") for said in added["remarks"])
    told = curate(folder, "cut")
    assert (told["videos"], told["new_clips"]) == (5, 19)
    assert curate(folder, "cut")["new_clips"] == 0
    with open_catalogue(folder) as catalogue, catalogue.reading() as session:
        assert set(session.scalars(sa.select(Decision.annotator))) == {"manifest"}
        splits = dict(session.execute(sa.select(Split.video_id, Split.name)).all())
    assert splits == {video.id: video.split for video in read_published(published).videos}
    assert curate(folder, "split")["videos_assigned"] == 0
    assert any(
        "not exported as published; that is: curate export" in said for said in export(folder, "--fps", "5")["remarks"]
    )
    told = export(folder, "--shard-size", "1GiB")  # the published layout counts, not this
    number = len(shards(origin))
    assert any(f"{number} of the {number} published shards are here" in said for said in told["remarks"])
    export(folder, "--format", "webdataset", "--codec", "jpeg")
    assert {name: shards(folder)[name] for name in shards(origin)} == shards(origin)
    assert shards(folder, "webdataset") == shards(origin, "webdataset") != {}
    assert curate(folder, "verify")["faults"] == 0
    told = curate(folder, "verify", "--manifest", str(published))
    assert (told["faults"], told["shards_as_published"]) == (0, told["shards_published"])
    # A manifest made there says the same.
    curate(folder, "manifest", "--out", str(tmp_path / "again.json"))
    again = read_published(tmp_path / "again.json")
    assert replace(again, versions={}) == replace(read_published(published), versions={})
    # So do the files alone; and a flipped byte is found.
    told = curate(folder, "verify", "--manifest", str(published), str(folder / "shards"))
    assert (told["faults"], told["shards_as_published"]) == (0, len(shards(origin)))
    path = folder / "shards" / "train-00000.h5"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    told = curate(folder, "verify", "--manifest", str(published), str(folder / "shards"), status=1)
    assert [failure["item"] for failure in told["failures"]] == ["train-00000.h5"]


def test_files_are_found_by_their_hash_whatever_their_names(
    origin: Path, media: Path, published: Path, tmp_path: Path
) -> None:
    names = curate(origin, "manifest", "--file-names", "--out", str(tmp_path / "names.json"))
    assert any("--media" in said and "names alone" in said for said in names["remarks"])
    assert str(media) not in (tmp_path / "names.json").read_text()
    moved = tmp_path / "elsewhere" / "deep"
    moved.mkdir(parents=True)
    for path in media.glob("*.mp4"):
        shutil.copy(path, moved / f"my {path.name}")
    (moved / "my c.mp4").unlink()
    folder = tmp_path / "there"
    create(folder).close()
    told = curate(folder, "add", "--manifest", str(tmp_path / "names.json"), "--media", str(moved.parent))
    assert (len(told["found"]), len(told["not_found"])) == (4, 1)
    curate(folder, "download", "--workers", "1", status=1)
    curate(folder, "cut")
    export(folder)
    told = curate(folder, "verify", "--manifest", str(tmp_path / "names.json"), status=1)
    assert any("is not downloaded: missing" in failure["error"] for failure in told["failures"])
    # The frames are the same; what the shards say of the sources is not, as the paths were left out.
    assert told["clips_as_published"] == 15
    assert told["shards_as_published"] == 0
    # The same command again, with the file there: what was missing is made, and the rest as published after all.
    shutil.copy(media / "c.mp4", moved / "c.mp4")
    told = curate(folder, "add", "--manifest", str(tmp_path / "names.json"), "--media", str(moved.parent))
    assert (told["added"], told["already_known"], told["not_found"]) == (0, 5, [])
    curate(folder, "download", "--workers", "1", "--retry")
    curate(folder, "cut")
    export(folder)
    assert curate(folder, "verify", "--manifest", str(tmp_path / "names.json"), status=1)["clips_as_published"] == 19


def test_what_came_late_gets_its_published_place_after_all(origin: Path, published: Path, tmp_path: Path) -> None:
    """An export in between lays out what is there; the next one mends it."""
    folder = tmp_path / "there"
    create(folder).close()
    curate(folder, "add", "--manifest", str(published))
    curate(folder, "download", "--workers", "1", "--limit", "3")
    curate(folder, "cut")
    export(folder)
    early = shards(folder)
    assert not set(early.items()) >= set(shards(origin).items())
    curate(folder, "download", "--workers", "1")
    curate(folder, "cut")
    export(folder)
    rebuilt = {entry.file: entry.sha256 for entry in read_manifest(folder / "shards").shards}
    assert rebuilt == {entry.file: entry.sha256 for entry in read_manifest(origin / "shards").shards}


def test_a_source_that_was_encoded_anew_is_told_and_cut_by_time(
    origin: Path, media: Path, published: Path, tmp_path: Path
) -> None:
    text = published.read_text()
    moved = tmp_path / "media"
    shutil.copytree(media, moved)
    write_video(moved / "b.mp4", moving_frames(50, 48, 64, 1), fps=30, crf=30)  # the same times, other bytes
    write_video(moved / "c.mp4", moving_frames(100, 48, 64, 2), fps=50)
    write_video(moved / "d.mp4", moving_frames(20, 48, 64, 3), fps=25, crf=30)  # 0.8 s are left of 2 s
    (tmp_path / "p.json").write_text(text.replace(str(media), str(moved)))
    folder = tmp_path / "there"
    create(folder).close()
    curate(folder, "add", "--manifest", str(tmp_path / "p.json"))
    told = curate(folder, "download", "--workers", "1")
    assert any("3 are not the files that were published" in said for said in told["remarks"])
    told = curate(folder, "cut")
    assert (told["videos"], told["new_clips"]) == (5, 16)
    assert any("3 videos are not the published files" in said for said in told["remarks"])
    with open_catalogue(folder) as catalogue, catalogue.reading() as session:
        rows = {clip.id: clip for clip in session.scalars(sa.select(Clip))}
    counts = {clip.id: clip.frames for clip in read_published(published).clips}
    ratio = {rows[clip].frame_count / counts[clip] for clip in rows}
    assert ratio == {1.0, 2.0, 25 / 12} or ratio <= {1.0, 2.0, 25 / 12, 25 / 13}
    export(folder)
    told = curate(folder, "verify", "--manifest", str(tmp_path / "p.json"), status=1)
    errors = " ".join(failure["error"] for failure in told["failures"])
    assert "is not the published file" in errors
    assert "could not be cut" in errors
    assert told["clips_as_published"] == 8
    assert 0 < told["shards_as_published"] < told["shards_published"] or told["shards_as_published"] == 0


def test_a_source_that_is_no_more_leaves_the_rest(origin: Path, published: Path, media: Path, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(published.read_text().replace(str(media / "e.mp4"), "http://127.0.0.1:9/e.mp4"))
    folder = tmp_path / "there"
    create(folder).close()
    curate(folder, "add", "--manifest", str(tmp_path / "p.json"))
    with open_catalogue(folder) as catalogue, catalogue.writing() as session:
        gone = session.scalars(sa.select(Video).where(Video.source.startswith("http"))).one()
        gone.state, gone.error_class, gone.error = "failed", "gone", "gone: HTTP Error 410: Gone"
    curate(folder, "download", "--workers", "1")
    curate(folder, "cut")
    told = export(folder)
    assert told["clips"] == 15
    told = curate(folder, "verify", "--manifest", str(tmp_path / "p.json"), status=1)
    assert any("gone: HTTP Error 410" in failure["error"] for failure in told["failures"])
    assert any(failure["item"].endswith(".h5") for failure in told["failures"])
    assert curate(folder, "verify")["faults"] == 0


BAD: list[tuple[str, Any, str]] = [
    ("videos", {"id": "../../etc"}, "videos, row 2: '../../etc' is no id"),
    ("videos", {"split": "dev"}, "videos, row 2: its split is none of"),
    ("videos", {"source": None}, "videos, row 2: source is null"),
    ("videos", {"sha256": "x"}, "videos, row 2: 'x' is no SHA-256"),
    ("clips", {"start_pts": "0"}, 'clips, row 2: start_pts is "0"'),
    ("clips", {"end_pts": 0, "start_pts": 5}, "clips, row 2: it is empty"),
    ("clips", {"time_base": [1, 0]}, "clips, row 2: [1, 0] is no time base"),
    ("clips", {"time_base": [1]}, "clips, row 2: [1] is no time base"),
    ("clips", {"video": "file-nobody"}, "clips, row 2: its video file-nobody is not listed"),
    ("clips", {"recipe": "0" * 64}, "clips, row 2: its recipe 000000000000 is not listed"),
    ("shards", {"clips": []}, "shards, row 2: its split or its clips are not such"),
]


@pytest.mark.parametrize(("table", "change", "said"), BAD)
def test_malformed_rows_are_named_and_the_rest_goes_on(
    published: Path, tmp_path: Path, table: str, change: dict[str, Any], said: str
) -> None:
    content = json.loads(published.read_text())
    content[table][1] |= change
    (tmp_path / "bad.json").write_text(json.dumps(content))
    create(tmp_path / "there").close()
    told = curate(tmp_path / "there", "add", "--manifest", str(tmp_path / "bad.json"), status=1)
    assert any(failure["error"].startswith(said) for failure in told["failures"]), told["failures"]
    assert told["added"] == (4 if table == "videos" else 5)


def test_what_is_no_manifest_is_refused(published: Path, tmp_path: Path) -> None:
    create(tmp_path / "there").close()
    bad = tmp_path / "bad.json"
    content = json.loads(published.read_text())
    for text, said in (
        ("{", "cannot be read"),
        ("[]", "not a published manifest"),
        (json.dumps({"version": 1}), "not a published manifest"),
        (json.dumps(content | {"schema_version": 2}), "schema version 2, this version of stillflow reads 1"),
    ):
        bad.write_text(text)
        assert said in curate(tmp_path / "there", "add", "--manifest", str(bad), status=2)["error"]
    assert "for a --manifest" in curate(tmp_path / "there", "add", "--media", str(tmp_path), status=2)["error"]
    assert "run: curate export" in curate(tmp_path / "there", "manifest", status=2)["error"]


def test_a_taken_down_video_stays_down_and_a_video_of_ones_own_keeps_its_clips(
    published: Path, media: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "there"
    create(folder).close()
    curate(folder, "add", str(media / "a.mp4"), str(media / "b.mp4"))
    curate(folder, "download", "--workers", "1")
    curate(folder, "cut", "--length", "1", "--margin", "0", "--spacing", "0")
    with open_catalogue(folder) as catalogue, catalogue.writing() as session:
        session.execute(sa.update(Video).where(Video.source.endswith("a.mp4")).values(state="taken-down"))
    told = curate(folder, "add", "--manifest", str(published))
    assert (told["added"], told["already_known"]) == (3, 2)
    assert any("1 taken down here, and never fetched again" in said for said in told["remarks"])
    assert any("1 known and cut otherwise before" in said for said in told["remarks"])
