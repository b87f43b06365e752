"""Pruning deletes what nothing needs, says what it costs, and never touches what is not ours or still in use."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

import curation.upkeep.prune
from curation.commands import main
from db.engine import open_catalogue
from db.models import Clip, Decision, Lease, Preview, Recipe, Video, now
from db.states import ClipState
from tests.curation.export_cases import add_video, make_dataset, moving_frames, write_video


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos of two clips each, cut and exported; the third one's file lies outside of the folder."""
    folder = tmp_path_factory.mktemp("prepared") / "set"
    outside = write_video(folder.parent / "mine.mp4", moving_frames(50, 48, 64, 3))
    with make_dataset(folder, {"a": "train", "b": "test"}) as catalogue:
        add_video(catalogue, outside, split="train")
        with catalogue.writing() as session:
            session.execute(sa.update(Video).values(cut_recipe=sa.select(Recipe.hash).scalar_subquery()))
    curate(folder, "export", "--size", "16")
    return folder


@pytest.fixture
def dataset(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "set"))


def curate(folder: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(main, [arguments[0], "--dataset", str(folder), "--json", *arguments[1:]])
    assert result.exit_code == status, result.output
    return json.loads(result.stdout) if result.stdout else {"error": result.stderr.strip()}


def change(folder: Path, statement: sa.Executable) -> None:
    with open_catalogue(folder) as catalogue, catalogue.writing() as session:
        session.execute(statement)


def videos(folder: Path) -> dict[str, Video]:
    with open_catalogue(folder) as catalogue, catalogue.reading() as session:
        return {video.id: video for video in session.scalars(sa.select(Video))}


def snapshot(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and "sqlite" not in path.name}


def test_what_clips_need_stays(dataset: Path) -> None:
    before = snapshot(dataset)
    told = curate(dataset, "prune")
    assert (told["videos_pruned"], told["files"], told["bytes"]) == (0, 0, 0)
    assert any("3 videos that clips need" in said for said in told["remarks"])
    assert snapshot(dataset) == before


def test_sources_of_materialised_clips_go_and_all_else_goes_on(dataset: Path) -> None:
    curate(dataset, "cut", "--materialise", "--lossless", "--workers", "1")
    sizes = {name: (dataset / "videos" / f"{name}.mp4").stat().st_size for name in "ab"}
    before = snapshot(dataset)
    told = curate(dataset, "prune", "--dry-run")
    assert (told["videos_pruned"], told["bytes"], told["dry_run"]) == (2, sum(sizes.values()), True)
    assert snapshot(dataset) == before
    told = curate(dataset, "prune")
    assert told["removed"] == ["videos/a.mp4", "videos/b.mp4"]
    assert told["bytes"] == sum(sizes.values())
    assert any("1 videos outside the dataset folder" in said for said in told["remarks"])
    assert before - snapshot(dataset) == {"videos/a.mp4", "videos/b.mp4"}
    rows = videos(dataset)
    assert Path(str(rows["file-mine"].path)).exists()
    assert rows["file-a"].pruned_at is not None
    assert (rows["file-a"].path, rows["file-a"].state) == (None, "downloaded")
    assert curate(dataset, "prune")["videos_pruned"] == 0
    # Nothing fetches them again, and what is left to do is done from the clips' files.
    assert curate(dataset, "download", "--workers", "1").get("downloaded", 0) == 0
    curate(dataset, "cut", "--recut", "--length", "0.3", "--workers", "1")
    assert curate(dataset, "export", "--size", "24")["clips"] == 6
    assert curate(dataset, "verify")["faults"] == 0


def test_filtered_and_rejected_clips_go_with_their_video_and_are_counted(dataset: Path) -> None:
    change(dataset, sa.update(Clip).where(Clip.video_id == "file-a").values(state=ClipState.FILTERED))
    told = curate(dataset, "prune")
    assert (told["videos"], told["lost_clips"]) == (["file-a"], 2)
    assert any("2 filtered or rejected clips went with their videos" in said for said in told["remarks"])
    # A mind that changes is told why it is too late, and no download begins.
    change(dataset, sa.update(Clip).where(Clip.video_id == "file-a").values(state=ClipState.ACCEPTED))
    told = curate(dataset, "export", "--size", "24", status=1)
    assert {failure["error"].split(" on ")[0] for failure in told["failures"]} == {"gone: video file-a was pruned"}
    assert videos(dataset)["file-a"].state == "downloaded"


def test_clips_in_the_shards_alone_only_when_asked(dataset: Path) -> None:
    told = curate(dataset, "prune", "--exported")
    assert told["videos"] == ["file-a", "file-b"]
    assert any("4 accepted clips live on in the shards alone" in said for said in told["remarks"])
    assert curate(dataset, "verify")["faults"] == 0
    assert curate(dataset, "export", "--size", "16")["new_version"] is False


def test_a_clip_file_that_changed_keeps_its_source(dataset: Path) -> None:
    curate(dataset, "cut", "--materialise", "--workers", "1")
    path = sorted((dataset / "clips").glob("file-a*"))[0]
    path.write_bytes(path.read_bytes()[:-1])
    told = curate(dataset, "prune", status=1)
    assert told["videos"] == ["file-b"]
    assert [failure["item"] for failure in told["failures"]] == [path.stem]
    assert (dataset / "videos" / "a.mp4").exists()


def test_a_video_that_somebody_works_on_is_left(dataset: Path) -> None:
    curate(dataset, "cut", "--materialise", "--workers", "1")
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        clip = session.scalars(sa.select(Clip.id).where(Clip.video_id == "file-a").limit(1)).one()
        session.add(Lease(stage="score", item_id=clip, owner="elsewhere:1:0", expires_at=now().replace(year=2100)))
    assert curate(dataset, "prune")["videos"] == ["file-b"]


def test_leftovers_go_and_work_in_progress_stays(dataset: Path) -> None:
    with open_catalogue(dataset) as catalogue, catalogue.reading() as session:
        clip = session.scalars(sa.select(Clip.id).order_by(Clip.id).limit(1)).one()
    old = ["previews/gone-00.mp4", "clips/gone-00.mp4", f"clips/{clip}.mp4", "clips/.x.mp4.1.part", "videos/.y.part"]
    new = ["previews/.z.mp4.1.part", f"previews/{clip}.mp4", "videos/unknown.mp4", "shards/notes.txt"]
    for name in [*old, *new]:
        (dataset / name).write_bytes(b"12345")
    for name in [*old, "videos/unknown.mp4", "shards/notes.txt"]:
        os.utime(dataset / name, (time.time() - 7200,) * 2)
    (dataset / "videos" / ".partial" / "file-a").mkdir(parents=True)
    before = snapshot(dataset)
    told = curate(dataset, "prune", "--dry-run")
    assert (snapshot(dataset), told["bytes"]) == (before, 25)
    told = curate(dataset, "prune")
    assert before - snapshot(dataset) == set(old)
    assert not (dataset / "videos" / ".partial" / "file-a").exists()
    assert curate(dataset, "prune")["files"] == 0


def test_a_prune_that_is_killed_is_finished_by_the_next(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    curate(dataset, "cut", "--materialise", "--workers", "1")
    real: Callable[..., None] = curation.upkeep.prune.remove

    def killed(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(curation.upkeep.prune, "remove", killed)
    with pytest.raises((KeyboardInterrupt, AssertionError)):
        curate(dataset, "prune")
    monkeypatch.setattr(curation.upkeep.prune, "remove", real)
    assert videos(dataset)["file-a"].pruned_at is not None
    assert (dataset / "videos" / "a.mp4").exists()
    # Its row gave the file up: whatever it is called after the video's id goes.
    (dataset / "videos" / "a.mp4").rename(dataset / "videos" / "file-a.mp4")
    told = curate(dataset, "prune")
    assert "videos/file-a.mp4" in told["removed"]
    assert "videos/b.mp4" in told["removed"]


def test_a_link_is_ours_and_what_it_points_to_is_not(dataset: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.mp4"
    shutil.move(dataset / "videos" / "a.mp4", real)
    (dataset / "videos" / "a.mp4").symlink_to(real)
    change(dataset, sa.update(Clip).where(Clip.video_id == "file-a").values(state=ClipState.REJECTED))
    assert curate(dataset, "prune")["videos"] == ["file-a"]
    assert real.exists()
    assert not (dataset / "videos" / "a.mp4").is_symlink()


def test_uncut_videos_and_previews_that_are_shown_stay(dataset: Path) -> None:
    with open_catalogue(dataset) as catalogue, catalogue.writing() as session:
        clip = session.scalars(sa.select(Clip.id).where(Clip.video_id == "file-a").limit(1)).one()
        session.add(Preview(clip_id=clip, path=f"previews/{clip}.mp4", width=1, height=1, fps=1, frames=1))
        session.execute(sa.update(Video).values(cut_recipe=None))
        session.execute(sa.update(Clip).values(state=ClipState.REJECTED))
        assert session.scalars(sa.select(Decision)).first() is not None
    preview = dataset / "previews" / f"{clip}.mp4"
    preview.write_bytes(b"x")
    os.utime(preview, (1, 1))
    assert curate(dataset, "prune")["files"] == 0
