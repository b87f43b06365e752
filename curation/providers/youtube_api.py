"""Searching YouTube through its Data API v3, with Google's own client and a key of the user's.

`search.list` gives up to 50 hits a page and ends near 500 hits a query; it has an allowance of its own, 100 calls a day
(https://developers.google.com/youtube/v3/determine_quota_cost). `videos.list` confirms licence, duration and date of 50
videos a call, one unit each of another 10,000 a day. Days begin at midnight in California.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httplib2
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from curation.finding.quota import Bucket, Ledger, QuotaSpent, when
from curation.providers import youtube
from curation.providers.hits import Hit, HitPage, SearchRefused, SearchStopped, StaleToken, Wanted, Window
from curation.providers.youtube_errors import ApiError, Kind, judge

NAME = "youtube-api"
ZONE = ZoneInfo("America/Los_Angeles")
SEARCHES = 100  # calls of search.list a day, unless Google granted more
UNITS = 10_000  # a day, for all else
PAGE = 50
CEILING = 450  # a query ends near 500 hits, and often before: one that ends above this is taken to hold more
TIMEOUT = 30.0  # s
PAUSES = (1.0, 2.0, 4.0, 8.0)  # s between tries of a call that failed for a passing reason
LONGEST_WAIT = 60.0  # s that a server may ask for
NO_JSON = "it answers something other than JSON; check the network, and --api-endpoint"
SHORT, LONG = 240.0, 1200.0  # s; the bounds of the API's own classes of duration

# It warns of each refused call, where the command says in its own words what that means.
logging.getLogger("googleapiclient.http").setLevel(logging.ERROR)


class YouTubeApi:
    """One key's access to the API. `ledger` counts each call before it is made."""

    name = NAME
    ceiling: int | None = CEILING

    def __init__(
        self,
        key: str,
        ledger: Ledger,
        *,
        endpoint: str | None = None,
        daily_searches: int | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`daily_searches`: the key's own allowance, which is then tried even where the service refused before."""
        self._key = key
        self._ledger = ledger
        self._wait = wait
        self._searches = Bucket(name="search", daily=daily_searches or SEARCHES, insist=daily_searches is not None)
        self._units = Bucket(name="units", daily=UNITS, insist=daily_searches is not None)
        http = httplib2.Http(timeout=TIMEOUT)
        options = None if endpoint is None else {"api_endpoint": endpoint.rstrip("/") + "/"}
        self._client = build(
            "youtube", "v3", developerKey=key, http=http, static_discovery=True, client_options=options
        )

    def page(self, wanted: Wanted, window: Window) -> HitPage:
        """See `SearchProvider`."""
        asked = {
            "part": "snippet",
            "type": "video",
            "q": wanted.phrase,
            "order": "relevance",
            "maxResults": PAGE,
            "videoDuration": _duration_class(wanted),
            "videoLicense": "creativeCommon" if wanted.license == "cc" else None,
            "publishedAfter": _rfc3339(window.after or wanted.after),
            "publishedBefore": _rfc3339(window.before or wanted.before),
            "pageToken": window.token,
            "fields": "nextPageToken,items(id/videoId)",
        }
        answer = self._ask(self._client.search(), asked, self._searches)
        ids = [str(item.get("id", {}).get("videoId", "")) for item in answer.get("items", [])]
        return HitPage(ids=list(filter(youtube.is_video_id, ids)), next_token=answer.get("nextPageToken"))

    def details(self, ids: list[str]) -> dict[str, Hit]:
        """See `SearchProvider`."""
        if not ids:
            return {}
        asked = {"part": "snippet,contentDetails,status", "id": ",".join(ids)}
        answer = self._ask(self._client.videos(), asked, self._units)
        checked_at = datetime.now(UTC)
        return {item["id"]: _hit(item, checked_at) for item in answer.get("items", [])}

    def _ask(self, resource: Any, asked: dict[str, Any], bucket: Bucket) -> dict[str, Any]:
        """One call, tried again for passing troubles."""
        request = resource.list(**{name: value for name, value in asked.items() if value is not None})
        for pause in (*PAUSES, None):
            try:
                self._ledger.spend(bucket)
                answer = request.execute(num_retries=0)
                if isinstance(answer, dict):
                    return answer
                said = ApiError(kind=Kind.REFUSED, message=NO_JSON)
            except QuotaSpent as spent:
                raise self._stopped(spent) from None
            except HttpError as error:
                said = judge(error.status_code, error.content, error.resp.get("retry-after"))
            except (OSError, httplib2.HttpLib2Error) as error:
                said = ApiError(kind=Kind.PASSING, message=f"it cannot be reached: {error}")
            except ValueError:
                said = ApiError(kind=Kind.REFUSED, message=NO_JSON)
            if said.kind is Kind.QUOTA:
                raise self._stopped(self._ledger.exhaust(bucket)) from None
            if said.kind is Kind.STALE_TOKEN and "pageToken" in asked:
                raise StaleToken from None
            message = f"the YouTube Data API: {self._without_key(said.message)}"
            if said.kind is not Kind.PASSING:
                raise SearchRefused(message) from None
            if pause is None or (said.retry_after or 0.0) > LONGEST_WAIT:
                again = None if said.retry_after is None else datetime.now(UTC) + timedelta(seconds=said.retry_after)
                raise SearchStopped(message, again) from None
            self._wait(max(pause, said.retry_after or 0.0))
        raise AssertionError("the last try returns or raises")

    def _stopped(self, spent: QuotaSpent) -> SearchStopped:
        what = "search calls" if spent.bucket is self._searches else "units"
        return SearchStopped(
            f"today's {what} of the YouTube Data API are spent ({spent.used:,} counted here); "
            f"there are new ones from {when(spent.renewed_at, ZONE, 'Pacific time')} on",
            spent.renewed_at,
        )

    def _without_key(self, message: str) -> str:
        return message.replace(self._key, "<key>")


def _duration_class(wanted: Wanted) -> str | None:
    """The class of duration that holds all that is wanted, if one does: the API then leaves out the others itself."""
    shortest, longest = wanted.min_duration or 0.0, wanted.max_duration
    if longest is not None and longest < SHORT:
        return "short"
    if shortest > LONG:
        return "long"
    if shortest >= SHORT and longest is not None and longest <= LONG:
        return "medium"
    return None


def _rfc3339(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _hit(item: dict[str, Any], checked_at: datetime) -> Hit:
    snippet, status = item.get("snippet", {}), item.get("status", {})
    published = snippet.get("publishedAt")
    licence = youtube.LICENCES.get(status.get("license", ""))
    live = snippet.get("liveBroadcastContent", "none") != "none"
    length = parse_duration(item.get("contentDetails", {}).get("duration", ""))
    found = youtube.video(
        item["id"],
        title=snippet.get("title"),
        channel=snippet.get("channelTitle"),
        channel_id=snippet.get("channelId"),
        published_at=None if published is None else datetime.fromisoformat(published),
        licence=licence,
        licence_checked_at=None if licence is None else checked_at,
        duration=None if live else length,
    )
    return Hit(video=found, live=live)


def parse_duration(text: str) -> float | None:
    """Seconds of an ISO 8601 duration such as PT15M51S or P1DT2H; None if it is none."""
    parts = re.fullmatch(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?", text)
    if parts is None or not any(parts.groups()):
        return None
    weeks, days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return ((weeks * 7 + days) * 24 + hours) * 3600 + minutes * 60 + seconds
