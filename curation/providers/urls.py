"""Which video a URL means, found without network, and lists of URLs and files."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import parse_qs, urlsplit, urlunsplit

from curation.errors import ErrorClass, StageError
from curation.providers.found import WEB, Found


def is_url(text: str) -> bool:
    """Whether a person, or a video's source, means an address rather than a file (no absolute path holds `//`)."""
    return "://" in text


def identify_url(url: str) -> Found:
    """The video that a URL names, by yt-dlp's extractors, so that https://youtu.be/X and .../watch?v=X are one.

    Raises `StageError` (unsupported) for what is no http(s) address, and for playlists and channels.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise StageError(ErrorClass.UNSUPPORTED, f"not a web address: {error}") from None
    if parts.scheme.lower() not in ("http", "https"):
        raise StageError(ErrorClass.UNSUPPORTED, "only http:// and https:// addresses can be fetched")
    if not parts.hostname or any(c.isspace() for c in url) or not url.isprintable():
        raise StageError(ErrorClass.UNSUPPORTED, "not a web address")
    extractor, url = _extractor(url)
    if extractor.ie_key() == "Generic":
        # Scheme and host are the same in any case; a fragment never reaches the server.
        user = parts.netloc.rpartition("@")[0]
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        netloc = (f"{user}@" if user else "") + host + (f":{port}" if port is not None else "")
        plain = urlunsplit((parts.scheme.lower(), netloc, parts.path or "/", parts.query, ""))
        return Found(provider=WEB, provider_id=plain, source=plain)
    if extractor.is_single_video(url) is False or extractor.ie_key() == "YoutubeTab":
        raise StageError(ErrorClass.UNSUPPORTED, "a playlist or channel; add its videos one by one")
    provider_id = extractor.get_temp_id(url)
    return Found(provider=extractor.ie_key().lower(), provider_id=str(provider_id or url), source=url)


def _extractor(url: str) -> tuple[Any, str]:
    """The extractor class that yt-dlp would use, and the URL it would see."""
    extractor = next(ie for ie in _extractors() if ie.suitable(url))
    if extractor.ie_key() == "YoutubeTab":
        # A video opened from within a playlist: the video is meant, as with yt-dlp's --no-playlist.
        video = parse_qs(urlsplit(url).query).get("v")
        if video:
            return _extractor(f"https://www.youtube.com/watch?v={video[0]}")
    return extractor, url


@functools.cache
def _extractors() -> list[Any]:
    # Imported here: `curate add` of local files does without it. The last one, Generic, takes every address.
    from yt_dlp.extractor import gen_extractor_classes

    return list(gen_extractor_classes())


def read_list(stream: TextIO, name: str) -> Iterator[tuple[str, str]]:
    """Yield (line, "NAME, line N") for the entries of a list: one a line; empty lines and # comments are left out.

    Raises `StageError` (corrupt) if the list is not text.
    """
    number = 0
    try:
        for number, line in enumerate(stream, 1):
            entry = line.strip().removeprefix("\ufeff")
            if entry and not entry.startswith("#"):
                yield entry, f"{name}, line {number}"
    except UnicodeDecodeError:
        raise StageError(ErrorClass.CORRUPT, f"{name}, after line {number}: not UTF-8 text") from None


def read_list_file(path: Path) -> Iterator[tuple[str, str]]:
    """`read_list` of a file."""
    with path.open(encoding="utf-8") as stream:
        yield from read_list(stream, str(path))
