"""Cookies for yt-dlp, from a file or a browser, as text in memory: read once, never written back, never shown."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

FIELDS = 7  # domain, subdomains, path, secure, expires, name, value
HEADER = "# Netscape HTTP Cookie File\n"  # without it yt-dlp refuses what is fine
HTTP_ONLY = "#HttpOnly_"
BROWSERS = ("brave", "chrome", "chromium", "edge", "firefox", "opera", "safari", "vivaldi", "whale")


def read_cookies(path: Path) -> str:
    """The text of a Netscape cookie file. Raises `ValueError` if it cannot be read or is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a Netscape cookie file: it is not UTF-8 text") from None
    try:
        check_cookies(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return text


def check_cookies(text: str) -> None:
    """Raise `ValueError`, naming the line but not what it says, if this is no Netscape cookie file.

    yt-dlp would print a line that it cannot read, with its secret, and go on without it.
    """
    if text.lstrip()[:1] in ("[", "{"):
        raise ValueError("not a Netscape cookie file but JSON; export the cookies as cookies.txt")
    found = 0
    for number, fields in _lines(text):
        if len(fields) != FIELDS:
            raise ValueError(
                f"not a Netscape cookie file: line {number} has {len(fields)} fields between tabs, not {FIELDS}"
            )
        if (fields[1] == "TRUE") is not fields[0].startswith("."):
            raise ValueError(
                f"not a Netscape cookie file: line {number} says TRUE for subdomains and has no dot before its domain,"
                " or the other way round"
            )
        if fields[4] and not re.fullmatch(r"[0-9]+(?:\.[0-9]+)?", fields[4]):
            raise ValueError(f"not a Netscape cookie file: line {number} has no number as its time of expiry")
        found += 1
    if not found:
        raise ValueError("holds no cookies")


def cookie_stream(text: str) -> io.StringIO:
    """A copy for yt-dlp, which writes to what it is given."""
    return io.StringIO(HEADER + text)


def cookie_values(text: str) -> Iterator[str]:
    """The values of the cookies: what must not be shown."""
    for _, fields in _lines(text):
        yield fields[-1]


def browser_cookies(browser: str) -> str:
    """The cookies of a browser on this machine, as the text of a Netscape cookie file.

    Raises `ValueError` if yt-dlp cannot find or read them.
    """
    from yt_dlp.cookies import YoutubeDLCookieJar, extract_cookies_from_browser

    if browser not in BROWSERS:
        raise ValueError(f"{browser!r} is no browser that cookies can be taken from ({', '.join(BROWSERS)})")
    try:
        found = extract_cookies_from_browser(browser)
    # Each browser keeps its cookies in another way, and each way breaks with exceptions of its own.
    except Exception as error:  # noqa: BLE001
        raise ValueError(f"the cookies of {browser} could not be read: {error}") from None
    jar = YoutubeDLCookieJar()
    for cookie in found:
        jar.set_cookie(cookie)
    stream = io.StringIO()
    jar.save(stream)
    text = stream.getvalue()
    try:
        check_cookies(text)
    except ValueError as error:
        raise ValueError(f"the cookies of {browser}: {error}") from None
    return text


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number, fields) of the lines that hold a cookie."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removeprefix(HTTP_ONLY)
        if line.strip() and not line.startswith("#"):
            yield number, line.split("\t")
