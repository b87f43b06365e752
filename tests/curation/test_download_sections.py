"""`curate download --sections`: only the planned or given ranges come over the network, and become the same clips."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from curation.commands import main
from curation.cutting.cut import cut_videos
from curation.cutting.plan import CutRecipe
from curation.decode import rgb
from curation.downloading.download import Stopped
from curation.errors import ErrorClass
from curation.scores.stage import score_clips
from curation.sources import locate_clip
from db.engine import Catalogue, create
from db.models import Clip, Recipe, Section, Video
from db.states import VideoState, move_video
from tests.curation.download_cases import MakeVideo, add, fetch, files, lengthened, make_due, row
from tests.curation.fault_server import FaultServer, Page

RECIPE = CutRecipe(length=2.0, max_clips=5, margin=10.0, spacing=5.0)


@pytest.fixture(scope="module")
def long_movie(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """200 s in some 2 MB."""
    folder = tmp_path_factory.mktemp("long")
    short = make_video(folder / "short.mp4", frames=125, height=96, width=128, gop=25)
    return lengthened(short, folder / "long.mp4", 40).read_bytes()


def clips_of(catalogue: Catalogue) -> list[Clip]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Clip).order_by(Clip.video_id, Clip.index)))


def sections_of(catalogue: Catalogue) -> list[Section]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Section).order_by(Section.video_id, Section.index)))


def want(catalogue: Catalogue, video_id: str, *ranges: tuple[float, float]) -> None:
    """As an import of a list of ranges does."""
    with catalogue.writing() as session:
        for index, (start, end) in enumerate(ranges):
            session.add(Section(video_id=video_id, index=index, start=start, end=end))


def pictures(catalogue: Catalogue, clip: Clip) -> list[str]:
    with catalogue.reading() as session:
        path = locate_clip(catalogue, session, clip, check_hash=True)
    return [hashlib.sha256(frame.tobytes()).hexdigest() for frame in rgb(path, clip.start_pts, clip.end_pts)]


def test_clips_of_sections_are_those_of_the_whole_file(tmp_path: Path, server: FaultServer, long_movie: bytes) -> None:
    url = server.put("long.mp4", Page(body=long_movie))
    found: dict[bool, list[Clip]] = {}
    seen: dict[bool, list[list[str]]] = {}
    for alone in (True, False):
        with create(tmp_path / str(alone)) as catalogue:
            (video_id,) = add(catalogue, url)
            report = fetch(catalogue, sections=RECIPE if alone else None)
            assert report.done == [video_id] and not report.whole_because
            assert report.sections == (5 if alone else 0)
            if alone:  # beside what yt-dlp asks for, without a range, to see what it is
                assert server.sent_in_ranges["/long.mp4"] < 0.15 * len(long_movie)
            video = row(catalogue, video_id)
            assert video.state == VideoState.DOWNLOADED and (video.path is None) is alone
            assert (video.duration, video.fps, video.frames) == (200.0, 25.0, 5000)
            assert (video.width, video.height, video.codec, video.title) == (128, 96, "h264", "long")
            assert cut_videos(catalogue, RECIPE).done == [video_id]
            assert cut_videos(catalogue, RECIPE, recut=True).done == []
            assert score_clips(catalogue).failed == []
            found[alone] = clips_of(catalogue)
            seen[alone] = [pictures(catalogue, clip) for clip in found[alone]]
            if alone:
                sections = sections_of(catalogue)
                assert files(catalogue) == [f"{video_id}.s{index:03d}.mp4" for index in range(5)]
                assert [section.path for section in sections] == [f"videos/{name}" for name in files(catalogue)]
                with catalogue.reading() as session:
                    recipe = session.get_one(Recipe, found[alone][0].recipe_hash)
                assert recipe.kind == "cut"
                assert recipe.settings["sections"] == [[section.start, section.end] for section in sections]
    same = ("index", "start_pts", "end_pts", "time_base_num", "time_base_den", "start", "end", "frame_count", "short")
    assert len(found[True]) == 5
    assert [clip.section_index for clip in found[True]] == [0, 1, 2, 3, 4]
    assert [[getattr(clip, name) for name in same] for clip in found[True]] == [
        [getattr(clip, name) for name in same] for clip in found[False]
    ]
    assert seen[True] == seen[False] and all(len(frames) == 50 for frames in seen[True])


def test_given_ranges_are_fetched_alone(catalogue: Catalogue, server: FaultServer, long_movie: bytes) -> None:
    """Rows that an import made, without any option; one range reaches over the end, one lies behind it."""
    (video_id,) = add(catalogue, server.put("long.mp4", Page(body=long_movie)))
    want(catalogue, video_id, (12.5, 14.5), (198.0, 205.0), (300.0, 310.0), (12.5, 13.0))
    report = fetch(catalogue)
    assert (report.done, report.sections) == ([video_id], 3)
    assert server.sent_in_ranges["/long.mp4"] < 0.15 * len(long_movie)
    assert [section.path is None for section in sections_of(catalogue)] == [False, False, True, False]
    assert cut_videos(catalogue, CutRecipe()).done == [video_id]
    assert [
        (clip.section_index, clip.start, clip.end, clip.frame_count, clip.short) for clip in clips_of(catalogue)
    ] == [
        (0, 12.52, 14.5, 50, False),  # the first frame at or after 12.5 s
        (1, 198.0, 200.0, 50, True),
        (3, 12.52, 13.0, 12, False),
    ]


def test_given_ranges_of_a_local_file_need_no_section_files(
    catalogue: Catalogue, long_movie: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "long.mp4"
    path.write_bytes(long_movie)
    (video_id,) = add(catalogue, path)
    want(catalogue, video_id, (10.0, 12.0), (20.0, 22.0))
    assert fetch(catalogue, sections=RECIPE).done == [video_id]
    assert files(catalogue) == []
    cut_videos(catalogue, RECIPE)
    clips = clips_of(catalogue)
    assert [(clip.section_index, clip.start, clip.end) for clip in clips] == [(None, 10.0, 12.0), (None, 20.0, 22.0)]
    assert all(len(pictures(catalogue, clip)) == 50 for clip in clips)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (lambda long, short: Page(body=long, ranges=False), "does not serve ranges"),
        (lambda long, short: Page(body=short), "most of it"),
    ],
)
def test_what_must_be_fetched_whole_is_told(
    catalogue: Catalogue,
    server: FaultServer,
    long_movie: bytes,
    movie: bytes,
    page: Callable[[bytes, bytes], Page],
    reason: str,
) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", page(long_movie, movie)))
    report = fetch(catalogue, sections=RECIPE)
    assert report.done == [video_id]
    assert [reason in because for because in report.whole_because] == [True]
    assert files(catalogue) == [f"{video_id}.mp4"] and sections_of(catalogue) == []
    assert row(catalogue, video_id).path is not None
    assert cut_videos(catalogue, RECIPE).done == [video_id]


def test_given_ranges_of_what_is_fetched_whole(catalogue: Catalogue, server: FaultServer, long_movie: bytes) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=long_movie, ranges=False)))
    want(catalogue, video_id, (10.0, 12.0))
    arguments = ["download", "--dataset", str(catalogue.folder), "--keep-free", "0"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "1 fetched whole, not in sections: its server does not serve ranges of bytes" in result.output
    cut_videos(catalogue, RECIPE)
    (clip,) = clips_of(catalogue)
    assert (clip.section_index, clip.start, clip.end, clip.frame_count) == (None, 10.0, 12.0, 50)
    assert len(pictures(catalogue, clip)) == 50


def test_a_broken_connection_is_continued(catalogue: Catalogue, server: FaultServer, long_movie: bytes) -> None:
    head = long_movie.index(b"mdat")
    third = head + int((len(long_movie) - head) * 83 / 200)  # amid the third section
    page = Page(body=long_movie, cut_at=third, cuts=10**6)
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    failed = fetch(catalogue, sections=RECIPE, network_retries=0)
    assert [each.error.error_class for each in failed.failed] == [ErrorClass.NETWORK]
    left = [name for name in files(catalogue) if "/sections/" in name]
    assert 0 < len(left) < 5, "what came before the break is kept"
    page.cuts = 0
    make_due(catalogue)
    before = len(server.asked)
    assert fetch(catalogue, sections=RECIPE, network_retries=0).sections == 5
    again = {asked.first_byte for asked in server.asked[before:] if asked.first_byte}
    again = {first for first in again if first > 2 * head}
    assert min(again) > len(long_movie) * 80 / 200, "what was there came again"
    assert files(catalogue) == [f"{video_id}.s{index:03d}.mp4" for index in range(5)]


def test_a_range_that_breaks_off_once_is_asked_for_again(
    catalogue: Catalogue, server: FaultServer, long_movie: bytes
) -> None:
    page = Page(body=long_movie, cut_at=len(long_movie) // 2, cuts=2)
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    want(catalogue, video_id, (98.0, 104.0))
    assert fetch(catalogue, network_retries=3).done == [video_id]


@pytest.mark.parametrize(
    ("statuses", "error_class"),
    [([200, 403] + [403] * 9, ErrorClass.RATE_LIMITED), ([200] + [410] * 9, ErrorClass.GONE)],
)
def test_errors_of_the_media_are_classed(
    catalogue: Catalogue, server: FaultServer, long_movie: bytes, statuses: list[int], error_class: ErrorClass
) -> None:
    """The page (asked first) is fine and the media is not."""
    add(catalogue, server.put("a.mp4", Page(body=long_movie, statuses=statuses)))
    report = fetch(catalogue, sections=RECIPE)
    assert [failed.error.error_class for failed in report.failed] == [error_class]
    assert not any("/sections/" in name for name in files(catalogue))


def test_a_section_that_went_missing_comes_back_alone(
    catalogue: Catalogue, server: FaultServer, long_movie: bytes
) -> None:
    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=long_movie)))
    fetch(catalogue, sections=RECIPE)
    cut_videos(catalogue, RECIPE)
    clips = clips_of(catalogue)
    before = [pictures(catalogue, clip) for clip in clips]
    section = sections_of(catalogue)[2]
    assert section.path is not None
    catalogue.path(section.path).unlink()
    assert len(score_clips(catalogue).failed) == 1
    assert row(catalogue, video_id).error_class == ErrorClass.MISSING
    sent = server.sent_in_ranges["/a.mp4"]
    make_due(catalogue)
    report = fetch(catalogue)
    assert (report.done, report.sections) == ([video_id], 1)
    assert server.sent_in_ranges["/a.mp4"] - sent < 0.7 * sent
    assert len(files(catalogue)) == 5
    assert [pictures(catalogue, clip) for clip in clips] == before
    assert score_clips(catalogue).failed == []


def test_a_taken_down_video_leaves_no_section(
    catalogue: Catalogue, server: FaultServer, long_movie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curation.downloading.fetching import Fetcher

    (video_id,) = add(catalogue, server.put("a.mp4", Page(body=long_movie)))
    placed = Fetcher._remove_others

    def meanwhile(self: Fetcher, *args: object) -> None:
        placed(self, *args)  # type: ignore[arg-type]
        with catalogue.writing() as session:
            move_video(session.get_one(Video, video_id), VideoState.TAKEN_DOWN)

    monkeypatch.setattr(Fetcher, "_remove_others", meanwhile)
    fetch(catalogue, sections=RECIPE)
    assert files(catalogue) == [] and sections_of(catalogue) == []


def test_the_command(catalogue: Catalogue, server: FaultServer, long_movie: bytes) -> None:
    add(catalogue, server.put("a.mp4", Page(body=long_movie)))
    arguments = ["download", "--dataset", str(catalogue.folder), "--keep-free", "0", "--sections"]
    assert CliRunner().invoke(main, [*arguments, "--length", "-1"]).exit_code == 2
    result = CliRunner().invoke(main, [*arguments, "--length", "1", "--max-clips", "3"])
    assert result.exit_code == 0, result.output
    assert [round(section.end - section.start, 6) for section in sections_of(catalogue)] == [1.0] * 3
    # Some other recipe of `cut` does not matter: the sections are the clips.
    result = CliRunner().invoke(main, ["cut", "--dataset", str(catalogue.folder), "--recut", "--workers", "1"])
    assert result.exit_code == 0 and "another recipe" not in result.output, result.output
    assert len(clips_of(catalogue)) == 3


def test_ctrl_c_amid_a_section(
    catalogue: Catalogue, server: FaultServer, long_movie: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Page(body=long_movie, rate=200_000)
    (video_id,) = add(catalogue, server.put("a.mp4", page))
    begun = time.monotonic()

    def interrupt(seconds: float) -> None:
        threading.Event().wait(seconds)
        if server.sent_in_ranges.get("/a.mp4", 0) > 100_000 or time.monotonic() - begun > 30:
            raise KeyboardInterrupt

    monkeypatch.setattr("curation.downloading.download.time.sleep", interrupt)
    with pytest.raises(Stopped) as stopped:
        fetch(catalogue, sections=RECIPE)
    monkeypatch.undo()
    assert (stopped.value.report.failed, stopped.value.report.queued) == ([], 1)
    assert not [name for name in files(catalogue) if name.endswith(".part")], "no half section is kept"
    page.rate = None
    assert fetch(catalogue, sections=RECIPE).done == [video_id]
    assert len(files(catalogue)) == 5
