"""What providers hand over: a video that was named (`Found`), and one that was fetched (`Fetched`)."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

FILE = "file"  # provider of local files; its provider id is the absolute path. Data sets have names of their own
WEB = "web"  # provider of URLs that no extractor of yt-dlp knows by name; its provider id is the URL


@dataclass(frozen=True, kw_only=True)
class Found:
    """A video that was named but not yet looked at. (provider, provider id) is what makes two of them the same."""

    provider: str
    provider_id: str
    source: str  # the URL, or the absolute path
    label: str | None = None
    title: str | None = None
    licence: str | None = None
    official_split: str | None = None  # of a published data set: train, val or test
    group_key: str | None = None  # shared by videos that its makers cut from one recording
    channel: str | None = None
    channel_id: str | None = None
    published_at: datetime | None = None
    licence_checked_at: datetime | None = None
    duration: float | None = None  # s, as its site states it

    @property
    def id(self) -> str:
        """The video's identity in the catalogue, the same on every machine."""
        return video_id(self.provider, self.provider_id)


@dataclass(frozen=True, kw_only=True)
class Details:
    """What a provider says about a video that it fetches."""

    title: str | None = None
    channel: str | None = None
    channel_id: str | None = None
    published_at: datetime | None = None
    licence: str | None = None
    licence_checked_at: datetime | None = None
    tools: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Fetched(Details):
    """A file that a provider says is the whole video; not yet checked."""

    path: Path
    stays: bool  # a local file that is used where it is
    continued: bool = False  # it was begun by an earlier call


class Cancelled(Exception):
    """The person asked to stop; what is there already is kept and continued by the next call."""


def video_id(provider: str, provider_id: str) -> str:
    """`<provider>-<provider id>`, or a hash in place of an id that is long or could not be a file's name."""
    if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", provider_id):
        return f"{provider}-{provider_id}"
    return f"{provider}-{hashlib.sha256(provider_id.encode()).hexdigest()[:12]}"
