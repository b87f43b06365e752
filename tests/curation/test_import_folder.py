"""`curate import folder`: all videos of a folder, in numeric order, where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from curation.commands import main
from db.engine import Catalogue
from db.models import Video

MakeVideo = Callable[..., Path]


def import_folder(catalogue: Catalogue, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["import", "folder", *arguments, "--dataset", str(catalogue.folder)])


def videos(catalogue: Catalogue) -> list[Video]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Video).order_by(Video.query_rank)))


@pytest.fixture
def collection(tmp_path: Path, make_video: MakeVideo) -> Path:
    folder = tmp_path / "collection"
    for name in ("10.mp4", "9.mp4", "waves/2.mkv", "waves/1.mkv", "leaves/3.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        make_video(folder / name, frames=3)
    (folder / "notes.txt").write_text("not a video")
    return folder


def test_one_level_in_numeric_order(catalogue: Catalogue, collection: Path) -> None:
    result = import_folder(catalogue, str(collection))
    assert result.exit_code == 0, result.output
    assert [Path(v.source).name for v in videos(catalogue)] == ["9.mp4", "10.mp4"]
    assert [v.label for v in videos(catalogue)] == [None, None]
    assert all(v.provider == "file" and v.source == str(collection / Path(v.source).name) for v in videos(catalogue))


def test_recursive_with_labels(catalogue: Catalogue, collection: Path) -> None:
    result = import_folder(catalogue, str(collection), "--recursive", "--label-from-folder")
    assert result.exit_code == 0, result.output
    found = [(str(Path(v.source).relative_to(collection)), v.label) for v in videos(catalogue)]
    assert found == [
        ("9.mp4", "collection"),
        ("10.mp4", "collection"),
        ("leaves/3.mp4", "leaves"),
        ("waves/1.mkv", "waves"),
        ("waves/2.mkv", "waves"),
    ]


def test_again_brings_only_what_is_new(catalogue: Catalogue, collection: Path, make_video: MakeVideo) -> None:
    import_folder(catalogue, str(collection))
    make_video(collection / "11.mp4", frames=3)
    result = import_folder(catalogue, str(collection))
    assert result.exit_code == 0
    assert "1 added, 2 already known" in result.output


def test_empty_files_are_named(catalogue: Catalogue, collection: Path) -> None:
    (collection / "0.mp4").touch()
    result = import_folder(catalogue, str(collection))
    assert result.exit_code == 1
    assert f"{collection / '0.mp4'} ({collection}): corrupt: the file is empty" in result.output
    assert len(videos(catalogue)) == 2


def test_bad_usage(catalogue: Catalogue, collection: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments, words in [
        ([str(tmp_path / "empty")], "no video files"),
        ([str(tmp_path / "none")], "does not exist"),
        ([str(collection / "9.mp4")], "is a file"),
        ([], "Missing argument"),
    ]:
        result = import_folder(catalogue, *arguments)
        assert result.exit_code == 2, result.output
        assert words in result.output
        assert "Traceback" not in result.output
    assert videos(catalogue) == []
