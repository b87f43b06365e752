"""`curate export`: which clips land in which shards, what stays, what is made anew, what is said."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import select

import curation.exporting.shards
from curation.commands import main
from curation.cutting.plan import CutRecipe
from curation.exporting.export import newest_shards
from curation.exporting.lock import exporting
from curation.exporting.recipe import ExportRecipe
from db.engine import open_catalogue
from db.models import Attempt, Clip, Decision, Lease, Shard, Video, now
from db.recipes import recipe_hash
from db.shards import ShardReader, read_manifest
from db.states import ClipState, VideoState, move_clips
from tests.curation.export_cases import add_video, make_dataset, moving_frames, write_video

VIDEOS = {"a": "train", "b": "train", "c": "val", "d": "test"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four videos of two clips each, split, nothing exported."""
    folder = tmp_path_factory.mktemp("prepared") / "set"
    make_dataset(folder, VIDEOS).close()
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def curate(dataset: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Run a command with --json: what it printed, or the one line of its error."""
    result = CliRunner().invoke(main, [arguments[0], "--dataset", str(dataset), "--json", *arguments[1:]])
    assert result.exit_code == status, result.output
    if not result.stdout:
        assert len(result.stderr.strip().splitlines()) == 1
        return {"error": result.stderr.strip()}
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def export(dataset: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    return curate(dataset, "export", "--size", "16", "--workers", "1", *arguments, status=status)


def verify(dataset: Path) -> None:
    assert curate(dataset, "verify")["faults"] == 0


def bytes_of(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((dataset / "shards").glob("*.h5"))}


def move(dataset: Path, clip: str, state: ClipState) -> None:
    verdict = "accept" if state == ClipState.ACCEPTED else "reject"
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.add(Decision(clip_id=clip, annotator="tester", verdict=verdict))
        assert move_clips(session, [clip], state) == 1


def clips_of(dataset: Path, video: str) -> list[str]:
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        return list(session.scalars(select(Clip.id).where(Clip.video_id == f"file-{video}").order_by(Clip.index)))


def test_accepted_clips_and_no_others_are_in_the_shards_of_their_split(dataset: Path) -> None:
    rejected = clips_of(dataset, "a")[0]
    move(dataset, rejected, ClipState.REJECTED)
    told = export(dataset)
    assert (told["clips"], told["frames"], told["shards_written"], told["version"]) == (7, 175, 3, 1)
    manifest = read_manifest(dataset / "shards")
    assert [entry.file for entry in manifest.shards] == ["train-00000.h5", "val-00000.h5", "test-00000.h5"]
    assert manifest == read_manifest(dataset / "shards", "manifest-1.json")
    assert manifest.recipe_hash == recipe_hash(ExportRecipe(size=16).settings())
    train = ShardReader(dataset / "shards" / "train-00000.h5")
    assert [row.id for row in train.rows] == [clips_of(dataset, "a")[1], *clips_of(dataset, "b")]
    assert train.rows[0].source_url == "demo://a.mp4"
    assert (train.rows[0].start, train.rows[0].end, train.rows[0].fps, train.rows[0].licence) == (1.0, 2.0, 25.0, "CC0")
    assert (train.height, train.width, train.fps, train.split) == (16, 16, 25.0, "train")
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        shards = newest_shards(session)
        assert rejected not in shards
        assert shards[clips_of(dataset, "d")[1]] == "shards/test-00000.h5"
        attempts = session.scalars(select(Attempt).where(Attempt.stage == "export")).all()
        assert [attempt.outcome for attempt in attempts] == ["done"] * 7
    verify(dataset)


def test_nothing_to_do_decodes_nothing(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(dataset)
    before = bytes_of(dataset)
    monkeypatch.setattr(curation.exporting.shards, "read_clip", None)
    told = export(dataset)
    assert (told["version"], told["new_version"], told["shards_kept"]) == (1, False, 3)
    assert told["remarks"] == ["nothing to do: version 1 holds all that can be exported"]
    assert bytes_of(dataset) == before
    assert not (dataset / "shards" / "manifest-2.json").exists()


@pytest.mark.parametrize("workers", ["1", "3"])
def test_the_same_catalogue_gives_the_same_bytes_elsewhere(dataset: Path, tmp_path: Path, workers: str) -> None:
    other = Path(shutil.copytree(dataset, tmp_path / "elsewhere" / "set"))
    export(dataset)
    export(other, "--workers", workers)
    assert bytes_of(dataset) == bytes_of(other)
    assert (dataset / "shards" / "manifest.json").read_bytes() == (other / "shards" / "manifest.json").read_bytes()


def test_one_clip_more_is_one_small_shard_more(dataset: Path) -> None:
    late = clips_of(dataset, "b")[1]
    move(dataset, late, ClipState.REJECTED)
    export(dataset)
    before = bytes_of(dataset)
    move(dataset, late, ClipState.ACCEPTED)
    told = export(dataset)
    assert (told["version"], told["clips"], told["shards_written"], told["shards_kept"]) == (2, 8, 1, 3)
    after = bytes_of(dataset)
    assert {name: after[name] for name in before} == before
    assert [row.id for row in ShardReader(dataset / "shards" / "train-00001.h5").rows] == [late]
    verify(dataset)


def test_a_shard_with_a_rejected_clip_is_replaced_and_comes_back_with_it(dataset: Path) -> None:
    export(dataset)
    rejected = clips_of(dataset, "a")[0]
    move(dataset, rejected, ClipState.REJECTED)
    assert curate(dataset, "verify", status=1)["faults"] == 1
    told = export(dataset)
    assert (told["version"], told["clips"], told["shards_dropped"]) == (2, 7, ["shards/train-00000.h5"])
    assert (dataset / "shards" / "train-00000.h5").exists()
    assert [e.file for e in read_manifest(dataset / "shards").of_split("train")] == ["train-00001.h5"]
    verify(dataset)
    move(dataset, rejected, ClipState.ACCEPTED)
    assert export(dataset)["version"] == 3
    # The replacement goes on, and the clip gets a shard of its own: shards in use are left alone.
    files = [e.file for e in read_manifest(dataset / "shards").of_split("train")]
    assert files == ["train-00001.h5", "train-00002.h5"]
    verify(dataset)
    # Version 1 can still be read as it was.
    assert curate(dataset, "verify", str(dataset / "shards" / "train-00000.h5"))["faults"] == 0


def test_all_clips_rejected_make_a_version_without_shards(dataset: Path) -> None:
    export(dataset)
    for video in VIDEOS:
        for clip in clips_of(dataset, video):
            move(dataset, clip, ClipState.REJECTED)
    told = export(dataset)
    assert (told["version"], told["clips"], told["frames"]) == (2, 0, 0)
    assert read_manifest(dataset / "shards").shards == ()
    verify(dataset)


def test_another_recipe_and_back_again(dataset: Path) -> None:
    export(dataset)
    assert export(dataset, "--size", "24", "--fps", "10")["shards_written"] == 3
    reader = ShardReader(dataset / "shards" / "train-00001.h5")
    assert (reader.height, reader.fps, reader.rows[0].length) == (24, 10.0, 10)
    told = export(dataset)
    assert (told["version"], told["shards_written"], told["shards_kept"]) == (3, 0, 3)
    assert [e.file for e in read_manifest(dataset / "shards").of_split("train")] == ["train-00000.h5"]
    verify(dataset)


def test_shards_keep_to_their_size_and_their_numbers(dataset: Path) -> None:
    clip_bytes = 25 * 16 * 16 * 3
    told = export(dataset, "--shard-size", str(3 * clip_bytes))
    assert told["shards_written"] == 4
    sizes = [(entry.file, entry.clips) for entry in read_manifest(dataset / "shards").shards]
    assert sizes == [("train-00000.h5", 3), ("train-00001.h5", 1), ("val-00000.h5", 2), ("test-00000.h5", 2)]
    # Another size is no other recipe: what stands, stays.
    assert export(dataset, "--shard-size", "1B")["new_version"] is False
    assert export(dataset, "--size", "8", "--shard-size", "1B")["shards_written"] == 8


def test_native_keeps_every_frame_of_a_variable_rate(dataset: Path) -> None:
    times = np.cumsum([0, *([20, 60, 60] * 20)])[:60].tolist()
    frames = moving_frames(60, 48, 64, 3)
    with open_catalogue(dataset) as catalogue:
        path = write_video(dataset / "videos" / "vfr.mp4", frames, time_base=Fraction(1, 1000), pts=times)
        clips = add_video(catalogue, path)
    export(dataset, "--fps", "native")
    reader = ShardReader(dataset / "shards" / "train-00000.h5")
    rows = {row.id: row for row in reader.rows}
    assert len(clips) == 2
    for clip in clips:
        inside = [time for time in times if round(rows[clip].start * 1000) <= time < round(rows[clip].end * 1000)]
        assert rows[clip].length == len(inside)
        assert rows[clip].fps == pytest.approx(len(inside) / (rows[clip].end - rows[clip].start))
    assert reader.fps == 0
    verify(dataset)


def break_video(path: Path) -> bytes:
    """Damage the second half of a file's pictures; its size and its index stay."""
    whole = path.read_bytes()
    start = whole.index(b"mdat") + 4
    middle = start + (len(whole) - start) // 3
    path.write_bytes(whole[:middle] + bytes(len(whole) - middle - 3000) + whole[-3000:])
    return whole


def test_a_clip_that_does_not_decode_is_left_out_listed_and_tried_again(dataset: Path) -> None:
    path = dataset / "videos" / "b.mp4"
    whole = break_video(path)
    told = export(dataset, status=1)
    failed = {failure["item"] for failure in told["failures"]}
    assert failed
    assert failed <= set(clips_of(dataset, "b"))
    assert all(failure["source"] == "demo://b.mp4" for failure in told["failures"])
    assert all(failure["error"].startswith("corrupt: b.mp4: ") for failure in told["failures"])
    assert told["clips"] == 8 - len(failed)
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        assert {clip for clip in session.scalars(select(Clip.id).where(Clip.error.like("corrupt: %")))} == failed
        tried = session.scalars(select(Attempt).where(Attempt.outcome == "failed", Attempt.stage == "export")).all()
        assert {attempt.item_id for attempt in tried} == failed
        assert {attempt.error_class for attempt in tried} == {"corrupt"}
    verify(dataset)
    again = export(dataset, status=1)
    assert (again["version"], again["new_version"]) == (1, False)
    path.write_bytes(whole)
    healed = export(dataset)
    assert (healed["version"], healed["clips"], healed["shards_written"]) == (2, 8, 1)
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        assert session.scalars(select(Clip.id).where(Clip.error.is_not(None))).all() == []
    verify(dataset)


def test_a_missing_source_fails_its_clips_and_its_video(dataset: Path) -> None:
    (dataset / "videos" / "c.mp4").unlink()
    told = export(dataset, status=1)
    assert {failure["item"] for failure in told["failures"]} == set(clips_of(dataset, "c"))
    assert (told["clips"], told["shards_written"]) == (6, 2)
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        video = session.get_one(Video, "file-c")
        assert (video.state, video.error_class) == (VideoState.FAILED, "missing")
    verify(dataset)


def test_nothing_at_all_can_be_exported(dataset: Path) -> None:
    for path in (dataset / "videos").iterdir():
        path.write_bytes(b"")
    told = export(dataset, status=1)
    assert (told["version"], told["clips"], len(told["failures"])) == (None, 0, 8)
    assert sorted(path.name for path in (dataset / "shards").iterdir()) == [".lock"]
    assert "nothing has been exported yet" in curate(dataset, "verify", status=2)["error"]


def test_what_to_run_first_is_said(dataset: Path, tmp_path: Path) -> None:
    with open_catalogue(dataset) as catalogue:
        path = write_video(dataset / "videos" / "e.mp4", moving_frames(25, 48, 64, 8))
        add_video(catalogue, path, split=None)
    assert (
        "no split yet for 1 of the videos with accepted clips; run: curate split" in export(dataset, status=2)["error"]
    )
    empty = tmp_path / "empty"
    make_dataset(empty, {}).close()
    assert "no clip is accepted yet; run: curate annotate" in export(empty, status=2)["error"]
    assert "is not a dataset folder" in export(tmp_path / "none", status=2)["error"]


def test_accepting_unreviewed_clips_is_recorded_and_said(dataset: Path) -> None:
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        pending = [*clips_of(dataset, "a"), *clips_of(dataset, "c")]
        assert move_clips(session, pending, ClipState.PENDING) == 4
    assert export(dataset)["clips"] == 4
    told = export(dataset, "--accept-unreviewed")
    assert (told["clips"], told["accepted_unreviewed"]) == (8, 4)
    assert told["remarks"][0] == "4 clips were accepted without review (annotator 'unreviewed')"
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        rows = session.execute(
            select(Decision.clip_id, Decision.verdict).where(Decision.annotator == "unreviewed")
        ).all()
        assert sorted(rows) == [(clip, "accept") for clip in pending]
    assert export(dataset, "--accept-unreviewed")["accepted_unreviewed"] == 0
    verify(dataset)


def test_a_second_export_says_that_one_is_running(dataset: Path) -> None:
    with open_catalogue(dataset) as catalogue, exporting(catalogue):
        assert "another export" in export(dataset, status=1)["error"]
    export(dataset)


def test_an_export_on_another_machine_counts_until_its_lease_ends(dataset: Path) -> None:
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.add(
            Lease(
                stage="export",
                item_id="dataset",
                owner="elsewhere:1:0",
                token=3,
                expires_at=now() + timedelta(seconds=60),
            )
        )
    assert "another export" in export(dataset, status=1)["error"]
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        session.get_one(Lease, ("export", "dataset")).expires_at = now() - timedelta(seconds=1)
    export(dataset)


def test_lost_files_are_made_again(dataset: Path) -> None:
    export(dataset)
    before = bytes_of(dataset)
    (dataset / "shards" / "manifest.json").write_text("{}")
    assert export(dataset)["new_version"] is False
    verify(dataset)
    (dataset / "shards" / "val-00000.h5").unlink()
    assert export(dataset)["shards_written"] == 1
    assert bytes_of(dataset)["val-00001.h5"] == before["val-00000.h5"]
    verify(dataset)
    shutil.rmtree(dataset / "shards")
    assert export(dataset)["shards_written"] == 3
    verify(dataset)


def test_strays_are_taken_in_if_they_fit_and_left_alone_if_not(dataset: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(dataset, tmp_path / "elsewhere" / "set"))
    export(other)
    shutil.copy(other / "shards" / "val-00000.h5", dataset / "shards")
    (dataset / "shards" / "train-00007.h5").write_text("not one")
    (dataset / "shards" / "notes.h5").write_text("mine")
    told = export(dataset)
    assert (told["shards_written"], told["shards_kept"]) == (2, 1)
    assert told["remarks"][1:] == [
        "shards/train-00007.h5 belongs to no export of this dataset; delete it if nothing needs it"
    ]
    assert (dataset / "shards" / "train-00008.h5").exists()
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        assert len(session.scalars(select(Shard)).all()) == 3
    verify(dataset)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--fps", "0", "neither 'native' nor a rate"),
        ("--fps", "fast", "neither 'native' nor a rate"),
        ("--fps", "1/0", "neither 'native' nor a rate"),
        ("--size", "7", "not in the range"),
        ("--shard-size", "lots", "is not a size such as 1GiB"),
        ("--shard-size", "0", "at least one byte"),
        ("--fit", "stretch", "is not one of"),
    ],
)
def test_bad_options_are_refused(dataset: Path, option: str, value: str, said: str) -> None:
    result = CliRunner().invoke(main, ["export", "--dataset", str(dataset), option, value])
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_real_footage_short_as_it_is(footage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with make_dataset(folder, {}) as catalogue:
        for name in ("ocean", "stream-of-water", "flower"):
            add_video(catalogue, footage / f"{name}.mp4", recipe=CutRecipe())
    told = curate(folder, "export", "--size", "64")
    assert told["clips"] == 3
    lengths = {row.video_id: row.length for row in ShardReader(folder / "shards" / "train-00000.h5").rows}
    assert lengths["file-ocean"] == 250
    assert 75 <= lengths["file-stream-of-water"] <= 85
    verify(folder)
