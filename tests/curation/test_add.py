"""`curate add`: what is new is queued once, what is wrong is named, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from curation.commands import main
from curation.finding.adding import add_found
from curation.providers.found import Found
from db.engine import Catalogue
from db.models import Query, Video
from db.states import VideoState, move_video

MakeVideo = Callable[..., Path]


def curate(catalogue: Catalogue, *arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(main, [*arguments, "--dataset", str(catalogue.folder)], input=input)


def videos(catalogue: Catalogue) -> dict[str, Video]:
    with catalogue.reading() as session:
        return {video.source: video for video in session.scalars(select(Video).order_by(Video.query_rank))}


def test_urls_and_files_are_queued(catalogue: Catalogue, make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(tmp_path / "sea.mp4", frames=3)
    result = curate(catalogue, "add", str(path), "https://youtu.be/dQw4w9WgXcQ", "http://127.0.0.1:9/a.mp4")
    assert result.exit_code == 0, result.output
    assert "3 added" in result.output
    known = videos(catalogue)
    assert [v.provider for v in known.values()] == ["file", "youtube", "web"]
    assert {v.state for v in known.values()} == {VideoState.QUEUED}
    with catalogue.reading() as session:
        query = session.scalars(select(Query)).one()
    assert query.provider == "add" and str(path) in query.phrase
    assert [v.query_rank for v in known.values()] == [0, 1, 2]
    assert {v.query_id for v in known.values()} == {query.id}


def test_again_is_said_and_is_no_error(catalogue: Catalogue) -> None:
    assert curate(catalogue, "add", "https://youtu.be/dQw4w9WgXcQ").exit_code == 0
    again = curate(catalogue, "add", "https://www.youtube.com/watch?v=dQw4w9WgXcQ", "https://youtu.be/dQw4w9WgXcQ")
    assert again.exit_code == 0
    assert "0 added, 1 already known" in again.output
    assert "youtube-dQw4w9WgXcQ (queued)" in again.output
    with catalogue.reading() as session:
        assert len(session.scalars(select(Query)).all()) == 1


def test_a_taken_down_video_stays_down(catalogue: Catalogue) -> None:
    curate(catalogue, "add", "https://youtu.be/dQw4w9WgXcQ")
    with catalogue.writing() as session:
        move_video(session.scalars(select(Video)).one(), VideoState.TAKEN_DOWN)
    result = curate(catalogue, "add", "https://youtu.be/dQw4w9WgXcQ")
    assert result.exit_code == 0
    assert "taken down, and never fetched again" in result.output
    assert [v.state for v in videos(catalogue).values()] == [VideoState.TAKEN_DOWN]


def test_what_is_wrong_is_named_and_the_rest_is_added(
    catalogue: Catalogue, make_video: MakeVideo, tmp_path: Path
) -> None:
    good = make_video(tmp_path / "good.mp4", frames=3)
    (tmp_path / "empty.mp4").touch()
    bad = [str(tmp_path / "none.mp4"), str(tmp_path / "empty.mp4"), str(tmp_path), "ftp://example.org/a.mp4"]
    result = curate(catalogue, "add", *bad, str(good))
    assert result.exit_code == 1
    assert len(videos(catalogue)) == 1
    for name in bad:
        lines = [line for line in result.output.splitlines() if f"failed: {name} (argument" in line]
        assert len(lines) == 1, name
    assert "Traceback" not in result.output


@pytest.mark.parametrize("arguments", [[], ["none.mp4"], ["ftp://example.org/a"], ["--from", "none.txt"]])
def test_nothing_to_add_is_bad_usage(catalogue: Catalogue, arguments: list[str]) -> None:
    result = curate(catalogue, "add", *arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    with catalogue.reading() as session:
        assert session.scalars(select(Query)).all() == []


def test_no_dataset_is_bad_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["add", "https://youtu.be/dQw4w9WgXcQ", "--dataset", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "curate init" in result.output


def test_lists_from_a_file_and_from_standard_input(catalogue: Catalogue, tmp_path: Path) -> None:
    wanted = tmp_path / "list.txt"
    wanted.write_text("# rivers\nhttps://youtu.be/dQw4w9WgXcQ\n\nnone.mp4\nhttps://vimeo.com/56015672\n")
    result = curate(catalogue, "add", "--from", str(wanted))
    assert result.exit_code == 1
    assert f"none.mp4 ({wanted}, line 4): missing" in result.output
    assert set(v.id for v in videos(catalogue).values()) == {"youtube-dQw4w9WgXcQ", "vimeo-56015672"}
    piped = curate(catalogue, "add", "--from", "-", input="http://127.0.0.1:9/a.mp4\n")
    assert piped.exit_code == 0
    assert len(videos(catalogue)) == 3


def test_a_list_that_is_no_text_is_named(catalogue: Catalogue, tmp_path: Path) -> None:
    wanted = tmp_path / "list.txt"
    wanted.write_bytes(b"\xff\xfe\x00\x81")
    result = curate(catalogue, "add", "--from", str(wanted))
    assert result.exit_code == 2
    assert "not UTF-8" in result.output and str(wanted) in result.output


def test_json(catalogue: Catalogue) -> None:
    result = CliRunner().invoke(
        main, ["add", "https://youtu.be/dQw4w9WgXcQ", "none.mp4", "--json", "--dataset", str(catalogue.folder)]
    )
    assert result.exit_code == 1
    said: dict[str, Any] = json.loads(result.stdout)
    assert said["added"] == 1
    assert said["videos"] == ["youtube-dQw4w9WgXcQ"]
    assert said["failures"][0]["item"] == "none.mp4"


def test_thousands_at_once(catalogue: Catalogue) -> None:
    found = [Found(provider="web", provider_id=f"http://h/{n}", source=f"http://h/{n}") for n in range(3000)]
    first = add_found(catalogue, found[:2000] * 2, provider="add", phrase="", settings={})
    assert (len(first.new), len(first.known)) == (2000, 0)
    second = add_found(catalogue, found, provider="add", phrase="", settings={})
    assert (len(second.new), len(second.known)) == (1000, 2000)
    assert second.new == [video.id for video in found[2000:]]
