"""`curate search --provider yt-dlp`, with a search of our own registered in yt-dlp's place of YouTube's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select
from yt_dlp import YoutubeDL
from yt_dlp.extractor.common import SearchInfoExtractor
from yt_dlp.globals import extractors
from yt_dlp.utils import ExtractorError

from curation.commands import main
from db.engine import Catalogue
from db.models import Query, QuotaUse, Video


class FakeSearch:
    """What the site lists, and what was read of it."""

    def __init__(self) -> None:
        self.phrases: list[str] = []
        self.read = 0
        self.entries: list[dict[str, Any]] = []
        self.error_at: int | None = None
        self.error = ExtractorError("Unable to download API page: HTTP Error 503", expected=True)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> FakeSearch:
    fake = FakeSearch()

    class YoutubeSearchIE(SearchInfoExtractor):  # type: ignore[misc]
        IE_NAME = "youtube:search"
        _SEARCH_KEY = "ytsearch"

        def _search_results(self, query: str) -> Iterator[dict[str, Any]]:
            fake.phrases.append(query)
            for number, entry in enumerate(fake.entries):
                if number == fake.error_at:
                    raise fake.error
                fake.read += 1
                yield self.url_result(f"https://www.youtube.com/watch?v={entry['id']}", ie="Youtube", **entry)

    YoutubeDL({"quiet": True})  # loads the extractors
    monkeypatch.setitem(extractors.value, "YoutubeSearchIE", YoutubeSearchIE)
    return fake


def entry(number: int, **facts: Any) -> dict[str, Any]:
    known = {"id": f"y{number:010d}", "title": f"River {number}", "channel": "Rivers", "duration": 60 + number}
    return known | facts


def curate(catalogue: Catalogue, *arguments: object) -> Result:
    options = ["--provider", "yt-dlp", "--dataset", str(catalogue.folder)]
    result = CliRunner().invoke(main, ["search", "river relaxing", *map(str, arguments), *options])
    assert "Traceback" not in result.output
    return result


def videos(catalogue: Catalogue) -> list[Video]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Video).order_by(Video.query_rank)))


def test_hits_are_queued_without_a_key(catalogue: Catalogue, site: FakeSearch) -> None:
    site.entries = [entry(n) for n in range(130)]
    result = curate(catalogue, "--limit", 60)
    assert result.exit_code == 0, result.output
    assert "60 found, 60 added" in result.output
    found = videos(catalogue)
    assert [v.id for v in found] == [f"youtube-y{n:010d}" for n in range(60)]
    assert (found[7].title, found[7].channel, found[7].duration, found[7].licence) == ("River 7", "Rivers", 67.0, None)
    assert site.phrases == ["river relaxing"]
    assert site.read == 100  # two pages of 50: no more is read of the site than is needed
    with catalogue.reading() as session:
        (query,) = session.scalars(select(Query))
        assert (query.provider, query.state) == ("yt-dlp", "complete")
        assert session.scalars(select(QuotaUse)).all() == []


def test_more_goes_on(catalogue: Catalogue, site: FakeSearch) -> None:
    site.entries = [entry(n) for n in range(130)]
    assert curate(catalogue, "--limit", 60).exit_code == 0
    result = json.loads(curate(catalogue, "--limit", 500, "--json").stdout)
    assert (result["found"], result["added"]) == (130, 70)
    assert [v.query_rank for v in videos(catalogue)] == list(range(130))


def test_durations_are_filtered_where_they_are_listed(catalogue: Catalogue, site: FakeSearch) -> None:
    site.entries = [
        entry(0, duration=30),
        entry(1, duration=7200),
        entry(2, duration=None, live_status="is_live"),
        entry(3, duration=None),
        entry(4, duration=300.0),
        {"id": "UCaChannelNotAVideo", "title": "a channel"},
    ]
    result = json.loads(curate(catalogue, "--min-duration", 60, "--max-duration", 3600, "--json").stdout)
    assert result["videos"] == ["youtube-y0000000003", "youtube-y0000000004"]
    assert result["left_out"] == {"too short": 1, "too long": 1, "live": 1}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--license", "cc"], "--license cc"),
        (["--after", "2020-01-01"], "--after"),
        (["--license", "cc", "--before", "2020-01-01", "--preview", "5"], "--license cc and --before"),
    ],
)
def test_what_a_search_page_does_not_tell_is_refused(
    catalogue: Catalogue, site: FakeSearch, options: list[str], named: str
) -> None:
    result = curate(catalogue, *options)
    assert result.exit_code == 2
    assert f"Error: {named}: " in result.output and "--provider youtube-api" in result.output
    assert site.phrases == []


def test_an_error_keeps_what_was_found(catalogue: Catalogue, site: FakeSearch) -> None:
    site.entries, site.error_at = [entry(n) for n in range(130)], 110
    result = curate(catalogue)
    assert result.exit_code == 1
    assert "failed: river relaxing (yt-dlp): yt-dlp: network: " in result.output
    assert len(videos(catalogue)) == 100
    site.error_at = None
    assert "went on where" in curate(catalogue).output
    assert len(videos(catalogue)) == 130


def test_preview(catalogue: Catalogue, site: FakeSearch) -> None:
    site.entries = [entry(n) for n in range(130)]
    result = curate(catalogue, "--preview", 3)
    assert result.exit_code == 0
    assert "  3. River 2 (1:02, Rivers)" in result.output and "River 3 " not in result.output
    assert videos(catalogue) == []
    assert site.read == 50
