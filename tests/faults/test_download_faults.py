"""Downloads that are killed, doubled, or run out of disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from curation.finding.adding import add_found
from curation.providers.urls import identify_url
from db.engine import Catalogue, create
from db.models import Attempt, Lease, Video, now
from db.states import VideoState
from tests.curation.fault_server import FaultServer, Page, serving
from tests.faults.killing import run_killed

MakeVideo = Callable[..., Path]


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def movie(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of some 200 kB."""
    path = tmp_path_factory.mktemp("movie") / "a.mp4"
    return make_video(path, frames=100, height=240, width=320).read_bytes()


def add(catalogue: Catalogue, *urls: str) -> list[str]:
    return add_found(catalogue, [identify_url(url) for url in urls], provider="add", phrase="test", settings={}).new


def start(catalogue: Catalogue, *arguments: str) -> subprocess.Popen[str]:
    """`curate download` in a process of its own."""
    code = "from curation.commands import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "download",
        "--dataset",
        str(catalogue.folder),
        "--keep-free",
        "0",
        *arguments,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out + err


def wait_until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def files(catalogue: Catalogue) -> list[str]:
    folder = catalogue.folder / "videos"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def part_sizes(catalogue: Catalogue) -> list[int]:
    sizes = []
    for path in (catalogue.folder / "videos").rglob("*.part"):
        with contextlib.suppress(FileNotFoundError):
            sizes.append(path.stat().st_size)
    return sizes


def test_a_killed_call_is_continued_by_the_next(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    names = [f"{n}.mp4" for n in range(4)]
    video_ids = add(catalogue, *(server.put(name, Page(body=movie, rate=len(movie) / 4)) for name in names))
    process = start(catalogue, "--workers", "4")
    wait_until(lambda: len(part_sizes(catalogue)) == 4 and min(part_sizes(catalogue)) > len(movie) // 8)
    process.kill()
    ended(process)
    begun = part_sizes(catalogue)
    with catalogue.reading() as session:
        assert len(session.scalars(select(Lease).where(Lease.owner.is_not(None))).all()) == 4
    for name in names:
        server.pages[f"/{name}"].rate = None
    before = len(server.asked)

    status, said = ended(start(catalogue, "--workers", "4"))

    assert status == 0, said
    continued = sorted(asked.first_byte for asked in server.asked[before:] if asked.first_byte is not None)
    assert continued == sorted(begun)
    assert files(catalogue) == sorted(f"{video_id}.mp4" for video_id in video_ids)
    with catalogue.reading() as session:
        for video in session.scalars(select(Video)):
            assert (video.state, video.sha256) == (VideoState.DOWNLOADED, hashlib.sha256(movie).hexdigest())
        assert session.scalars(select(Lease).where(Lease.owner.is_not(None))).all() == []
        assert [a.outcome for a in session.scalars(select(Attempt))] == ["done"] * 4


@pytest.mark.parametrize("moment", ["placed", "recorded"])
def test_killed_between_the_file_and_its_row(
    catalogue: Catalogue, server: FaultServer, movie: bytes, moment: str
) -> None:
    """Killed right before the row says done, and right after it: both are set right by the next call."""
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie)))
    target = {
        "placed": ("curation.downloading.download", "record_done", "before", 1),
        "recorded": ("curation.downloading.fetching:Fetcher", "clean", "before", 1),
    }[moment]
    run_killed(target, ["download", "--dataset", str(catalogue.folder), "--keep-free", "0"])
    assert f"{video_id}.mp4" in files(catalogue)
    status, said = ended(start(catalogue))
    assert status == 0, said
    assert files(catalogue) == [f"{video_id}.mp4"]
    with catalogue.reading() as session:
        assert session.get_one(Video, video_id).state == VideoState.DOWNLOADED


def test_two_calls_share_the_work(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    names = [f"{n}.mp4" for n in range(20)]
    add(catalogue, *(server.put(name, Page(body=movie, rate=len(movie) / 0.3)) for name in names))
    processes = [start(catalogue, "--workers", "3") for _ in range(2)]
    for status, said in map(ended, processes):
        assert status == 0, said
    for name in names:
        assert server.first_bytes(name) == [None, None], f"{name}: more than one look and one fetch"
    with catalogue.reading() as session:
        tries = session.scalars(select(Attempt)).all()
        states = session.scalars(select(Video.state)).all()
    assert sorted(a.item_id for a in tries) == sorted({a.item_id for a in tries}) and len(tries) == 20
    assert set(states) == {VideoState.DOWNLOADED}
    assert len({a.worker.rsplit(":", 1)[0] for a in tries}) == 2, "one of the two calls did nothing"
    assert len(files(catalogue)) == 20


def test_a_call_beside_a_living_one_leaves_its_videos_alone(
    catalogue: Catalogue, server: FaultServer, movie: bytes
) -> None:
    add(catalogue, server.put("a.mp4", Page(body=movie, rate=len(movie) / 4)))
    first = start(catalogue)
    wait_until(lambda: bool(part_sizes(catalogue)))
    status, said = ended(start(catalogue))
    assert (status, "1 are being fetched by another call" in said) == (0, True), said
    server.pages["/a.mp4"].rate = None
    assert ended(first)[0] == 0
    assert server.first_bytes("a.mp4") == [None, None]


def test_ctrl_c_says_how_to_go_on(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, rate=len(movie) / 5)))
    process = start(catalogue)
    wait_until(lambda: sum(part_sizes(catalogue)) > 0)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    status, said = ended(process)
    assert time.monotonic() - pressed < 6
    assert status == 130 and "Traceback" not in said
    assert "the same command goes on" in said and "1 are left to fetch" in said
    server.pages["/a.mp4"].rate = None
    assert ended(start(catalogue))[0] == 0
    assert files(catalogue) == [f"{video_id}.mp4"]


def test_a_hung_connection_does_not_hold_ctrl_c_up(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    add(catalogue, server.put("a.mp4", Page(body=movie, stall_at=len(movie) // 2, stalls=9)))
    process = start(catalogue, "--timeout", "60")
    wait_until(lambda: sum(part_sizes(catalogue)) > 0)
    pressed = time.monotonic()
    process.send_signal(signal.SIGINT)
    status, said = ended(process)
    assert status == 130 and "Traceback" not in said, said
    assert time.monotonic() - pressed < 12
    with catalogue.reading() as session:
        assert session.scalars(select(Lease).where(Lease.owner.is_not(None))).all() == []


def test_a_worker_that_hung_and_lost_its_lease_changes_nothing(
    catalogue: Catalogue, server: FaultServer, movie: bytes
) -> None:
    """A stopped process wakes up after its lease ran out: while it holds the file, nobody else writes into it."""
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=movie, rate=len(movie) / 3)))
    first = start(catalogue)
    wait_until(lambda: sum(part_sizes(catalogue)) > 0)
    first.send_signal(signal.SIGSTOP)
    try:
        with catalogue.writing() as session:
            session.scalars(select(Lease)).one().expires_at = now() - timedelta(seconds=1)
        status, said = ended(start(catalogue))
        assert status == 0, said
        with catalogue.reading() as session:
            assert session.get_one(Video, video_id).state == VideoState.QUEUED
    finally:
        first.send_signal(signal.SIGCONT)
    ended(first)
    status, said = ended(start(catalogue))
    assert status == 0, said
    with catalogue.reading() as session:
        video = session.get_one(Video, video_id)
    assert (video.state, video.sha256) == (VideoState.DOWNLOADED, hashlib.sha256(movie).hexdigest())
    assert files(catalogue) == [f"{video_id}.mp4"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 1.5 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(small_disk: Path, server: FaultServer, movie: bytes) -> None:
    big = movie + b"\0" * 4_000_000
    with create(small_disk / "dataset") as catalogue:
        assert len(movie) < 400_000
        (small, large) = add(catalogue, server.put("a.mp4", Page(body=movie)), server.put("b.mp4", Page(body=big)))
        status, said = ended(start(catalogue, "--workers", "1"))
        assert status == 1 and "Traceback" not in said, said
        assert f"failed: {large}" in said and "disk-full: " in said
        with catalogue.reading() as session:
            video = session.get_one(Video, large)
            assert (video.state, video.error_class) == (VideoState.FAILED, "disk-full")
            assert session.get_one(Video, small).state == VideoState.DOWNLOADED
        whole = [name for name in files(catalogue) if not name.startswith(".partial/")]
        assert whole == [f"{small}.mp4"]
        left = [name for name in files(catalogue) if name.startswith(".partial/")]
        assert {Path(name).name for name in left} <= {"lock", f"{large}.mp4.part"}

        # The floor keeps the next call from filling the disk again, and says so.
        status, said = ended(start(catalogue, "--keep-free", "100"))
        assert status == 1 and "disk-full: " in said and "are to stay free" in said, said

        # Room is made (here: the file turns out smaller), and the video comes in by itself.
        server.pages["/b.mp4"].body = movie
        status, said = ended(start(catalogue))
        assert status == 0, said
        assert files(catalogue) == sorted([f"{small}.mp4", f"{large}.mp4"])
        assert os.path.getsize(small_disk / "dataset" / "videos" / f"{large}.mp4") == len(movie)  # noqa: PTH202
