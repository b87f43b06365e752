"""What a page may send, and the check of it: anything else is no event.

The page speaks through the keys of Visdom's KeyPress events: `cell:<token>:<position>:0`, `cell:<token>:<position>:1`
with `:<reason 1-6>` where one is given, `enter:<token>:<ms seen>`, and `clear`, `back`, `stop`, `playing`, `failed` and
`bye` with `:<token>`. The token names the batch that the curator was looking at, so that a late click never reaches the
next batch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from annotation_server.records import REASONS, Mark

MAX_KEY = 96  # characters; the longest legal key is shorter
MAX_SEEN_MS = 24 * 3600 * 1000


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something the curator did, or the page observed, while it showed the batch `token`."""

    token: str


@dataclass(frozen=True, kw_only=True)
class SetMark(Event):
    """The cell at `position` (0 is the top left one) shall be marked, perhaps with a reason, or not."""

    position: int
    mark: Mark | None


@dataclass(frozen=True, kw_only=True)
class Confirm(Event):
    """The batch is judged; the page had it playing in view for `seen` seconds."""

    seen: float


@dataclass(frozen=True, kw_only=True)
class Clear(Event):
    """Take all marks of the batch back."""


@dataclass(frozen=True, kw_only=True)
class Back(Event):
    """Reopen the batch that was confirmed before this one."""


@dataclass(frozen=True, kw_only=True)
class Stop(Event):
    """End the review."""


@dataclass(frozen=True, kw_only=True)
class Playing(Event):
    """The batch's video has begun to play."""


@dataclass(frozen=True, kw_only=True)
class Failed(Event):
    """The batch's video cannot play in this browser, or there is none; the page shows why."""


@dataclass(frozen=True, kw_only=True)
class Bye(Event):
    """The page shows the review's end."""


_PLAIN: dict[str, type[Event]] = {
    "clear": Clear,
    "back": Back,
    "stop": Stop,
    "playing": Playing,
    "failed": Failed,
    "bye": Bye,
}
_KEY = re.compile(r"(?P<kind>[a-z]{3,8}):(?P<token>[0-9a-f]{32})(?::(?P<rest>[0-9:]{1,16}))?", re.ASCII)
_CELL = re.compile(rf"(?P<position>\d{{1,4}}):(?:(?P<off>0)|1(?::(?P<reason>[1-{len(REASONS)}]))?)", re.ASCII)


def parse(key: object) -> Event | None:
    """The event that a key stands for, or None for anything that no page of ours sends."""
    if not isinstance(key, str) or len(key) > MAX_KEY:
        return None
    match = _KEY.fullmatch(key)
    if match is None:
        return None
    kind, token, rest = match["kind"], match["token"], match["rest"]
    if kind in _PLAIN:
        return _PLAIN[kind](token=token) if rest is None else None
    if kind == "cell" and rest is not None and (cell := _CELL.fullmatch(rest)) is not None:
        reason = None if cell["reason"] is None else REASONS[int(cell["reason"]) - 1]
        mark = None if cell["off"] else Mark(reason=reason)
        return SetMark(token=token, position=int(cell["position"]), mark=mark)
    if kind == "enter" and rest is not None and rest.isdigit() and int(rest) <= MAX_SEEN_MS:
        return Confirm(token=token, seen=int(rest) / 1000)
    return None
