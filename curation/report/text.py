"""Text from outside, made fit for a page: whole characters, no control codes, not longer than a cell."""

from __future__ import annotations

import re
from datetime import UTC, datetime

CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SPACE = re.compile(r"\s")
WEB = re.compile(r"https?://", re.IGNORECASE)


def clean(text: object, most: int = 160) -> str:
    """Text on one line of at most `most` characters. Escaping it is the template's part."""
    whole = str(text).encode("utf-8", "replace").decode("utf-8")
    whole = " ".join(CONTROLS.sub("\ufffd", whole).split())
    return whole if len(whole) <= most else whole[: most - 1].rstrip() + "…"


def link(source: str) -> str | None:
    """An address that may be linked to: of the web, nothing that would run or open a file."""
    return source if WEB.match(source) and not (CONTROLS.search(source) or SPACE.search(source)) else None


def moment(when: datetime | None) -> str:
    """A time as the report shows it."""
    return "" if when is None else f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} TiB"


def length(seconds: float) -> str:
    """A duration for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
