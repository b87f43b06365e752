"""`curate search` against a server that answers as the YouTube Data API does: what is found, each once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.commands import main
from curation.finding.adding import add_found
from curation.finding.searching import Progress, search
from curation.providers import youtube_api
from curation.providers.hits import Hit, HitPage, SearchStopped, Wanted, Window
from curation.providers.urls import identify_url
from curation.providers.youtube import CREATIVE_COMMONS, STANDARD, video
from curation.providers.youtube_api import parse_duration
from db.engine import Catalogue
from db.models import Video
from db.states import VideoState, move_video
from tests.curation import youtube_server as api
from tests.curation.search_cases import curate, queries, ranks, served, spent, told, videos
from tests.curation.youtube_server import KEY, Upload, YouTubeServer, uploads
from tests.fresh_dataset import fresh_dataset


@pytest.fixture
def youtube(monkeypatch: pytest.MonkeyPatch) -> Iterator[YouTubeServer]:
    yield from served(monkeypatch)


def test_hits_are_queued_in_their_order_with_what_is_known_of_them(
    catalogue: Catalogue, youtube: YouTubeServer
) -> None:
    youtube.uploads = uploads(120)
    youtube.uploads[3] = Upload(id="vCommonsXYZ", published=api.BEGAN, licence="creativeCommon", channel="Falls")
    result = curate(catalogue, youtube)
    assert result.exit_code == 0, result.output
    assert "120 found, 120 added, 0 already known" in result.output
    assert "there are no more: 500 were asked for" in result.output
    assert "next: curate download" in result.output
    found = videos(catalogue)
    assert [v.provider_id for v in found] == [upload.id for upload in youtube.uploads]
    assert [v.query_rank for v in found] == list(range(120))
    assert {v.state for v in found} == {VideoState.QUEUED}
    one = found[3]
    same = identify_url("https://www.youtube.com/watch?v=vCommonsXYZ")
    assert (one.id, one.provider, one.source) == (same.id, same.provider, same.source)
    assert (one.channel, one.channel_id, one.duration) == ("Falls", "UCFalls", 600.0)
    assert (one.licence, one.published_at) == (CREATIVE_COMMONS, api.BEGAN)
    assert one.licence_checked_at is not None
    assert found[0].licence == STANDARD
    assert youtube.calls == {"search": 3, "videos": 3}
    assert spent(catalogue) == {"search": 3, "units": 3}
    (query,) = queries(catalogue)
    assert (query.provider, query.phrase, query.state) == ("youtube-api", "river relaxing", "complete")
    assert KEY not in json.dumps([query.settings, query.progress])


def test_the_key_is_nowhere_in_the_catalogue(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(10)
    curate(catalogue, youtube)
    assert all(KEY.encode() not in path.read_bytes() for path in catalogue.folder.rglob("*") if path.is_file())


def test_again_asks_for_nothing_and_more_goes_on(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(300)
    assert told(curate(catalogue, youtube, "--limit", 70, "--json"))["added"] == 70
    assert youtube.calls == {"search": 2, "videos": 2}
    again = curate(catalogue, youtube, "--limit", 70)
    assert (again.exit_code, youtube.calls["search"]) == (0, 2)
    assert "--again searches anew" in again.output
    more = told(curate(catalogue, youtube, "--limit", 200, "--json"))
    assert (more["found"], more["added"]) == (200, 130)
    assert youtube.calls["search"] == 2 + 3  # the page that the limit cut, and two more
    assert [v.provider_id for v in videos(catalogue)] == [upload.id for upload in youtube.uploads[:200]]
    anew = told(curate(catalogue, youtube, "--limit", 50, "--again", "--json"))
    assert (anew["found"], anew["added"], anew["already_known"]) == (50, 0, 50)
    assert len(queries(catalogue)) == 2


def test_known_videos_are_not_doubled_and_stay_as_they_are(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(4)
    known = [f"https://youtu.be/{upload.id}" for upload in youtube.uploads[:2]]
    add_found(catalogue, [identify_url(url) for url in known], provider="add", phrase="", settings={})
    with catalogue.writing() as session:
        move_video(session.get_one(Video, f"youtube-{youtube.uploads[0].id}"), VideoState.TAKEN_DOWN)
    result = curate(catalogue, youtube)
    assert result.exit_code == 0
    assert "4 found, 2 added, 2 already known" in result.output
    assert f"already known: youtube-{youtube.uploads[1].id} (queued)" in result.output
    assert f"never fetched again: youtube-{youtube.uploads[0].id}" in result.output
    states = {v.provider_id: (v.state, v.title) for v in videos(catalogue)}
    assert states[youtube.uploads[0].id] == (VideoState.TAKEN_DOWN, None)
    assert len(states) == 4
    assert [v.query_rank for v in videos(catalogue) if v.title] == [2, 3]


def test_slicing_finds_all_exactly_once(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(1300)
    result = told(curate(catalogue, youtube, "--limit", 5000, "--json"))
    assert (result["found"], result["added"], result["state"]) == (1300, 1300, "complete")
    assert {v.provider_id for v in videos(catalogue)} == {upload.id for upload in youtube.uploads}
    assert ranks(catalogue) == list(range(1300))
    assert spent(catalogue)["search"] == youtube.calls["search"]
    # 500, then two halves of about 650 with 500 shown, then four quarters that end by themselves.
    assert youtube.calls["search"] <= 10 + 2 * 10 + 4 * 7 + 2
    assert "publishedAfter" not in youtube.asked[0]


def test_slices_stop_at_the_limit_and_keep_the_windows_left(
    catalogue: Catalogue, youtube: YouTubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    youtube.uploads, youtube.ceiling = uploads(260), 100
    monkeypatch.setattr(youtube_api.YouTubeApi, "ceiling", 90)
    result = told(curate(catalogue, youtube, "--limit", 140, "--json"))
    assert (result["found"], result["state"]) == (140, "complete")
    (query,) = queries(catalogue)
    assert query.progress is not None and len(query.progress["windows"]) >= 1
    rest = told(curate(catalogue, youtube, "--limit", 260, "--json"))
    assert (rest["found"], rest["added"]) == (260, 120)


def test_a_second_that_holds_too_much_is_told(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = [Upload(id=f"v{n:010d}", published=api.BEGAN) for n in range(600)]
    result = curate(catalogue, youtube, "--limit", 600, "--after", "2010-01-01", "--before", "2010-01-01T00:00:01")
    assert result.exit_code == 0
    assert "500 found" in result.output
    assert "1 spans of a second hold more videos than YouTube tells" in result.output
    assert youtube.calls["search"] == 10


def test_ctrl_c_keeps_what_was_found(
    catalogue: Catalogue, youtube: YouTubeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    youtube.uploads = uploads(150)
    page = youtube_api.YouTubeApi.page

    def interrupted(self: youtube_api.YouTubeApi, wanted: Wanted, window: Window) -> HitPage:
        if youtube.calls["search"] == 2:
            raise KeyboardInterrupt
        return page(self, wanted, window)

    monkeypatch.setattr(youtube_api.YouTubeApi, "page", interrupted)
    result = curate(catalogue, youtube)
    assert result.exit_code == 130
    assert "the same command goes on" in result.output
    monkeypatch.setattr(youtube_api.YouTubeApi, "page", page)
    assert told(curate(catalogue, youtube, "--json"))["added"] == 50


def test_filters_are_asked_for_and_confirmed(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    def upload(name: str, **facts: Any) -> Upload:
        known: dict[str, Any] = {"id": name.ljust(11, "_"), "published": datetime(2020, 6, 1, tzinfo=UTC)}
        return Upload(**(known | facts))

    youtube.uploads = [
        upload("good", seconds=1800, licence="creativeCommon"),
        upload("short", seconds=1500, licence="creativeCommon"),
        upload("long", seconds=4000, licence="creativeCommon"),
        upload("live", seconds=1800, licence="creativeCommon", live="live"),
        upload("gone", seconds=1800, licence="creativeCommon", gone=True),
        upload("standard", seconds=1800),
        upload("early", seconds=1800, licence="creativeCommon", published=datetime(2019, 12, 31, tzinfo=UTC)),
        upload("edge", seconds=1800, licence="creativeCommon", published=datetime(2021, 1, 1, tzinfo=UTC)),
    ]
    result = told(
        curate(
            catalogue, youtube, "--license", "cc", "--after", "2020-01-01", "--before", "2021-01-01",
            "--min-duration", 1600, "--max-duration", 3600, "--json",
        )
    )  # fmt: skip
    assert result["videos"] == ["youtube-good_______"]
    assert result["left_out"] == {"too short": 1, "too long": 1, "live": 1, "not available": 1, "of another date": 1}
    (asked,) = youtube.asked
    assert (asked["videoLicense"], asked["videoDuration"]) == ("creativeCommon", "long")
    assert (asked["publishedAfter"], asked["publishedBefore"]) == ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z")
    other = told(curate(catalogue, youtube, "--json"))
    assert (other["found"], other["left_out"]) == (6, {"live": 1, "not available": 1})
    assert len(queries(catalogue)) == 2


def test_a_licence_that_the_record_denies_is_left_out() -> None:
    wanted = Wanted(phrase="x", license="cc")
    assert wanted.refuses(Hit(video=video("a" * 11, licence=STANDARD))) == "not Creative Commons"
    assert wanted.refuses(Hit(video=video("a" * 11, licence=CREATIVE_COMMONS))) is None


def test_preview_records_nothing_but_the_calls(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(80)
    add_found(
        catalogue, [identify_url(f"https://youtu.be/{youtube.uploads[1].id}")], provider="add", phrase="", settings={}
    )
    result = curate(catalogue, youtube, "--preview", 10)
    assert result.exit_code == 0
    assert f"  1. {youtube.uploads[0].title} (10:00, Rivers, {STANDARD}, " in result.output
    assert f"https://www.youtube.com/watch?v={youtube.uploads[9].id}" in result.output
    assert youtube.uploads[10].id not in result.output
    assert result.output.count("known: queued") == 1
    assert len(videos(catalogue)) == 1 and len(queries(catalogue)) == 1
    assert spent(catalogue) == {"search": 1, "units": 1}
    listed = told(curate(catalogue, youtube, "--preview", 60, "--json"))["listed"]
    assert [hit["id"] for hit in listed] == [f"youtube-{upload.id}" for upload in youtube.uploads[:60]]


@pytest.mark.parametrize(
    "options",
    [
        ["--after", "2021-01-01", "--before", "2020-01-01"],
        ["--min-duration", "60", "--max-duration", "30"],
        ["--limit", "0"],
        ["--after", "yesterday"],
        ["--license", "free"],
        ["--provider", "vimeo"],
        ["--api-endpoint", "nonsense"],
    ],
)
def test_bad_usage(catalogue: Catalogue, youtube: YouTubeServer, options: list[str]) -> None:
    arguments = ["search", "river", "--api-key", KEY, *options, "--dataset", str(catalogue.folder)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert youtube.calls == {}


def test_two_commands_at_one_search(catalogue: Catalogue) -> None:
    """The one that comes second to a page finds that it is done, and leaves the search to the other."""
    inner = _Listed([f"{n:011d}" for n in range(200)])

    class Overtaken(_Listed):
        def details(self, ids: list[str]) -> dict[str, Hit]:
            if self.pages == 2:
                search(catalogue, inner, Wanted(phrase="river"), limit=150)
            return super().details(ids)

    report = search(catalogue, Overtaken([f"{n:011d}" for n in range(200)]), Wanted(phrase="river"), limit=200)
    assert report.stopped is not None and "another command" in str(report.stopped)
    found = videos(catalogue)
    assert len(found) == len({v.id for v in found}) == 150
    assert search(catalogue, inner, Wanted(phrase="river"), limit=200).found == 200


class _Listed:
    """A provider that finds a list, page by page."""

    name = "list"
    ceiling: int | None = None

    def __init__(self, ids: list[str]) -> None:
        self.ids = ids
        self.pages = 0

    def page(self, wanted: Wanted, window: Window) -> HitPage:
        self.pages += 1
        start = int(window.token or 0)
        end = start + 50
        return HitPage(ids=self.ids[start:end], next_token=str(end) if end < len(self.ids) else None)

    def details(self, ids: list[str]) -> dict[str, Hit]:
        return {id_: Hit(video=video(id_)) for id_ in ids}


class _Dated(_Listed):
    """A provider of dated videos that shows at most `ceiling` of a window, and stops after `patience` pages."""

    ceiling: int | None = 8

    def __init__(self, seconds: list[int], patience: int) -> None:
        super().__init__([f"{n:011d}" for n in range(len(seconds))])
        moments = [api.BEGAN + timedelta(seconds=second) for second in seconds]
        self.dates = dict(zip(self.ids, moments, strict=True))
        self.patience = patience

    def page(self, wanted: Wanted, window: Window) -> HitPage:
        if self.pages == self.patience:
            raise SearchStopped("enough")
        self.pages += 1
        lower, upper = window.after or api.BEGAN, window.before or datetime.max.replace(tzinfo=UTC)
        inside = [id_ for id_ in self.ids if lower <= self.dates[id_] <= upper][: self.ceiling]
        start = int(window.token or 0)
        return HitPage(ids=inside[start : start + 3], next_token=str(start + 3) if start + 3 < len(inside) else None)

    def details(self, ids: list[str]) -> dict[str, Hit]:
        return {id_: Hit(video=video(id_, published_at=self.dates[id_])) for id_ in ids}


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, 10**9), max_size=60, unique=True), st.integers(1, 40), st.integers(1, 70))
def test_however_often_it_stops_all_are_found_once(
    tmp_path_factory: pytest.TempPathFactory, seconds: list[int], patience: int, limit: int
) -> None:
    with fresh_dataset(tmp_path_factory.mktemp("search") / "data") as catalogue:
        wanted = Wanted(phrase="x")
        for _ in range(500):
            report = search(catalogue, _Dated(seconds, patience), wanted, limit=limit)
            if report.stopped is None:
                break
        assert report.stopped is None
        found = [v.provider_id for v in videos(catalogue)]
        assert len(found) == len(set(found)) == report.found == min(limit, len(seconds))
        assert len(queries(catalogue)) == 1


def test_progress_is_stored_as_it_is() -> None:
    window = Window(after=api.BEGAN, before=None, token="CDIQAA", hits=50)
    progress = Progress(
        windows=[window], limit=5, began=api.BEGAN, found=3, seen=["a"], left_out={"live": 1}, crowded=2
    )
    assert Progress.of_json(json.loads(json.dumps(progress.as_json()))) == progress


@given(st.integers(0, 9), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_durations(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"P{days}DT{hours}H{minutes}M{seconds}S"
    assert parse_duration(text) == days * 86400 + hours * 3600 + minutes * 60 + seconds
    assert parse_duration("PT15M51S") == 951
    assert parse_duration("P0D") == 0
    assert parse_duration("15:51") is parse_duration("P") is parse_duration("") is None
