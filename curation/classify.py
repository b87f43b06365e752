"""Turns an exception of yt-dlp, urllib, requests, PyAV or the operating system into a classed `StageError`.

The original is kept as its cause, and what a server said about when to come back as `retry_after`.
"""

from __future__ import annotations

import email.utils
import errno
import re
import urllib.error
from collections.abc import Iterator
from datetime import UTC, datetime

from curation.errors import ErrorClass, StageError, one_line


def classify(exception: BaseException) -> StageError:
    """The class of an exception, from its type, its causes and, as sites leave no other way, its words.

    The result has the exception as its `__cause__`.
    """
    chain = list(_chain(exception))
    for error in chain:
        if isinstance(error, StageError):
            return error
    found = StageError(_class_of(chain), _message_of(exception), retry_after=_retry_after(chain))
    found.__cause__ = exception
    return found


def _chain(exception: BaseException) -> Iterator[BaseException]:
    """The exception, then all that it says it comes from, outermost first."""
    waiting: list[object] = [exception]
    seen: set[int] = set()
    while waiting:
        error = waiting.pop(0)
        if not isinstance(error, BaseException) or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        told = getattr(error, "exc_info", None)  # yt-dlp's errors carry what they were made from
        waiting += [told[1] if isinstance(told, tuple) and len(told) == 3 else None]
        waiting += [getattr(error, "cause", None), getattr(error, "reason", None)]
        waiting += [error.__cause__, None if error.__suppress_context__ else error.__context__]


def _message_of(exception: BaseException) -> str:
    text = str(exception)
    if isinstance(exception, OSError) and exception.strerror and type(exception).__module__ == "builtins":
        text = exception.strerror + (f": {exception.filename}" if exception.filename else "")
    if not text or isinstance(exception, (LookupError, TypeError, AttributeError, AssertionError)):
        text = f"{type(exception).__name__}: {text}".removesuffix(": ")
    return text


def _class_of(chain: list[BaseException]) -> ErrorClass:
    if any(isinstance(e, OSError) and e.errno in (errno.ENOSPC, errno.EDQUOT) for e in chain):
        return ErrorClass.DISK_FULL
    # A site's words say more than the status it sends them with: a bot check comes as a 403 or a 200.
    words = " ".join(_words_of(e) for e in chain)
    for error_class, pattern in WORDS:
        if pattern.search(words):
            return error_class
    for error in chain:
        by_type = _class_of_type(error)
        if by_type is not None:
            return by_type
    stated = re.search(r"HTTP Error (\d{3})", words)
    if stated:
        return class_of_status(int(stated[1]))
    return ErrorClass.NETWORK if NETWORK_WORDS.search(words) else ErrorClass.UNKNOWN


def _words_of(error: BaseException) -> str:
    """What an error says, without the addresses and identifiers in it, which could hold any word."""
    text = one_line(str(getattr(error, "orig_msg", None) or error))
    return re.sub(r"\w+://\S+", "", text)


def _class_of_type(error: BaseException) -> ErrorClass | None:
    status = _status(error)
    if status is not None:
        return class_of_status(status)
    package = type(error).__module__.partition(".")[0]
    if package == "yt_dlp":
        return _class_of_ytdlp(error)
    if package == "av":
        return _class_of_av(error)
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return ErrorClass.MISSING
    if isinstance(error, IsADirectoryError):
        return ErrorClass.UNSUPPORTED
    network = (ConnectionError, TimeoutError, urllib.error.URLError)
    if isinstance(error, network) or package in ("socket", "ssl", "http", "urllib3"):
        return ErrorClass.NETWORK
    if package == "requests":
        return ErrorClass.NETWORK
    return None


def _class_of_ytdlp(error: BaseException) -> ErrorClass | None:
    # Imported here: an error of yt-dlp's means that it is loaded, and every other stage does without its second.
    from yt_dlp.networking.exceptions import RequestError, TransportError, UnsupportedRequest
    from yt_dlp.utils import ContentTooShortError, GeoRestrictedError, UnsupportedError

    if isinstance(error, GeoRestrictedError):
        return ErrorClass.GEO
    if isinstance(error, (UnsupportedError, UnsupportedRequest)):
        return ErrorClass.UNSUPPORTED
    if isinstance(error, (TransportError, ContentTooShortError)):
        return ErrorClass.NETWORK
    if isinstance(error, RequestError):
        return ErrorClass.UNSUPPORTED  # no handler for such a URL
    return None


def _class_of_av(error: BaseException) -> ErrorClass | None:
    if isinstance(error, (FileNotFoundError, PermissionError)):
        return ErrorClass.MISSING
    if isinstance(error, IsADirectoryError):
        return ErrorClass.UNSUPPORTED
    if isinstance(error, MemoryError):
        return None
    if isinstance(error, (LookupError, NotImplementedError)):
        return ErrorClass.UNSUPPORTED  # no decoder, demuxer or filter for it
    return ErrorClass.CORRUPT


def _status(error: BaseException) -> int | None:
    """The HTTP status of an error of urllib, requests or yt-dlp."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code"):
            value = getattr(holder, name, None)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
    return None


def class_of_status(status: int) -> ErrorClass:
    """The class of an HTTP error status."""
    if status in (404, 410):
        return ErrorClass.GONE
    if status in (401, 402, 403):
        return ErrorClass.PRIVATE
    if status == 451:
        return ErrorClass.GEO
    if status == 429:
        return ErrorClass.RATE_LIMITED
    if status in (407, 408, 425) or status >= 500:
        return ErrorClass.NETWORK
    return ErrorClass.UNSUPPORTED


def _retry_after(chain: list[BaseException]) -> float | None:
    for error in chain:
        if _status(error) is None:
            continue
        for holder in (error, getattr(error, "response", None)):
            headers = getattr(holder, "headers", None)
            value = headers.get("Retry-After") if headers is not None else None
            if value is not None:
                return parse_retry_after(str(value))
    return None


def parse_retry_after(value: str, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3: seconds or a date); None if it is neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - (now or datetime.now(UTC))).total_seconds())


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


# In this order: the first that fits decides.
WORDS: tuple[tuple[ErrorClass, re.Pattern[str]], ...] = (
    (ErrorClass.DISK_FULL, _words(r"No space left on device", r"Disk quota exceeded")),
    (ErrorClass.BOT_CHECK, _words(r"not a bot", r"anti-bot", r"\bcaptcha\b", r"unusual traffic")),
    (
        ErrorClass.GEO,
        _words(
            r"(?:not |un)available (?:in|from) your (?:country|location|region)",
            r"blocked it in your country",
            r"geo.?restrict",
            r"made this video available in your country",
        ),
    ),
    (
        ErrorClass.RATE_LIMITED,
        _words(r"rate.?limit", r"Too Many Requests", r"try again later", r"page needs to be reloaded"),
    ),
    (
        ErrorClass.PRIVATE,
        _words(
            r"\bprivate (?:video|account|playlist)",
            r"video is private",
            r"members.only",
            r"members on level",
            r"only available (?:for|to) (?:registered|members|subscribers)",
            r"requires payment",
            r"account authentication is required",
            r"log ?in required",
            r"need to log in",
            r"confirm your age",
            r"inappropriate for some users",
        ),
    ),
    (
        ErrorClass.UNSUPPORTED,
        _words(
            r"Unsupported URL",
            r"Requested format is not available",
            r"No video formats found",
            r"\bDRM\b",
            r"is not a valid URL",
            r"live event will begin",
            r"Premieres in",
            r"extracted extension .* is unusual",
        ),
    ),
    (
        ErrorClass.GONE,
        _words(
            r"has been removed",
            r"been terminated",
            r"no longer available",
            r"does(?: not|n.t) exist",
            r"Video unavailable",
            r"video (?:is|was) (?:not available|unavailable|deleted|removed)",
            r"removed by the (?:uploader|user)",
        ),
    ),
)
NETWORK_WORDS = _words(
    r"timed out",
    r"Connection (?:refused|reset|aborted)",
    r"Name or service not known",
    r"name resolution",
    r"Network is unreachable",
    r"bytes read, \d+ more expected",
    r"Did not get any data blocks",
    r"Downloaded \d+ bytes, expected \d+ bytes",
)
