"""Searching YouTube without a key, through yt-dlp's `ytsearchN:`: what its search page lists, with no licence or date.

The pages are read flat: no video's own page is asked for, so that thousands of hits raise no bot check. Licence and
date would need exactly that, and so are refused here; the Data API (`youtube_api`) has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from yt_dlp import YoutubeDL

from curation.classify import classify
from curation.errors import Action
from curation.providers import youtube
from curation.providers.hits import Hit, HitPage, SearchRefused, SearchStopped, Wanted, Window

NAME = "yt-dlp"
PAGE = 50  # hits that are stored at once
MOST = 5000  # hits looked through; YouTube's search page itself ends long before


class YtDlpSearch:
    """One search at a time: a page that follows the one before is read on from there."""

    name = NAME
    ceiling: int | None = None

    def __init__(self, *, cache: Path, timeout: float = 20.0, proxy: str | None = None) -> None:
        self._options = {
            "extract_flat": True,
            "quiet": True,
            "noprogress": True,
            "color": "never",
            "socket_timeout": timeout,
            "extractor_retries": 3,
            "cachedir": str(cache),
            "logger": _Quiet(),
            "proxy": proxy,
        }
        self._entries: Iterator[dict[str, Any]] | None = None
        self._read = 0
        self._hits: dict[str, Hit] = {}

    def page(self, wanted: Wanted, window: Window) -> HitPage:
        """See `SearchProvider`. The token is the number of hits before the page."""
        refuse_what_is_not_listed(wanted)
        start = int(window.token or 0)
        if self._entries is None or start != self._read:
            self._entries = _guarded(lambda: self._begin(wanted.phrase))
            self._read = len(_guarded(lambda: list(islice(self._entries or iter(()), start))))
        entries = _guarded(lambda: list(islice(self._entries or iter(()), PAGE)))
        self._read += len(entries)
        self._hits = {entry["id"]: _hit(entry) for entry in entries if youtube.is_video_id(str(entry.get("id", "")))}
        return HitPage(ids=list(self._hits), next_token=str(self._read) if len(entries) == PAGE else None)

    def details(self, ids: list[str]) -> dict[str, Hit]:
        """See `SearchProvider`: what the page listed."""
        return {id_: self._hits[id_] for id_ in ids if id_ in self._hits}

    def _begin(self, phrase: str) -> Iterator[dict[str, Any]]:
        # Unprocessed, its entries come as they are asked for: no page of the site is read in vain.
        found = YoutubeDL(self._options).extract_info(f"ytsearch{MOST}:{phrase}", download=False, process=False)
        return iter(found.get("entries") or [])


class _Quiet:
    """yt-dlp's messages are not ours; errors come as exceptions."""

    def debug(self, message: str) -> None: ...

    info = warning = error = debug


def refuse_what_is_not_listed(wanted: Wanted) -> None:
    """Raise `SearchRefused` where more is wanted than a search page tells."""
    asked = {"--license cc": wanted.license != "any", "--after": wanted.after, "--before": wanted.before}
    named = [option for option, value in asked.items() if value]
    if named:
        raise SearchRefused(
            f"{' and '.join(named)}: YouTube's search page, which yt-dlp reads, tells neither licences nor dates; "
            "use --provider youtube-api"
        )


def _guarded(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    # Whatever an extractor raises is classed, as in downloads.
    except Exception as error:  # noqa: BLE001
        found = classify(error)
    if found.policy.action is Action.GIVE_UP:
        raise SearchRefused(f"yt-dlp: {found.message}") from found
    raise SearchStopped(f"yt-dlp: {found}") from found


def _hit(entry: dict[str, Any]) -> Hit:
    duration = entry.get("duration")
    video = youtube.video(
        entry["id"],
        title=entry.get("title"),
        channel=entry.get("channel") or entry.get("uploader"),
        channel_id=entry.get("channel_id"),
        duration=None if duration is None else float(duration),
    )
    return Hit(video=video, live=entry.get("live_status") in ("is_live", "is_upcoming"))
