"""A site that wants to be left alone is, by all calls, for a growing time; the others go on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from curation.commands import main
from curation.downloading.pauses import active, of_site, pause, paused, site_of, succeeded
from curation.errors import ErrorClass, StageError
from db.engine import Catalogue
from db.models import Pause, Video, now
from db.states import VideoState
from tests.curation.download_cases import add, attempts, fetch, row
from tests.curation.fault_server import CHALLENGE, FaultServer, Page, serving

BOT = StageError(ErrorClass.BOT_CHECK, "Sign in to confirm you're not a bot")
HOUR = timedelta(hours=1)


@pytest.fixture
def other() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


def challenged() -> Page:
    return Page(statuses=[403] * 99, headers=CHALLENGE)


def call(catalogue: Catalogue, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["download", "--dataset", str(catalogue.folder), "--keep-free", "0", *arguments])


def pauses(catalogue: Catalogue) -> list[Pause]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Pause)))


def over(catalogue: Catalogue) -> None:
    """As if the time of all pauses and of all failed videos had come."""
    with catalogue.writing() as session:
        for each in session.scalars(select(Pause)):
            each.until = now() - timedelta(seconds=1)
            each.created_at -= HOUR
        for video in session.scalars(select(Video).where(Video.retry_at.is_not(None))):
            video.retry_at = now() - timedelta(seconds=1)


def test_a_bot_check_spares_the_queue_and_other_sites_go_on(
    catalogue: Catalogue, server: FaultServer, other: FaultServer, movie: bytes
) -> None:
    ids = add(catalogue, *(server.put(f"{n}.mp4", challenged()) for n in range(12)))
    add(catalogue, *(other.put(f"{n}.mp4", Page(body=movie)) for n in range(6)))
    report = fetch(catalogue, workers=3)
    assert len(report.done) == 6
    assert 1 <= len(report.failed) <= 3, "at most the videos in flight"
    assert {failed.error.error_class for failed in report.failed} == {ErrorClass.BOT_CHECK}
    (standing,) = pauses(catalogue)
    site = f"web:127.0.0.1:{server.server_port}"
    assert (standing.provider, standing.tries, standing.cookies) == (site, 1, False)
    assert timedelta(minutes=59) < standing.until - now() <= HOUR
    assert [(each.site, each.queued) for each in report.pauses] == [(site, 12 - len(report.failed))]
    assert report.queued == 12 - len(report.failed)
    assert {row(catalogue, failed.id).retry_at for failed in report.failed} == {standing.until}
    assert {failed.id for failed in report.failed} < set(ids)


def test_later_calls_say_so_and_leave_the_videos_queued(
    catalogue: Catalogue, server: FaultServer, movie: bytes
) -> None:
    add(catalogue, *(server.put(f"{n}.mp4", challenged()) for n in range(5)))
    assert call(catalogue, "--workers", "1").exit_code == 1
    asked = len(server.asked)
    for arguments in ([], ["--retry"]):
        later = call(catalogue, *arguments)
        assert later.exit_code == 0
        assert f"127.0.0.1:{server.server_port} is paused until 20" in later.output
        assert "UTC (bot check): pass --cookies" in later.output
        assert f"curate retry --dataset {catalogue.folder} --error bot-check" in later.output
        assert "4 of its videos are left queued" in later.output
    assert len(server.asked) == asked
    said = json.loads(call(catalogue, "--json").stdout)
    assert list(said["paused"]) == [f"web:127.0.0.1:{server.server_port}"] and said["queued"] == 4


def test_another_process_keeps_the_pause(catalogue: Catalogue, server: FaultServer) -> None:
    add(catalogue, *(server.put(f"{n}.mp4", challenged()) for n in range(3)))
    fetch(catalogue, workers=1)
    asked = len(server.asked)
    code = "from curation.commands import main; main()"
    command = [sys.executable, "-c", code, "download", "--dataset", str(catalogue.folder), "--keep-free", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "is paused until" in done.stdout and len(server.asked) == asked


def test_retry_lifts_the_pause(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    names = [f"{n}.mp4" for n in range(3)]
    ids = add(catalogue, *(server.put(name, challenged()) for name in names))
    fetch(catalogue, workers=1)
    for name in names:
        server.put(name, Page(body=movie))
    lifted = CliRunner().invoke(main, ["retry", "--dataset", str(catalogue.folder), "--error", "bot-check"])
    assert lifted.exit_code == 0, lifted.output
    assert sorted(fetch(catalogue).done) == sorted(ids)


def test_cookies_are_tried_at_once_and_only_once(catalogue: Catalogue, server: FaultServer, tmp_path: Path) -> None:
    add(catalogue, *(server.put(f"{n}.mp4", challenged()) for n in range(5)))
    fetch(catalogue, workers=1)
    cookies = tmp_path / "cookies.txt"
    cookies.write_text("127.0.0.1\tFALSE\t/\tFALSE\t0\tsession\tabcdefgh1234\n")
    asked = len(server.asked)
    tried = call(catalogue, "--workers", "1", "--cookies", str(cookies))
    assert len(server.asked) > asked, (tried.output, tried.exception)
    (standing,) = pauses(catalogue)
    assert standing.cookies and standing.tries == 2
    asked = len(server.asked)
    again = call(catalogue, "--workers", "1", "--cookies", str(cookies))
    assert len(server.asked) == asked and "pass newer --cookies" in again.output


def test_pauses_grow_and_a_success_ends_the_row(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    names = [f"{n}.mp4" for n in range(6)]
    add(catalogue, *(server.put(name, challenged()) for name in names))
    lengths = []
    for _ in range(3):
        fetch(catalogue, workers=1)
        (standing,) = pauses(catalogue)
        lengths.append(round((standing.until - now()) / HOUR))
        over(catalogue)
    assert lengths == [1, 2, 4]
    for name in names[:-1]:
        server.put(name, Page(body=movie))
    fetch(catalogue, workers=1, limit=3)
    assert pauses(catalogue) == []


def test_what_was_on_its_way_makes_no_pause_longer_and_ends_none(catalogue: Catalogue) -> None:
    started = now()
    with catalogue.writing() as session:
        until = pause(session, "youtube", BOT, cookies=False)
        assert pause(session, "youtube", BOT, cookies=False) == until
        succeeded(session, "youtube", started)
        assert [each.until for each in active(session, cookies=False)] == [until]
        assert active(session, cookies=True) == []
        succeeded(session, "youtube", now())
        assert active(session, cookies=False) == []


def test_many_refusals_in_a_row_pause_a_site(
    catalogue: Catalogue, server: FaultServer, other: FaultServer, movie: bytes
) -> None:
    add(catalogue, *(server.put(f"{n}.mp4", Page(statuses=[429] * 9, retry_after="900")) for n in range(10)))
    add(catalogue, *(other.put(f"{n}.mp4", Page(body=movie)) for n in range(3)))
    report = fetch(catalogue, workers=1)
    assert (len(report.done), len(report.failed), report.queued) == (3, 3, 7)
    (standing,) = pauses(catalogue)
    assert standing.error_class == ErrorClass.RATE_LIMITED
    assert timedelta(seconds=890) < standing.until - now() <= timedelta(seconds=900)
    said = call(catalogue).output
    assert "(asked too often): --sleep spreads the requests" in said and "--error rate-limited" in said


def test_single_refusals_pause_nobody(catalogue: Catalogue, server: FaultServer, movie: bytes) -> None:
    """Two, then an answer, then two: each is an affair of its video."""
    for name, page in {
        "0": Page(statuses=[429] * 9),
        "1": Page(statuses=[429] * 9),
        "2": Page(statuses=[404] * 9),
        "3": Page(statuses=[429] * 9),
        "4": Page(statuses=[429] * 9),
        "5": Page(body=movie),
    }.items():
        add(catalogue, server.put(f"{name}.mp4", page))
    report = fetch(catalogue, workers=1)
    assert (len(report.done), len(report.failed), pauses(catalogue)) == (1, 5, [])
    assert len(attempts(catalogue)) == 6


SOURCES = {
    "http://a.example/1.mp4": "web:a.example",
    "https://a.example/2.mp4": "web:a.example",
    "http://me:word@a.example/3.mp4": "web:a.example",
    "http://a.example:81/4.mp4": "web:a.example:81",
    "http://b.a.example/5.mp4": "web:b.a.example",
    "http://c.example/?u=http://a.example/6.mp4": "web:c.example",
}


@pytest.mark.parametrize("site", sorted(set(SOURCES.values())))
def test_which_videos_a_site_has(catalogue: Catalogue, site: str) -> None:
    ids = dict(zip(SOURCES, add(catalogue, *SOURCES), strict=True))
    (elsewhere,) = add(catalogue, "https://youtu.be/dQw4w9WgXcQ")
    assert site_of("youtube", row(catalogue, elsewhere).source) == "youtube"
    assert {source: site_of("web", source) for source in SOURCES} == SOURCES
    wanted = {ids[source] for source, its in SOURCES.items() if its == site}
    with catalogue.writing() as session:
        pause(session, site, BOT, cookies=False)
        session.flush()
        assert set(session.scalars(select(Video.id).where(of_site(site)))) == wanted
        assert set(session.scalars(select(Video.id).where(paused(cookies=False)))) == wanted
        assert set(session.scalars(select(Video.id).where(paused(cookies=True)))) == set()


def test_a_provider_is_paused_as_one(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.providers.ytdlp import WebFetcher

    def check(self: WebFetcher, url: str, *args: object) -> None:
        raise BOT

    monkeypatch.setattr(WebFetcher, "fetch", check)
    add(catalogue, *(f"https://youtu.be/dQw4w9WgX{n:02}" for n in range(5)), "https://vimeo.com/76979871")
    report = fetch(catalogue, workers=1)
    assert report.paused_providers == {"youtube", "vimeo"} and len(report.failed) == 2
    output = call(catalogue).output
    assert "youtube is paused until" in output and "vimeo is paused until" in output
    with catalogue.reading() as session:
        states = session.scalars(select(Video.state)).all()
    assert sorted(states) == [VideoState.FAILED] * 2 + [VideoState.QUEUED] * 4
