"""Fetching: done means in place, decodable and hashed; everything else ends with its error's class."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest

from curation.downloading.download import DownloadSettings, download
from curation.errors import ErrorClass
from db.engine import Catalogue, create
from db.models import now
from db.states import VideoState
from tests.curation.download_cases import MakeVideo, Quiet, add, attempts, fetch, files, make_due, row
from tests.curation.fault_server import FaultServer, Page, serving


def test_a_web_video_is_fetched_checked_and_recorded(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    (video_id,) = add(catalogue, server.put("Sea at dusk.mp4".replace(" ", "%20"), Page(body=movie)))
    progress = Quiet()
    report = download(catalogue, DownloadSettings(keep_free=0), progress)
    assert (report.done, report.failed, report.bytes) == ([video_id], [], len(movie))
    assert progress.total == 1 and progress.done == pytest.approx(1)
    video = row(catalogue, video_id)
    assert video.state == VideoState.DOWNLOADED
    assert video.path == f"videos/{video_id}.mp4"
    assert catalogue.path(video.path).read_bytes() == movie
    assert video.sha256 == hashlib.sha256(movie).hexdigest()
    assert (video.bytes, video.frames, video.width, video.height, video.codec) == (len(movie), 60, 192, 144, "h264")
    assert video.duration == pytest.approx(60 / 25) and video.fps == pytest.approx(25)
    assert video.title == "Sea at dusk"
    assert video.tools is not None and {"yt-dlp", "av", "stillflow"} <= set(video.tools)
    assert video.error is None and video.retry_at is None and video.downloaded_at is not None
    assert attempts(catalogue) == [(video_id, "done", None)]
    assert files(catalogue) == [f"{video_id}.mp4"]
    assert not (catalogue.folder / "videos" / ".partial").exists()


def test_any_folder_name_will_do(
    tmp_path: Path, server: FaultServer, movie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ELSEWHERE", "elsewhere")
    with create(tmp_path / "~ $ELSEWHERE %(id)s \N{LATIN SMALL LETTER E WITH ACUTE} ") as catalogue:
        (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie)))
        assert fetch(catalogue).done == [video_id]
        assert files(catalogue) == [f"{video_id}.mp4"]
        assert list(tmp_path.iterdir()) == [catalogue.folder]


def test_local_files_stay_where_they_are(catalogue: Catalogue, make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(tmp_path / "sea.mp4", frames=10)
    (video_id,) = add(catalogue, path)
    assert fetch(catalogue).done == [video_id]
    video = row(catalogue, video_id)
    assert video.path == str(path)
    assert video.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert files(catalogue) == []


def test_the_same_call_again_does_nothing(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    add(catalogue, server.put("a.mp4", Page(body=movie)))
    fetch(catalogue)
    asked = len(server.asked)
    again = fetch(catalogue, retry=True)
    assert (again.done, again.failed, len(server.asked)) == ([], [], asked)


@pytest.mark.parametrize(
    ("page", "error_class", "comes_back"),
    [
        (Page(statuses=[404] * 9), ErrorClass.GONE, False),
        (Page(statuses=[410] * 9), ErrorClass.GONE, False),
        (Page(statuses=[403] * 9), ErrorClass.PRIVATE, False),
        (Page(statuses=[451] * 9), ErrorClass.GEO, False),
        (Page(statuses=[429] * 9, retry_after="3600"), ErrorClass.RATE_LIMITED, True),
        (Page(body=b"<html><body>no video</body></html>", content_type="text/html"), ErrorClass.UNSUPPORTED, False),
        (Page(body=b"plain words", content_type="text/plain"), ErrorClass.CORRUPT, False),
        (Page(body=b"\0" * 5000), ErrorClass.CORRUPT, False),
    ],
)
def test_errors_are_classed_and_kept(
    catalogue: Catalogue, server: FaultServer, page: Page, error_class: ErrorClass, comes_back: bool
) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    report = fetch(catalogue)
    assert [failed.error.error_class for failed in report.failed] == [error_class]
    video = row(catalogue, video_id)
    assert (video.state, video.error_class, video.tries) == (VideoState.FAILED, error_class, 1)
    assert video.error is not None and video.error.startswith(f"{error_class}: ") and "\n" not in video.error
    assert (video.retry_at is not None) is comes_back
    assert attempts(catalogue) == [(video_id, "failed", error_class)]
    assert files(catalogue) == []
    later = fetch(catalogue)
    assert (later.failed, later.waiting, later.given_up) == ([], int(comes_back), int(not comes_back))


def test_retry_after_is_obeyed(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    url = server.put("a.mp4", Page(body=movie, statuses=[429], retry_after="7200"))
    (video_id,) = add(catalogue, url)
    fetch(catalogue)
    retry_at = row(catalogue, video_id).retry_at
    assert retry_at is not None and timedelta(seconds=7190) < retry_at - now() <= timedelta(seconds=7200)
    make_due(catalogue)
    assert fetch(catalogue).done == [video_id]


def test_a_short_wait_is_waited_for(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, statuses=[429, 503], retry_after="1")))
    assert fetch(catalogue).done == [video_id]


def test_pauses_grow_with_each_failure(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, statuses=[429] * 3)))
    pauses = []
    for _ in range(3):
        make_due(catalogue)
        fetch(catalogue)
        retry_at = row(catalogue, video_id).retry_at
        assert retry_at is not None
        pauses.append(round((retry_at - now()).total_seconds(), -1))
    assert pauses == [300, 600, 1200]
    make_due(catalogue)
    fetch(catalogue)
    assert (row(catalogue, video_id).state, row(catalogue, video_id).tries) == (VideoState.DOWNLOADED, 0)


def test_lasting_errors_are_tried_again_only_when_asked(
    catalogue: Catalogue, server: FaultServer, movie: bytes
) -> None:
    page = Page(body=movie, statuses=[404])
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    assert fetch(catalogue).failed and not fetch(catalogue).done
    assert fetch(catalogue, retry=True).done == [video_id]
    assert attempts(catalogue) == [(video_id, "failed", "gone"), (video_id, "done", None)]


def test_retry_tries_each_video_once(catalogue: Catalogue, server: FaultServer) -> None:
    video_ids = add(catalogue, *(server.put(f"{n}.mp4", Page(statuses=[404] * 9)) for n in range(3)))
    fetch(catalogue)
    report = fetch(catalogue, retry=True)
    assert sorted(failed.id for failed in report.failed) == sorted(video_ids)
    assert len(attempts(catalogue)) == 6


def test_a_dropped_connection_is_continued_in_the_same_call(
    catalogue: Catalogue, server: FaultServer, movie: bytes
) -> None:
    page = Page(body=movie, cut_at=len(movie) // 2, cuts=2)
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    assert fetch(catalogue, network_retries=3).done == [video_id]
    continued = server.first_bytes("a.mp4")[-1]
    assert continued is not None and 0 < continued <= len(movie) // 2
    assert row(catalogue, video_id).sha256 == hashlib.sha256(movie).hexdigest()


def test_a_broken_download_is_continued_by_the_next_call(
    catalogue: Catalogue, server: FaultServer, movie: bytes
) -> None:
    half = len(movie) // 2
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, cut_at=half, cuts=2)))
    report = fetch(catalogue, network_retries=0)
    assert [failed.error.error_class for failed in report.failed] == [ErrorClass.NETWORK]
    part = catalogue.folder / "videos" / ".partial" / video_id / "part" / f"{video_id}.mp4.part"
    begun = part.read_bytes()
    assert 0 < len(begun) <= half and begun == movie[: len(begun)]
    server.pages["/a.mp4"].cuts = 0
    before = len(server.asked)
    make_due(catalogue)
    assert fetch(catalogue).done == [video_id]
    assert [asked.first_byte for asked in server.asked[before:]] == [None, len(begun)]
    assert row(catalogue, video_id).sha256 == hashlib.sha256(movie).hexdigest()
    assert files(catalogue) == [f"{video_id}.mp4"]


def test_a_server_without_ranges_starts_over(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    page = Page(body=movie, cut_at=len(movie) // 2, cuts=2, ranges=False)
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    assert fetch(catalogue, network_retries=3).done == [video_id]
    assert row(catalogue, video_id).sha256 == hashlib.sha256(movie).hexdigest()


def test_a_file_that_changed_between_the_halves_is_fetched_anew(
    catalogue: Catalogue, server: FaultServer, movie: bytes, make_video: MakeVideo, tmp_path: Path
) -> None:
    half = len(movie) // 2
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, cut_at=half, cuts=2)))
    fetch(catalogue, network_retries=0)
    other = make_video(tmp_path / "other.mp4", frames=80, height=160, width=208, seed=5).read_bytes()
    assert len(other) > half
    server.pages["/a.mp4"] = Page(body=other)
    make_due(catalogue)
    assert fetch(catalogue).done == [video_id]
    assert row(catalogue, video_id).sha256 == hashlib.sha256(other).hexdigest()


def test_a_stalled_connection_times_out_and_goes_on(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    page = Page(body=movie, stall_at=len(movie) // 3, stalls=2)
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    assert fetch(catalogue, timeout=0.5, network_retries=2).done == [video_id]


def test_a_cut_file_without_a_stated_length_is_corrupt(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    page = Page(body=movie[: len(movie) // 2], length=False)
    add(catalogue, server.put("a.mp4", page))
    assert [failed.error.error_class for failed in fetch(catalogue).failed] == [ErrorClass.CORRUPT]
    assert files(catalogue) == []


def test_nobody_there(catalogue: Catalogue) -> None:
    with serving() as gone:
        url = gone.put("a.mp4", Page())
    add(catalogue, url)
    report = fetch(catalogue, network_retries=0)
    assert [failed.error.error_class for failed in report.failed] == [ErrorClass.NETWORK]
    assert report.failed[0].retry_at is not None
