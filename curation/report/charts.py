"""The report's drawings as coordinates; the template makes SVG of them. All lengths are in the drawing's own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from curation.filtering.histograms import Histogram
from curation.filtering.rules import SavedRule, bounds
from curation.report.pace import Session
from curation.report.text import clean, moment

WIDTH, HEIGHT = 300.0, 100.0  # of the drawn area; texts stand outside
LEAST_BAR = 1.5  # so that a single clip among thousands is seen
TICKS = 5
NEAR = 52.0  # labels nearer than this would touch


@dataclass(frozen=True, kw_only=True)
class Bar:
    x: float
    width: float
    height: float
    title: str
    beyond: bool = False  # a rule filters these


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A labelled place on the x axis; `row` keeps the labels of near marks apart."""

    x: float
    label: str
    row: int = 0


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Bars over an axis, with its ticks and thresholds. `top`: what the drawing's height stands for."""

    name: str
    caption: str
    bars: tuple[Bar, ...]
    ticks: tuple[Mark, ...]
    bounds: tuple[Mark, ...]
    top: str


def histogram_chart(drawn: Histogram, rules: Sequence[SavedRule]) -> Chart:
    """A score's histogram with the thresholds of the active rules."""
    lower, upper = bounds(rules, drawn.score)
    used = drawn.shown([*lower, *upper])
    edges = [one.low for one in used] + [used[-1].high]
    if drawn.logarithmic:  # bins of equal width; the outermost are open
        edges[0], edges[-1] = max(edges[0], edges[1] / 10**0.5), min(edges[-1], edges[-2] * 10**0.5)
    place = [math.log10(edge) for edge in edges] if drawn.logarithmic else edges
    spread = place[-1] - place[0]

    def x(value: float) -> float:
        at = math.log10(max(value, 1e-300)) if drawn.logarithmic else value
        return min(max(WIDTH * (at - place[0]) / spread, 0.0), WIDTH)

    least, most = max(lower, default=-math.inf), min(upper, default=math.inf)
    top = max(one.clips for one in used)
    bars = []
    for one, low, high in zip(used, edges, edges[1:], strict=False):
        if one.clips:
            bars.append(
                Bar(
                    x=x(low),
                    width=x(high) - x(low),
                    height=max(HEIGHT * one.clips / top, LEAST_BAR),
                    title=f"{_short(low)} to {_short(high)}: {one.clips:,} clips",
                    beyond=one.high <= least or one.low > most,
                )
            )
    marks = [Mark(x=x(bound), label=f"≥ {bound:g}") for bound in lower]
    marks += [Mark(x=x(bound), label=f"≤ {bound:g}") for bound in upper]
    step = max(1, math.ceil(len(edges) / TICKS))
    return Chart(
        name=drawn.score,
        caption=f"{drawn.clips:,} clips",
        bars=tuple(bars),
        ticks=tuple(Mark(x=x(edge), label=_short(edge)) for edge in edges[::step]),
        bounds=tuple(_apart(marks)),
        top=f"{top:,}",
    )


def _apart(marks: Sequence[Mark]) -> list[Mark]:
    """The same marks, the label of one too near to the one before a row higher."""
    placed: list[Mark] = []
    for mark in sorted(marks, key=lambda mark: mark.x):
        taken = {other.row for other in placed if mark.x - other.x < NEAR}
        row = next(row for row in range(len(placed) + 1) if row not in taken)
        placed.append(Mark(x=mark.x, label=mark.label, row=row))
    return placed


def pace_chart(found: Sequence[Session]) -> Chart | None:
    """A bar a session, in order of time: clips a minute."""
    if not found:
        return None
    top = max(one.pace for one in found) or 1.0
    slot = WIDTH / max(len(found), 12)
    bars = tuple(
        Bar(
            x=slot * number + 0.1 * slot,
            width=0.8 * slot,
            height=max(HEIGHT * one.pace / top, LEAST_BAR),
            title=f"{clean(one.annotator, 60)}, {moment(one.began)} UTC: {one.clips:,} clips, {one.pace:.0f} a minute",
        )
        for number, one in enumerate(found)
    )
    step = max(1, math.ceil(len(found) / 4))
    ticks = tuple(
        Mark(x=slot * (number + 0.5), label=f"{one.began:%m-%d}")
        for number, one in enumerate(found)
        if number % step == 0
    )
    return Chart(name="pace", caption="clips a minute", bars=bars, ticks=ticks, bounds=(), top=f"{top:.0f}")


def _short(value: float) -> str:
    return f"{value:.3g}"
