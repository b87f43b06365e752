"""A call of `curate download` as a whole: failures among others, limits, space, pauses, leases, Ctrl-C, the command."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from curation.commands import main
from curation.downloading.download import DownloadSettings, Stopped, locate
from curation.errors import ErrorClass, StageError
from db.engine import Catalogue
from db.leases import claim, worker_name
from db.models import Lease, Video, now
from db.states import VideoState, move_video
from tests.curation.download_cases import MakeVideo, add, attempts, fetch, files, row
from tests.curation.fault_server import FaultServer, Page


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

    monkeypatch.setattr("curation.downloading.fetching.probe", broken)
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

    monkeypatch.setattr("curation.downloading.download.time.sleep", interrupt)
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


def test_files_that_no_row_names_are_swept(
    catalogue: Catalogue, server: FaultServer, movie: bytes, make_video: MakeVideo
) -> None:
    """Of a download that was killed before its row was written, and then gone from its site; no other files."""
    gone, taken, kept = add(
        catalogue,
        *(server.put(f"{name}.mp4", Page(body=movie)) for name in ("gone", "taken", "kept")),
    )
    fetch(catalogue)
    folder = catalogue.folder / "videos"
    own = make_video(folder / "mine.mp4", frames=5)
    with catalogue.writing() as session:
        for video_id in (gone, taken):
            video = session.get_one(Video, video_id)
            video.path = None
            move_video(video, VideoState.TAKEN_DOWN if video_id == taken else VideoState.FAILED)
    (folder / f"{gone}.placing").write_bytes(b"half")
    (folder / f"{kept}.s000.mp4").write_bytes(b"of a run with sections")
    busy = folder / "web-busy.mp4"
    busy.write_bytes(movie)
    with catalogue.writing() as session:
        session.add(
            Lease(stage="download", item_id="web-busy", owner=worker_name(7), expires_at=now() + timedelta(seconds=60))
        )
    fetch(catalogue)
    assert files(catalogue) == sorted([own.name, busy.name, f"{kept}.mp4"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_download_killed_before_its_row_is_not_fetched_twice(
    catalogue: Catalogue, server: FaultServer, movie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie)))

    def killed(*args: object, **kwargs: object) -> None:
        raise SystemExit

    monkeypatch.setattr("curation.downloading.download.record_done", killed)
    fetch(catalogue)
    monkeypatch.undo()
    assert row(catalogue, video_id).state == VideoState.QUEUED and f"{video_id}.mp4" in files(catalogue)
    with catalogue.writing() as session:
        session.scalars(select(Lease)).one().owner = None
    before = len(server.asked)
    assert fetch(catalogue).done == [video_id]
    assert len(server.asked) == before + 1, "looked up, but not fetched"
    assert files(catalogue) == [f"{video_id}.mp4"]
