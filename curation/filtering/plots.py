"""Histograms of scores as PNG, with the rules' thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from curation.filtering.histograms import LEAST_DECADE, Histogram
from db.files import replacing

PAPER, INK, FAINT = "#ffffff", "#1f2933", "#7b8794"
BARS, BOUND = "#0072b2", "#d55e00"  # of Okabe and Ito's palette, told apart by all eyes
ACROSS = 2


def draw(path: Path, panels: Sequence[tuple[Histogram, Sequence[float]]]) -> None:
    """Write `path`, a PNG with a panel for each histogram and its thresholds; whole or not at all."""
    across = min(ACROSS, len(panels))
    down = -(-len(panels) // across)
    figure = Figure(figsize=(6.0 * across, 3.2 * down), dpi=110, facecolor=PAPER, layout="constrained")
    FigureCanvasAgg(figure)
    grid = np.atleast_1d(np.asarray(figure.subplots(down, across))).ravel()
    for axes, (drawn, bounds) in zip(grid, panels, strict=False):
        _panel(axes, drawn, bounds)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        figure.savefig(partial, format="png", facecolor=PAPER)


def _panel(axes: Axes, drawn: Histogram, bounds: Sequence[float]) -> None:
    used = drawn.shown(bounds)
    if drawn.logarithmic:
        # The outermost bins are open; on paper they are as wide as the others.
        half = 10**0.5
        edges = [max(one.low, 10.0**LEAST_DECADE / half) for one in used] + [min(used[-1].high, 1.0)]
        axes.set_xscale("log")
    else:
        edges = [one.low for one in used] + [used[-1].high]
    axes.stairs([one.clips for one in used], edges, fill=True, color=BARS, alpha=0.9, edgecolor=PAPER, linewidth=0.6)
    for bound in bounds:
        axes.axvline(bound, color=BOUND, linewidth=1.8, linestyle=(0, (5, 2)))
        axes.annotate(
            f"{bound:g}", (bound, 1.0), xycoords=("data", "axes fraction"), xytext=(3, 3), textcoords="offset points",
            color=BOUND, fontsize=9, ha="center", va="bottom",
        )  # fmt: skip
    axes.set_title(f"{drawn.score}, {drawn.clips:,} clips", loc="left", fontsize=11, color=INK, pad=18)
    axes.set_ylabel("clips", color=FAINT, fontsize=9)
    axes.tick_params(colors=FAINT, labelsize=8.5)
    axes.grid(axis="y", alpha=0.3, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
