"""Fetching a web video with yt-dlp's Python API, one video at a time, continuing what an earlier call began.

The API's defaults are not the command line's, so everything that matters is set here.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from yt_dlp import YoutubeDL
from yt_dlp.utils import DownloadCancelled
from yt_dlp.version import __version__

from curation.classify import classify
from curation.errors import ErrorClass, StageError
from curation.providers.cookies import cookie_stream
from curation.providers.found import Cancelled, Details, Fetched
from curation.providers.media import Media, chosen_format
from curation.providers.ranges import NotInParts
from curation.providers.web_settings import WebSettings

T = TypeVar("T")
LOG = logging.getLogger(__name__)
JS_RUNTIMES = ("deno", "node", "bun")  # YouTube's pages need one; yt-dlp checks their versions
PAGE_TRIES = 3  # of the page; yt-dlp itself tries the media again
SHORT_WAIT = 30.0  # s; a server that asks for no more than this is waited for
LONGEST_SLEEP = 10.0  # s, between yt-dlp's own tries


class _Quiet:
    """yt-dlp's messages go to the log: progress is ours to show, and errors come as exceptions."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self._hide = hide

    def debug(self, message: str) -> None:
        LOG.debug("%s", self._hide(message))

    info = warning = error = debug


class _PageError(StageError):
    """Failed before the media was asked for."""


def _worth_waiting(error: StageError, tries: int) -> float | None:
    """Seconds to wait for another try within this call; None: leave it to a later one."""
    if tries == PAGE_TRIES:
        return None
    if error.error_class is ErrorClass.RATE_LIMITED:
        short = error.retry_after is not None and error.retry_after <= SHORT_WAIT
        return error.retry_after if short else None
    if error.error_class is ErrorClass.NETWORK and isinstance(error, _PageError):
        return min(max(2.0 ** (tries - 1), error.retry_after or 0.0), SHORT_WAIT)
    return None


class _Downloader(YoutubeDL):  # type: ignore[misc]
    """yt-dlp, taking folders as they are called: it would put variables' values in where a name has a $."""

    def get_output_path(self, dir_type: str = "", filename: str | None = None) -> str:
        return str(Path(self.params["paths"].get(dir_type or "home", self.params["paths"]["home"]), filename or ""))


class WebFetcher:
    """Fetches web videos for one worker or many; `stop` ends all of them soon after it is set.

    `rate` is the most bytes a second that one video may take.
    """

    def __init__(self, settings: WebSettings, *, stop: threading.Event, cache: Path, rate: float | None = None) -> None:
        self._settings = settings
        self._stop = stop
        self._cache = cache
        self._rate = rate

    def fetch(self, url: str, folder: Path, name: str, watch: Callable[[int, int | None], None]) -> Fetched:
        """Fetch a URL's video to `folder`/`name`.<extension>; until whole it lies in `folder`/part, to be continued.

        `watch(bytes so far, bytes in all or None)` is called as it grows; what it raises ends the download.
        Raises `StageError`, and `Cancelled` soon after `stop` is set.
        """
        return self._again_after_short_waits(url, lambda: self._try(url, folder, name, watch))

    def in_parts(self, url: str, read: Callable[[Media], T]) -> T:
        """What `read` makes of a URL's media, which it may read in any parts. `read` may be called more than once.

        Raises `NotInParts` where the media can only be fetched whole, and else as `fetch`.
        """
        return self._again_after_short_waits(url, lambda: self._try_in_parts(url, read))

    def _again_after_short_waits(self, url: str, attempt: Callable[[], T]) -> T:
        for tries in range(1, PAGE_TRIES + 1):
            try:
                return attempt()
            except StageError as error:
                wait = _worth_waiting(error, tries)
                if wait is None:
                    raise
                LOG.debug("%s: %s; again in %g s", url, error, wait)
                if self._stop.wait(wait):
                    raise Cancelled from None
        raise AssertionError("the last try returns or raises")

    def _try(self, url: str, folder: Path, name: str, watch: Callable[[int, int | None], None]) -> Fetched:
        part = folder / "part"
        continued = part.is_dir() and any(part.iterdir())

        def hook(status: dict[str, Any]) -> None:
            if self._stop.is_set():
                raise DownloadCancelled
            if status.get("status") == "downloading":
                total = status.get("total_bytes") or status.get("total_bytes_estimate")
                watch(status.get("downloaded_bytes") or 0, int(total) if total else None)

        options = self._options() | {
            "paths": {"home": str(folder), "temp": str(part)},
            "outtmpl": {"default": f"{name}.%(ext)s"},
            "progress_hooks": [hook],
        }
        with _Downloader(options) as downloader:
            info = self._guarded(lambda: _look(downloader, url), page=True)
            result = self._guarded(lambda: downloader.process_ie_result(info, download=True), page=False)
        # An archive or filter hit, or a file that is too large, returns without a file: that is not done.
        downloads = (result or {}).get("requested_downloads") or []
        path = Path(downloads[0]["filepath"]) if downloads and downloads[0].get("filepath") else None
        if path is None or not path.is_file():
            raise StageError(ErrorClass.UNKNOWN, "yt-dlp ended without an error and without a file")
        return Fetched(path=path, stays=False, continued=continued, **vars(_details(result)))

    def _try_in_parts(self, url: str, read: Callable[[Media], T]) -> T:
        with _Downloader(self._options() | {"paths": {"home": str(self._cache)}}) as downloader:  # writes nothing there
            info = self._guarded(lambda: _look(downloader, url), page=True)
            media = Media(
                downloader,
                chosen_format(info),
                _details(info),
                retries=self._settings.network_retries,
                rate=self._rate,
                stop=self._stop,
            )
            return self._guarded(lambda: read(media), page=False)

    def _options(self) -> dict[str, Any]:
        s = self._settings
        options = {
            "format": s.selection,
            "noplaylist": True,
            "extract_flat": "in_playlist",
            "continuedl": True,
            "updatetime": False,
            "retries": s.network_retries,
            "fragment_retries": s.network_retries if s.fragment_retries is None else s.fragment_retries,
            "file_access_retries": 3,
            "extractor_retries": 1,  # the page is asked for PAGE_TRIES times already
            "skip_unavailable_fragments": False,  # a video with holes is not the video
            "retry_sleep_functions": dict.fromkeys(("http", "fragment", "file_access", "extractor"), self._sleep),
            "socket_timeout": s.timeout,
            "sleep_interval_requests": s.sleep_requests or None,
            "ratelimit": self._rate,
            "cachedir": str(self._cache),
            "js_runtimes": {runtime: {} for runtime in JS_RUNTIMES if shutil.which(runtime)},
            "logger": _Quiet(s.hide),
            "noprogress": True,
            "color": "never",
        }
        if s.cookies is not None:
            options["cookiefile"] = cookie_stream(s.cookies)
        if s.proxy is not None:
            options["proxy"] = s.proxy
        return options

    def _sleep(self, n: int) -> float:
        # Waits here rather than in yt-dlp, where a stop would not be heard.
        self._stop.wait(min(2.0**n, LONGEST_SLEEP))
        return 0.0

    def _guarded(self, ask: Callable[[], T], *, page: bool) -> T:
        """Call yt-dlp; whatever it raises is classed. A failure of the page is marked as such."""
        try:
            return ask()
        except DownloadCancelled:
            raise Cancelled from None
        except (Cancelled, NotInParts, StageError):
            raise
        # Extractors are a thousand third parties' code: one that breaks must not stop the others.
        except Exception as error:  # noqa: BLE001
            found = classify(error)
        if self._stop.is_set():
            raise Cancelled
        message = self._settings.hide(found.message)
        if "Requested format is not available" in message:
            what = "no format is small enough; try a larger --max-height"
            if self._settings.format is not None:
                what = "it has no format that --format selects"
            raise StageError(found.error_class, what) from found
        if page:
            raise _PageError(found.error_class, message, retry_after=found.retry_after) from found
        if found.error_class is ErrorClass.PRIVATE and "HTTP Error 403" in message:
            # The page let us in and the media did not: an address that ran out, or a site that slows us down.
            raise StageError(ErrorClass.RATE_LIMITED, message, retry_after=found.retry_after) from found
        raise StageError(found.error_class, message, retry_after=found.retry_after) from found


def _details(info: dict[str, Any]) -> Details:
    """What the page says about the video."""
    licence = info.get("license")
    return Details(
        title=info.get("title"),
        channel=info.get("channel") or info.get("uploader"),
        channel_id=info.get("channel_id") or info.get("uploader_id"),
        published_at=_published(info),
        licence=licence,
        licence_checked_at=datetime.now(UTC) if licence else None,
        tools={"yt-dlp": __version__, "extractor": str(info.get("extractor") or "")},
    )


def _published(info: dict[str, Any]) -> datetime | None:
    stamp = info.get("timestamp") or info.get("release_timestamp")
    if isinstance(stamp, int | float):
        return datetime.fromtimestamp(stamp, UTC)
    try:
        return datetime.strptime(str(info.get("upload_date")), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _look(downloader: YoutubeDL, url: str) -> dict[str, Any]:
    """What the page says about its one video."""
    info: dict[str, Any] = downloader.extract_info(url, download=False)
    if info.get("_type") in ("playlist", "multi_video"):
        entries = list(info.get("entries") or [])
        if len(entries) != 1:
            raise StageError(ErrorClass.UNSUPPORTED, f"not one video but {len(entries) or 'none'}; add them one by one")
        info = downloader.extract_info(entries[0].get("webpage_url") or entries[0]["url"], download=False)
    if info.get("live_status") in ("is_live", "is_upcoming"):
        raise StageError(ErrorClass.UNSUPPORTED, "a live stream; add it again when it has ended")
    return info
