"""What searching asks of a provider (`Wanted`, `Window`), what it gets (`HitPage`, `Hit`), and why it cannot go on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from curation.providers.found import Found
from curation.providers.youtube import CREATIVE_COMMONS

LICENSES = ("any", "cc")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A search: its phrase, and which of the hits are wanted. Times are aware; durations in seconds, both ends in."""

    phrase: str
    license: str = "any"
    after: datetime | None = None
    before: datetime | None = None
    min_duration: float | None = None
    max_duration: float | None = None

    def __post_init__(self) -> None:
        if not self.phrase.strip():
            raise ValueError("the phrase is empty")
        if self.license not in LICENSES:
            raise ValueError(f"license must be one of {', '.join(LICENSES)}, not {self.license}")
        if self.after is not None and self.before is not None and not self.after < self.before:
            raise ValueError(f"nothing was published after {self.after:%Y-%m-%d} and before {self.before:%Y-%m-%d}")
        if self.min_duration is not None and self.min_duration < 0:
            raise ValueError(f"min_duration must be at least 0 s, not {self.min_duration:g}")
        if self.max_duration is not None and self.max_duration < (self.min_duration or 0):
            raise ValueError(f"max_duration must be at least min_duration, not {self.max_duration:g} s")

    def settings(self) -> dict[str, Any]:
        """What makes two searches of one phrase the same, as the catalogue stores it."""
        return {
            "license": self.license,
            "after": None if self.after is None else self.after.isoformat(),
            "before": None if self.before is None else self.before.isoformat(),
            "min_duration": self.min_duration,
            "max_duration": self.max_duration,
        }

    def refuses(self, hit: Hit) -> str | None:
        """Why a hit is not wanted, in words to count by; None: it is. What its provider does not tell is let pass."""
        video = hit.video
        if hit.live:
            return "live"
        if video.duration is not None:
            if self.min_duration is not None and video.duration < self.min_duration:
                return "too short"
            if self.max_duration is not None and video.duration > self.max_duration:
                return "too long"
        if self.license == "cc" and video.licence != CREATIVE_COMMONS:
            return "not Creative Commons"
        if video.published_at is not None:
            early = self.after is not None and video.published_at < self.after
            late = self.before is not None and video.published_at >= self.before
            if early or late:
                return "of another date"
        return None


@dataclass(frozen=True, kw_only=True)
class Window:
    """A span of publication dates that is being paged through; None: no bound. `token` is the page to ask for next."""

    after: datetime | None = None
    before: datetime | None = None
    token: str | None = None
    hits: int = 0  # on the pages before

    def as_json(self) -> dict[str, Any]:
        """The window as the catalogue stores it."""
        return {
            "after": None if self.after is None else self.after.isoformat(),
            "before": None if self.before is None else self.before.isoformat(),
            "token": self.token,
            "hits": self.hits,
        }

    @classmethod
    def of_json(cls, stored: dict[str, Any]) -> Window:
        """What `as_json` made."""
        after, before = (
            None if stored[name] is None else datetime.fromisoformat(stored[name]) for name in ("after", "before")
        )
        return cls(after=after, before=before, token=stored["token"], hits=stored["hits"])


@dataclass(frozen=True, kw_only=True)
class HitPage:
    """One page: its hits' ids, best first, and the token of the next one, if there is one."""

    ids: list[str]
    next_token: str | None


@dataclass(frozen=True, kw_only=True)
class Hit:
    """What is known of a hit."""

    video: Found
    live: bool = False  # on air, or announced: nothing that could be cut yet


class SearchProvider(Protocol):
    """Somebody who can be asked for videos by a phrase."""

    name: str
    ceiling: int | None  # a window that ends with this many hits may hold more; None: a narrower one would not help

    def page(self, wanted: Wanted, window: Window) -> HitPage:
        """Ask for the window's next page. Raises `SearchStopped`, `SearchRefused`, `StaleToken`."""

    def details(self, ids: list[str]) -> dict[str, Hit]:
        """What is known of up to 50 hits; those that cannot be had (any more) are left out. Raises as `page`."""


class SearchStopped(Exception):
    """The search cannot go on now, but later: from `resume_at` on, where that is known. What was found stands."""

    def __init__(self, message: str, resume_at: datetime | None = None) -> None:
        super().__init__(message)
        self.resume_at = resume_at


class SearchRefused(Exception):
    """The search cannot be done like this; the message says what to change."""


class StaleToken(Exception):
    """The page's token is not valid any more: its window must be paged through from the start."""
