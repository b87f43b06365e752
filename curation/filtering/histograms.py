"""Histograms of stored scores, counted by the database from an index alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from db.models import Score

LOGARITHMIC = frozenset({"variance"})  # scores whose values span decades
LEAST_DECADE = -6
BINS, FEWEST = 25, 8  # of a linear histogram, at most and at least
SCORES = Score.__table__


@dataclass(frozen=True, kw_only=True)
class Bin:
    """How many clips have a score from `low` on and below `high`."""

    low: float
    high: float
    clips: int


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """A score of all clips that have it, whatever their state. No bins: no clip has it."""

    score: str
    bins: tuple[Bin, ...]

    @property
    def clips(self) -> int:
        return sum(one.clips for one in self.bins)

    @property
    def logarithmic(self) -> bool:
        return self.score in LOGARITHMIC

    def shown(self, bounds: Sequence[float] = ()) -> tuple[Bin, ...]:
        """Without the bins at both ends that have neither clips nor one of the bounds; none if there are no clips."""
        wanted = [
            number
            for number, one in enumerate(self.bins)
            if one.clips or any(one.low <= bound < one.high for bound in bounds)
        ]
        return self.bins[wanted[0] : wanted[-1] + 1] if self.clips else ()


def score_names(session: Session) -> list[str]:
    """The names of all stored scores. Jumps from one to the next: 100,000 clips have a million scores."""
    names: list[str] = []
    while True:
        following = select(func.min(SCORES.c.name))
        name = session.scalar(following.where(SCORES.c.name > names[-1]) if names else following)
        if name is None:
            return names
        names.append(name)


def histogram(session: Session, score: str, bounds: Sequence[float] = ()) -> Histogram:
    """Half-decade bins for a score that spans decades, at most 25 round steps for others, which hold the bounds too."""
    of_score = SCORES.c.name == score
    low = session.scalar(select(func.min(SCORES.c.value)).where(of_score))
    high = session.scalar(select(func.max(SCORES.c.value)).where(of_score))
    if low is None or high is None:
        return Histogram(score=score, bins=())
    edges = half_decades() if score in LOGARITHMIC else round_steps(min([low, *bounds]), max([high, *bounds]))
    # As text: composing two dozen small queries takes longer than answering them.
    count = "(SELECT count(*) FROM scores WHERE name = :name AND value >= :edge{} AND value < :edge{})"
    counts = ", ".join(count.format(number, number + 1) for number in range(len(edges) - 1))
    named = {f"edge{number}": edge for number, edge in enumerate(edges)}
    row = session.execute(text(f"SELECT {counts}"), {"name": score, **named}).one()
    return Histogram(
        score=score,
        bins=tuple(Bin(low=edges[number], high=edges[number + 1], clips=clips) for number, clips in enumerate(row)),
    )


def half_decades() -> Sequence[float]:
    """Edges from 1e-6 to 1; smaller values stand in the first bin, larger ones in the last."""
    return [-math.inf, *(10.0 ** (LEAST_DECADE + step / 2) for step in range(-2 * LEAST_DECADE)), math.inf]


def round_steps(low: float, high: float) -> Sequence[float]:
    """Edges at multiples of 1, 2 or 5 times a power of ten that hold `low` and `high`, for 8 to 25 bins."""
    largest = max(abs(low), abs(high))
    spread = max(high - low, 1e-9 * largest, 1e-9) if high > low else (largest if largest > 1e-9 else 1.0)
    power = 10.0 ** math.floor(math.log10(spread / (BINS - 1)))
    step = next(power * factor for factor in (1, 2, 5, 10) if spread / (power * factor) <= BINS - 1)
    first = math.floor(low / step)
    last = max(math.floor(high / step) + 1, first + FEWEST)
    # Divided where that is exact: 0.3, not 3 * 0.1.
    edges = [index * step if step >= 1 else index / round(1 / step) for index in range(first, last + 1)]
    return [min(edges[0], low), *edges[1:-1], max(edges[-1], math.nextafter(high, math.inf))]


def text_bars(drawn: Histogram, bounds: Sequence[float]) -> list[str]:
    """A histogram as lines of text, each bin that holds a bound marked."""
    used = drawn.shown(bounds)
    if not used:
        return [f"{drawn.score}: no scored clips"]
    most = max(one.clips for one in used)
    lines = [f"{drawn.score:>10}    clips"]
    for one in used:
        mark = " <- threshold" if any(one.low <= bound < one.high for bound in bounds) else ""
        low = max(one.low, 0.0) if drawn.logarithmic else one.low
        shown = f"{low:10.1e}" if drawn.logarithmic else f"{low:10.4g}"
        lines.append(f"{shown}  {one.clips:7,} {'#' * math.ceil(40 * one.clips / most)}{mark}")
    return lines
