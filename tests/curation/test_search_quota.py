"""`curate search`: what it costs, and what it does when the quota, the key or the server fail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from curation.commands import main
from curation.finding.quota import Bucket, Ledger, QuotaSpent, when
from curation.providers import youtube_api
from db.engine import Catalogue
from db.models import QuotaUse
from tests.curation import youtube_server as api
from tests.curation.search_cases import curate, queries, ranks, served, spent, told, videos
from tests.curation.youtube_server import KEY, YouTubeServer, uploads


@pytest.fixture
def youtube(monkeypatch: pytest.MonkeyPatch) -> Iterator[YouTubeServer]:
    yield from served(monkeypatch)


@pytest.mark.parametrize("refusal", [api.QUOTA_EXCEEDED, api.A_DAY_IS_SPENT])
def test_a_spent_quota_stops_politely_and_the_next_day_goes_on(
    catalogue: Catalogue, youtube: YouTubeServer, monkeypatch: pytest.MonkeyPatch, refusal: Any
) -> None:
    clock = [datetime(2026, 7, 1, 18, 30, tzinfo=UTC)]
    monkeypatch.setattr(Ledger.__init__, "__kwdefaults__", {"clock": lambda: clock[0]})
    monkeypatch.setattr(api, "QUOTA_EXCEEDED", refusal)
    youtube.uploads = uploads(400)
    youtube.searches_left = 3
    first = curate(catalogue, youtube)
    assert first.exit_code == 1
    assert "150 found, 150 added" in first.output
    assert "from 2026-07-02 00:00 Pacific time (2026-07-02 07:00 UTC" in first.output
    assert len([line for line in first.output.splitlines() if "failed: river relaxing" in line]) == 1
    assert youtube.calls["search"] == 4
    (query,) = queries(catalogue)
    assert query.state == "open"

    same_day = told(curate(catalogue, youtube, "--json"))
    assert (same_day["state"], same_day["resume_at"]) == ("open", "2026-07-02T07:00:00+00:00")
    assert youtube.calls["search"] == 4  # YouTube said so itself: it is not asked again

    clock[0] += timedelta(hours=12)  # before midnight there is no new day, whatever the date is elsewhere
    assert curate(catalogue, youtube).exit_code == 1
    assert youtube.calls["search"] == 4
    clock[0] = datetime(2026, 7, 2, 7, 0, tzinfo=UTC)
    youtube.searches_left = None
    result = curate(catalogue, youtube)
    assert result.exit_code == 0
    assert "went on where an earlier call stopped" in result.output
    assert "400 found, 250 added" in result.output
    assert youtube.calls["search"] == 4 + 5
    assert len(queries(catalogue)) == 1
    assert [v.provider_id for v in videos(catalogue)] == [upload.id for upload in youtube.uploads]


def test_the_ledger_itself_ends_the_day(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(400)
    result = told(curate(catalogue, youtube, "--daily-searches", 2, "--json"))
    assert (result["found"], result["state"]) == (100, "open")
    assert youtube.calls["search"] == 2
    assert told(curate(catalogue, youtube, "--daily-searches", 4, "--json"))["found"] == 200
    assert told(curate(catalogue, youtube, "--json"))["found"] == 400


def test_a_key_with_more_is_tried_although_the_service_refused(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(100)
    youtube.searches_left = 0
    assert curate(catalogue, youtube).exit_code == 1
    youtube.searches_left = None
    assert curate(catalogue, youtube).exit_code == 1
    assert curate(catalogue, youtube, "--daily-searches", 200).exit_code == 0


def test_a_spent_quota_of_the_other_calls_loses_nothing(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(60)
    youtube.next_errors["videos"] = [api.QUOTA_EXCEEDED]
    first = curate(catalogue, youtube)
    assert first.exit_code == 1
    assert "today's units" in first.output
    with catalogue.writing() as session:
        for use in session.scalars(select(QuotaUse)):
            use.exhausted = False
    assert told(curate(catalogue, youtube, "--json"))["found"] == 60


@pytest.mark.parametrize("refusal", [api.BAD_KEY, api.OLD_BAD_KEY, api.NOT_ENABLED])
def test_a_key_that_is_no_good(catalogue: Catalogue, youtube: YouTubeServer, refusal: Any) -> None:
    youtube.next_errors["search"] = [refusal]
    result = curate(catalogue, youtube)
    assert result.exit_code == 2
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert "https://console.cloud.google.com/apis" in line
    assert youtube.calls == {"search": 1}
    assert queries(catalogue) == []


def test_no_key_and_an_endpoint_that_is_none(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    result = curate(catalogue, youtube, key="")
    assert result.exit_code == 2
    assert "YOUTUBE_API_KEY" in result.output and "--provider yt-dlp" in result.output
    elsewhere = ["--api-endpoint", youtube.endpoint + "/elsewhere", "--dataset", str(catalogue.folder)]
    wrong = CliRunner().invoke(main, ["search", "x", "--api-key", KEY, *elsewhere])
    assert wrong.exit_code == 2
    assert "check --api-endpoint" in wrong.output
    assert KEY not in wrong.output


def test_passing_troubles_are_tried_again(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(60)
    youtube.next_errors["search"] = [
        (503, "busy"),
        (500, {"error": {"code": 500, "message": "Backend Error"}}),
        api.SLOWER,
    ]
    youtube.next_errors["videos"] = [(502, "<html>bad gateway")]
    result = told(curate(catalogue, youtube, "--json"))
    assert result["found"] == 60
    assert youtube.calls == {"search": 2 + 3, "videos": 2 + 1}
    assert spent(catalogue) == {"search": 5, "units": 3}  # broken calls cost too


def test_lasting_troubles_stop_the_search_and_keep_what_was_found(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(150)
    assert told(curate(catalogue, youtube, "--limit", 50, "--json"))["found"] == 50
    youtube.next_errors["search"] = [(503, "busy")] * 4
    result = curate(catalogue, youtube)
    assert result.exit_code == 1
    assert "HTTP status 503" in result.output and "the same command goes on" in result.output
    assert told(curate(catalogue, youtube, "--json"))["found"] == 150
    youtube.next_errors["search"] = [(0, "")] * 20
    result = curate(catalogue, youtube, "--again")
    assert result.exit_code == 1
    assert "cannot be reached" in result.output


def test_a_server_that_asks_for_a_long_wait_is_left_alone(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.retry_after, youtube.next_errors["search"] = "3600", [api.SLOWER]
    said = curate(catalogue, youtube, "--json")
    assert said.exit_code == 1
    assert youtube.calls["search"] == 1
    resume_at = datetime.fromisoformat(told(said)["resume_at"])
    assert timedelta(minutes=59) < resume_at - datetime.now(UTC) <= timedelta(hours=1)


def test_moments_are_told_there_and_here(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 7, 2, 7, 0, tzinfo=UTC)
    for zone, here in (("UTC", ""), ("Europe/Vienna", ", 2026-07-02 09:00 CEST here")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        said = when(moment, youtube_api.ZONE, "Pacific time")
        assert said == f"2026-07-02 00:00 Pacific time (2026-07-02 07:00 UTC{here})"
    monkeypatch.undo()
    time.tzset()


def test_an_answer_that_is_no_json(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.next_errors["search"] = [(200, "<html>log in to this network</html>")]
    result = curate(catalogue, youtube)
    assert result.exit_code == 2
    assert "other than JSON" in result.output


def test_a_page_token_that_is_not_valid_any_more(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    youtube.uploads = uploads(200)
    youtube.searches_left = 2
    assert curate(catalogue, youtube, "--daily-searches", 99).exit_code == 1
    youtube.searches_left, youtube.epoch = None, "B"
    result = told(curate(catalogue, youtube, "--daily-searches", 99, "--json"))
    assert (result["found"], result["added"]) == (200, 100)
    assert ranks(catalogue) == list(range(200))


def test_the_days_of_the_ledger(catalogue: Catalogue) -> None:
    clock = [datetime(2026, 1, 10, 7, 59, tzinfo=UTC)]
    ledger = Ledger(catalogue, "p", youtube_api.ZONE, clock=lambda: clock[0])
    bucket = Bucket(name="b", daily=2)
    ledger.spend(bucket)
    ledger.spend(bucket)
    with pytest.raises(QuotaSpent) as raised:
        ledger.spend(bucket)
    assert (raised.value.used, raised.value.renewed_at) == (2, datetime(2026, 1, 10, 8, 0, tzinfo=UTC))
    assert ledger.used(bucket) == 2
    clock[0] = datetime(2026, 1, 10, 8, 0, tzinfo=UTC)
    assert ledger.used(bucket) == 0
    ledger.spend(bucket)
    ledger.exhaust(bucket)
    with pytest.raises(QuotaSpent):
        ledger.spend(bucket)
    ledger.spend(Bucket(name="b", daily=2, insist=True))
    # The night when the clocks change there.
    clock[0] = datetime(2026, 3, 8, 20, 0, tzinfo=UTC)
    assert ledger.renewed_at() == datetime(2026, 3, 9, 7, 0, tzinfo=UTC)


def test_what_a_key_is_refused_for_is_said() -> None:
    from curation.providers.youtube_errors import Kind, judge

    blocked = api.error(
        403, "Requests to this API are blocked.", "forbidden", "global", details=[api.info("API_KEY_SERVICE_BLOCKED")]
    )
    said = judge(blocked[0], json.dumps(blocked[1]).encode())
    assert said.kind is Kind.REFUSED and "restrictions" in said.message
    assert judge(403, b"not json").kind is Kind.REFUSED
    assert judge(429, b"[]", "7").retry_after == 7.0
    assert judge(400, json.dumps(api.BAD_TOKEN[1]).encode()).kind is Kind.STALE_TOKEN
    assert "<a" not in judge(403, json.dumps(api.QUOTA_EXCEEDED[1]).encode()).message
