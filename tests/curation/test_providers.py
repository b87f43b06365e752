"""Which video a URL or a path means, without network."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.errors import ErrorClass, StageError
from curation.providers.folder import identify_file, list_folder, natural_key
from curation.providers.found import video_id
from curation.providers.urls import identify_url, is_url, read_list


@pytest.mark.parametrize(
    "url",
    [
        "https://youtu.be/dQw4w9WgXcQ",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ",
        "https://m.youtube.com/watch?v=dQw4w9WgXcQ&t=30s",
        "https://www.youtube.com/watch?v=dQw4w9WgXcQ&list=PLabcdefghijkl&index=2",
        "https://www.youtube.com/shorts/dQw4w9WgXcQ",
        "https://www.youtube-nocookie.com/embed/dQw4w9WgXcQ",
    ],
)
def test_one_video_under_all_its_addresses(url: str) -> None:
    found = identify_url(url)
    assert (found.provider, found.provider_id, found.id) == ("youtube", "dQw4w9WgXcQ", "youtube-dQw4w9WgXcQ")


def test_other_sites_and_plain_files() -> None:
    assert identify_url("https://vimeo.com/56015672").id == "vimeo-56015672"
    plain = identify_url("HTTP://Example.ORG:8000/a/Sea.mp4?x=1#t=10")
    assert (plain.provider, plain.provider_id) == ("web", "http://example.org:8000/a/Sea.mp4?x=1")
    assert plain.id == identify_url("http://example.org:8000/a/Sea.mp4?x=1").id
    assert plain.id != identify_url("http://example.org:8000/a/sea.mp4?x=1").id
    assert re.fullmatch(r"web-[0-9a-f]{12}", plain.id)
    assert identify_url("http://[::1]:80/a.mp4").source == "http://[::1]:80/a.mp4"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a.mp4",
        "file:///etc/passwd",
        "http://",
        "http:///a.mp4",
        "http://example.org:port/a.mp4",
        "http://[broken/a.mp4",
        "http://example.org/a b.mp4",
        "https://www.youtube.com/playlist?list=PL590L5WQmH8fJ54F369BLDSqIwcs-TCfs",
        "https://www.youtube.com/@someone/videos",
    ],
)
def test_what_is_no_video_address_is_refused(url: str) -> None:
    assert is_url(url)
    with pytest.raises(StageError) as raised:
        identify_url(url)
    assert raised.value.error_class is ErrorClass.UNSUPPORTED


@given(st.text(min_size=1, max_size=60).filter(lambda text: text.isprintable()))
def test_video_ids_are_fit_for_file_names(provider_id: str) -> None:
    found = video_id("web", provider_id)
    assert re.fullmatch(r"web-[A-Za-z0-9_-]{1,40}", found)
    assert found == video_id("web", provider_id)


def test_ids_keep_short_ids_and_hash_the_rest() -> None:
    assert video_id("youtube", "a-b_C1") == "youtube-a-b_C1"
    assert video_id("youtube", "a" * 40) == "youtube-" + "a" * 40
    assert video_id("youtube", "a" * 41) != video_id("youtube", "a" * 42)
    assert video_id("x", "../../etc") == video_id("x", "../../etc")
    assert "/" not in video_id("x", "../../etc")


def test_files_are_known_by_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    found = identify_file(tmp_path / "a.mp4")
    assert found.provider == "file"
    assert found.source == str((tmp_path / "a.mp4").resolve())
    assert identify_file(tmp_path / "link.mp4") == found
    assert identify_file(tmp_path / "." / "a.mp4") == found


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    expected = {
        "none.mp4": ErrorClass.MISSING,
        "empty.mp4": ErrorClass.CORRUPT,
        ".": ErrorClass.UNSUPPORTED,
        "loop.mp4": ErrorClass.MISSING,
        "a\0b": ErrorClass.MISSING,
        "empty.mp4/below": ErrorClass.MISSING,
    }
    for name, error_class in expected.items():
        with pytest.raises(StageError) as raised:
            identify_file(tmp_path / name)
        assert raised.value.error_class is error_class, name


def test_folders_are_listed_in_numeric_order(tmp_path: Path) -> None:
    names = [
        "v10.mp4",
        "v2.mp4",
        "V1.MP4",
        "b/1.webm",
        "b/.hidden.mp4",
        ".cache/x.mp4",
        "notes.txt",
        "a/12.mkv",
        "a/3.mkv",
    ]
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    flat = [str(p.relative_to(tmp_path)) for p in list_folder(tmp_path, recursive=False)]
    assert flat == ["V1.MP4", "v2.mp4", "v10.mp4"]
    deep = [str(p.relative_to(tmp_path)) for p in list_folder(tmp_path, recursive=True)]
    assert deep == ["a/3.mkv", "a/12.mkv", "b/1.webm", "V1.MP4", "v2.mp4", "v10.mp4"]


@given(st.lists(st.integers(0, 10**30), min_size=1, max_size=20, unique=True))
def test_numbers_in_names_order_as_numbers(numbers: list[int]) -> None:
    paths = [Path(f"clip{number}.mp4") for number in numbers]
    assert sorted(paths, key=natural_key) == [Path(f"clip{number}.mp4") for number in sorted(numbers)]


@given(st.lists(st.from_regex(r"[a-zA-Z0-9._-]{1,12}(/[a-zA-Z0-9._-]{1,12})?", fullmatch=True), max_size=8))
def test_the_order_is_total(names: list[str]) -> None:
    paths = [Path(name) for name in names]
    assert sorted(paths, key=natural_key) == sorted(reversed(paths), key=natural_key)


def test_lists_leave_out_comments_and_tell_lines() -> None:
    text = "\ufeffhttp://a/1.mp4\n\n  # a comment\n  clips/b c.mp4  \r\n"
    assert list(read_list(io.StringIO(text), "list.txt")) == [
        ("http://a/1.mp4", "list.txt, line 1"),
        ("clips/b c.mp4", "list.txt, line 4"),
    ]
    with pytest.raises(StageError, match="not UTF-8"):
        list(read_list(io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00"), encoding="utf-8"), "list.txt"))
