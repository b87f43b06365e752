"""What can go wrong with a video, in classes that each have a policy: try again later, give up, or pause the stage.

Every stage raises `StageError`; `curation.classify` makes one of anybody else's exception.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

MESSAGE_LENGTH = 300


class ErrorClass(StrEnum):
    """Why a stage failed on an item, as the catalogue stores it."""

    GONE = "gone"  # removed by its owner or its site; never coming back
    PRIVATE = "private"  # there, but only for those who may see it
    GEO = "geo"  # not shown in this country
    RATE_LIMITED = "rate-limited"
    BOT_CHECK = "bot-check"  # the site doubts that a person asks
    NETWORK = "network"
    UNSUPPORTED = "unsupported"  # no video there, or none that can be had
    DISK_FULL = "disk-full"
    CORRUPT = "corrupt"  # a file that does not decode
    MISSING = "missing"  # a local file that is not there, or may not be read
    UNKNOWN = "unknown"


class Action(StrEnum):
    """What to do about an error."""

    RETRY = "retry"  # the item, later, with growing pauses
    GIVE_UP = "give-up"  # until a person asks again
    PAUSE = "pause"  # the whole stage (disk) or provider (bot check): the next item would meet the same


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How an error class is met. `first` and `longest` bound the pause before the next try, in seconds."""

    action: Action
    first: float = 0.0
    longest: float = 0.0
    tries: int | None = None  # at most, in all; None: no limit

    def pause(self, tries: int, retry_after: float | None = None) -> float | None:
        """Seconds to wait after `tries` failed tries (from 1 on), doubling each time; None: do not try again.

        A server's own `retry_after` (seconds) is obeyed where it asks for longer.
        """
        if tries < 1:
            raise ValueError(f"tries counts from 1, not {tries}")
        if self.action is Action.GIVE_UP or (self.tries is not None and tries >= self.tries):
            return None
        return max(min(self.first * 2.0 ** min(tries - 1, 60), self.longest), retry_after or 0.0)


HOUR = 3600.0
GIVE_UP = Policy(action=Action.GIVE_UP)
POLICIES: Mapping[ErrorClass, Policy] = {
    ErrorClass.GONE: GIVE_UP,
    ErrorClass.PRIVATE: GIVE_UP,
    ErrorClass.GEO: GIVE_UP,
    ErrorClass.UNSUPPORTED: GIVE_UP,
    ErrorClass.CORRUPT: GIVE_UP,
    ErrorClass.RATE_LIMITED: Policy(action=Action.RETRY, first=300.0, longest=24 * HOUR),
    ErrorClass.NETWORK: Policy(action=Action.RETRY, first=30.0, longest=6 * HOUR),
    # A mounted disk comes back; an error nobody has classed yet deserves a second look, not an endless one.
    ErrorClass.MISSING: Policy(action=Action.RETRY),
    ErrorClass.UNKNOWN: Policy(action=Action.RETRY, first=300.0, longest=6 * HOUR, tries=3),
    ErrorClass.BOT_CHECK: Policy(action=Action.PAUSE, first=HOUR, longest=24 * HOUR),
    ErrorClass.DISK_FULL: Policy(action=Action.PAUSE),
}


class StageError(Exception):
    """A stage failed on one item: `error_class`, one line of `message`, and `retry_after` seconds if a server said so.

    `str()` is "<class>: <message>", as the catalogue stores it and people read it.
    """

    def __init__(self, error_class: ErrorClass, message: str, *, retry_after: float | None = None) -> None:
        self.error_class = error_class
        self.message = one_line(message)
        self.retry_after = retry_after
        super().__init__(f"{error_class}: {self.message}")

    def __reduce__(self) -> tuple[object, ...]:
        # The worker processes of later stages send these home.
        return _rebuild, (self.error_class, self.message, self.retry_after)

    @property
    def policy(self) -> Policy:
        """What to do about it."""
        return POLICIES[self.error_class]


def _rebuild(error_class: ErrorClass, message: str, retry_after: float | None) -> StageError:
    return StageError(error_class, message, retry_after=retry_after)


def one_line(message: str) -> str:
    """A message without colours and yt-dlp's trimmings, on one line of at most 300 characters."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", message)
    text = re.sub(r"\s+", " ", text).strip()
    text = re.sub(r"(?:; please report this issue on| If you believe this is an error, please) .*", "", text)
    text = re.sub(r"^ERROR: ", "", text)
    text = re.sub(r"^\[download\] Got error: ", "", text)
    text = re.sub(r"^\[[\w:.+-]+\] (?:\S+: )?", "", text)  # "[extractor] id: "
    text = re.sub(r" \(caused by .*\)$", "", text)
    return text if len(text) <= MESSAGE_LENGTH else text[: MESSAGE_LENGTH - 3].rstrip() + "..."
