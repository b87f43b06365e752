"""Downloads: done means in place, decodable and hashed; everything else ends with its error's class."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from curation.adding import add_found
from curation.commands import main
from curation.download import DownloadReport, DownloadSettings, Stopped, download, locate
from curation.errors import ErrorClass, StageError
from curation.providers.folder import identify_file
from curation.providers.urls import identify_url
from db.engine import Catalogue, create
from db.leases import claim, worker_name
from db.models import Attempt, Lease, Video, now
from db.states import VideoState, move_video
from tests.curation.fault_server import FaultServer, Page, serving

MakeVideo = Callable[..., Path]


class Quiet:
    """Progress that nobody looks at, with its sum."""

    def __init__(self) -> None:
        self.total = 0.0
        self.done = 0.0

    def advance(self, amount: float) -> None:
        self.done += amount

    def grow(self, amount: float) -> None:
        self.total += amount

    def line(self, text: str) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def movie(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of about 100 kB."""
    return make_video(tmp_path_factory.mktemp("movie") / "a.mp4", frames=60, height=144, width=192).read_bytes()


def add(catalogue: Catalogue, *items: str | Path) -> list[str]:
    found = [identify_file(item) if isinstance(item, Path) else identify_url(item) for item in items]
    return add_found(catalogue, found, provider="add", phrase="test", settings={}).new


def fetch(catalogue: Catalogue, **settings: object) -> DownloadReport:
    defaults: dict[str, object] = {"network_retries": 1, "timeout": 2.0, "keep_free": 0, "workers": 2}
    return download(catalogue, DownloadSettings(**(defaults | settings)), Quiet())  # type: ignore[arg-type]


def row(catalogue: Catalogue, video_id: str) -> Video:
    with catalogue.reading() as session:
        return session.get_one(Video, video_id)


def attempts(catalogue: Catalogue) -> list[tuple[str, str, str | None]]:
    with catalogue.reading() as session:
        return [(a.item_id, a.outcome, a.error_class) for a in session.scalars(select(Attempt).order_by(Attempt.id))]


def files(catalogue: Catalogue) -> list[str]:
    folder = catalogue.folder / "videos"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def make_due(catalogue: Catalogue) -> None:
    """As if the pauses of all failed videos were over."""
    with catalogue.writing() as session:
        for video in session.scalars(select(Video).where(Video.retry_at.is_not(None))):
            video.retry_at = now() - timedelta(seconds=1)


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


def test_one_failure_does_not_stop_the_others(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    urls = [server.put(f"{n}.mp4", Page(body=movie, statuses=[404] * 9 if n % 3 == 0 else [])) for n in range(9)]
    add(catalogue, *urls)
    report = fetch(catalogue, workers=4)
    assert (len(report.done), len(report.failed)) == (6, 3)
    with catalogue.reading() as session:
        assert session.scalars(select(Lease).where(Lease.owner.is_not(None))).all() == []


def test_limit(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    add(catalogue, *(server.put(f"{n}.mp4", Page(body=movie)) for n in range(5)))
    report = fetch(catalogue, limit=2, workers=4)
    assert (len(report.done), report.queued) == (2, 3)


def test_local_files_that_vanish_or_break(catalogue: Catalogue, make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=10)
    text = tmp_path / "b.mp4"
    text.write_text("no video")
    gone_id, text_id = add(catalogue, path, text)
    whole = path.read_bytes()
    path.unlink()
    report = fetch(catalogue)
    assert {failed.id: failed.error.error_class for failed in report.failed} == {
        gone_id: ErrorClass.MISSING,
        text_id: ErrorClass.CORRUPT,
    }
    path.write_bytes(whole)  # the disk is mounted again
    assert fetch(catalogue).done == [gone_id]


def test_real_files(catalogue: Catalogue, footage: Path) -> None:
    names = ("corrupted.mp4", "bad-container.mp4", "stream-of-water.mp4")
    broken, odd, water = add(catalogue, *(footage / name for name in names))
    report = fetch(catalogue)
    assert sorted(report.done) == sorted([odd, water])
    assert [(failed.id, failed.error.error_class) for failed in report.failed] == [(broken, ErrorClass.CORRUPT)]


def test_free_space_is_guarded_before_and_during(
    catalogue: Catalogue, server: FaultServer, movie: bytes, make_video: MakeVideo, tmp_path: Path
) -> None:
    video_ids = add(catalogue, server.put("a.mp4", Page(body=movie)))
    with pytest.raises(StageError) as raised:
        fetch(catalogue, keep_free=10**18)
    assert raised.value.error_class is ErrorClass.DISK_FULL
    assert str(catalogue.folder) in raised.value.message
    assert row(catalogue, video_ids[0]).state == VideoState.QUEUED
    assert server.asked == [] and attempts(catalogue) == []
    with catalogue.writing() as session:
        move_video(session.get_one(Video, video_ids[0]), VideoState.TAKEN_DOWN)
    # Local files need no room.
    local = add(catalogue, make_video(tmp_path / "a.mp4", frames=5))
    assert fetch(catalogue, keep_free=10**18).done == local


def test_a_video_taken_down_while_it_is_fetched_leaves_no_file(
    catalogue: Catalogue, server: FaultServer, movie: bytes
) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, rate=len(movie) / 1.0)))
    thread = threading.Thread(target=fetch, args=(catalogue,))
    thread.start()
    while not server.sent.get("/a.mp4"):
        thread.join(0.01)
    with catalogue.writing() as session:
        move_video(session.get_one(Video, video_id), VideoState.TAKEN_DOWN)
    thread.join()
    assert row(catalogue, video_id).state == VideoState.TAKEN_DOWN
    assert files(catalogue) == []


def test_a_bot_check_spares_the_rest_of_its_provider(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, make_video: MakeVideo, tmp_path: Path
) -> None:
    from curation.providers.ytdlp import WebFetcher

    asked: list[str] = []

    def check(self: WebFetcher, url: str, *args: object) -> None:
        asked.append(url)
        raise StageError(ErrorClass.BOT_CHECK, "Sign in to confirm you're not a bot")

    monkeypatch.setattr(WebFetcher, "fetch", check)
    add(catalogue, *(f"https://youtu.be/dQw4w9WgX{n:02}" for n in range(5)))
    local = add(catalogue, make_video(tmp_path / "a.mp4", frames=5))
    report = fetch(catalogue, workers=1)
    assert len(asked) == 1
    assert report.done == local
    assert (report.paused_providers, report.queued, len(report.failed)) == ({"youtube"}, 4, 1)


def test_what_another_worker_holds_is_left_to_it(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    video_ids = add(catalogue, *(server.put(f"{n}.mp4", Page(body=movie)) for n in range(3)))
    (held_by_other,) = claim(catalogue, "download", select(Video.id).where(Video.id == video_ids[0]), worker_name(99))
    report = fetch(catalogue)
    assert sorted(report.done) == sorted(video_ids[1:])
    assert report.elsewhere == 1
    assert held_by_other.item_id == video_ids[0]


def test_begun_downloads_of_finished_videos_are_swept(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie)))
    fetch(catalogue)
    for name in (video_id, "web-of-nobody"):
        left = catalogue.folder / "videos" / ".partial" / name / "part"
        left.mkdir(parents=True)
        (left / "x.part").write_bytes(b"x")
    fetch(catalogue)
    assert files(catalogue) == [f"{video_id}.mp4"]


def test_an_error_of_ours_ends_the_call_and_frees_the_lease(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, make_video: MakeVideo, tmp_path: Path
) -> None:
    add(catalogue, make_video(tmp_path / "a.mp4", frames=5))

    def broken(path: Path) -> None:
        raise ZeroDivisionError("a mistake in our code")

    monkeypatch.setattr("curation.fetching.probe", broken)
    with pytest.raises(ZeroDivisionError):
        fetch(catalogue)
    with catalogue.reading() as session:
        assert session.scalars(select(Lease).where(Lease.owner.is_not(None))).all() == []


def test_ctrl_c_stops_keeps_the_part_and_gives_back_the_leases(
    catalogue: Catalogue, server: FaultServer, movie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, rate=len(movie) / 3.0)))
    slept = 0

    def interrupt(seconds: float) -> None:
        nonlocal slept
        slept += 1
        threading.Event().wait(seconds)
        if server.sent.get("/a.mp4", 0) > len(movie) // 4:
            raise KeyboardInterrupt

    monkeypatch.setattr("curation.download.time.sleep", interrupt)
    with pytest.raises(Stopped) as stopped:
        fetch(catalogue)
    monkeypatch.undo()
    assert slept > 0
    assert (stopped.value.report.done, stopped.value.report.failed, stopped.value.report.queued) == ([], [], 1)
    with catalogue.reading() as session:
        assert session.scalars(select(Lease).where(Lease.owner.is_not(None))).all() == []
    assert [Path(name).suffix for name in files(catalogue) if name.endswith(".part")] == [".part"]
    server.pages["/a.mp4"].rate = None
    assert fetch(catalogue).done == [video_id]
    begun = server.first_bytes("a.mp4")[-1]
    assert begun is not None and begun > 0


def test_locate_tells_files_that_went_or_changed(catalogue: Catalogue, make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=10)
    (video_id,) = add(catalogue, path)
    with pytest.raises(StageError, match="not downloaded"):
        locate(catalogue, row(catalogue, video_id))
    fetch(catalogue)
    video = row(catalogue, video_id)
    assert locate(catalogue, video, check_hash=True) == path
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert locate(catalogue, video) == path
    with pytest.raises(StageError, match=r"missing: .*other bytes"):
        locate(catalogue, video, check_hash=True)
    path.write_bytes(whole + b"more")
    with pytest.raises(StageError, match=r"missing: .*changed since it was checked"):
        locate(catalogue, video)
    path.unlink()
    with pytest.raises(StageError, match=r"missing: .*a\.mp4: No such file"):
        locate(catalogue, video)


@pytest.mark.parametrize(
    "settings",
    [{"workers": 0}, {"limit": 0}, {"keep_free": -1}, {"timeout": 0.0}, {"network_retries": -1}, {"max_height": 1}],
)
def test_settings_are_checked(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        DownloadSettings(**settings)  # type: ignore[arg-type]


def test_the_command(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    good, bad = add(catalogue, server.put("a.mp4", Page(body=movie)), server.put("b.mp4", Page(statuses=[404] * 9)))
    arguments = ["download", "--dataset", str(catalogue.folder), "--keep-free", "0"]
    result = CliRunner().invoke(main, [*arguments, "--json"])
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert (said["downloaded"], said["failed"], said["videos"]) == (1, 1, [good])
    assert said["failures"][0]["item"] == bad and said["failures"][0]["error"].startswith("gone: ")
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    assert "1 failed before, for good" in again.output
    full = CliRunner().invoke(main, [*arguments, "--retry", "--keep-free", str(10**12)])
    assert full.exit_code == 1
    assert "disk-full" in full.output and "Traceback" not in full.output
    for wrong in (["--workers", "0"], ["--max-height", "x"], ["--timeout", "0"]):
        assert CliRunner().invoke(main, [*arguments, *wrong]).exit_code == 2
