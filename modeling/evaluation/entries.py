"""A number as it stands in the report: its value, its interval, what it rests on, and what must be said of it."""

from __future__ import annotations

from typing import Any

from modeling.metrics.bootstrap import Interval

Entry = dict[str, Any]


def entry(
    value: float | None,
    interval: Interval | None = None,
    *,
    n: tuple[int, int],
    few: bool = False,
    note: str = "",
) -> Entry:
    """A number as it stands in the report."""
    low, high = (None, None) if interval is None else interval
    return {"value": value, "low": low, "high": high, "n": list(n), "few": few, "note": note}


def noted(numbers: dict[str, Entry], note: str) -> dict[str, Entry]:
    """The numbers with one more note each."""
    return {name: {**number, "note": joined(number["note"], note)} for name, number in numbers.items()}


def joined(*notes: str) -> str:
    """Those that say something."""
    return ", ".join(note for note in notes if note)
