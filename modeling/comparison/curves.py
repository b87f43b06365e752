"""Fig. 4.3 for any runs: scores over the frames of a clip, with marks where the scene returns to its start."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from modeling.comparison.evaluations import Evaluation
from modeling.evaluation.picture import TITLES
from modeling.metrics.loops import dips

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
STYLES = ("-", "--", ":", "-.")
RETURNS = "self_similarity"  # peaks where the scene returns to its start; distances dip there
DISTANCES = ("fid_per_frame", "proxy_fd_per_frame")
LONGEST_NAME = 40


def of(one: Evaluation, name: str) -> list[float | None]:
    """A run's curve; empty where it has none."""
    rows = one.report["curves"]
    values = (rows.get("model") or rows.get("samples") or {}).get(name)
    return list(values) if values else []


def first_frame(one: Evaluation, name: str) -> int:
    """The frame of a curve's first point: the first generated one, or of self-similarity the first scored one."""
    return int(one.protocol["first_frame" if name == RETURNS else "context_frames"])


def returns(one: Evaluation, name: str) -> list[int]:
    """The frames at which a curve says that the scene is back at its start: dips of distances, peaks of similarity."""
    values = of(one, name)
    if name == RETURNS:
        values = [None if value is None else -value for value in values]
    elif name not in DISTANCES:
        return []
    return [first_frame(one, name) + index for index in dips(values)]


def there(evaluations: Sequence[Evaluation]) -> list[str]:
    """The curves that any run has values of."""
    return [name for name in TITLES if any(value is not None for one in evaluations for value in of(one, name))]


def draw(evaluations: Sequence[Evaluation]) -> bytes | None:
    """The curves as a PNG, a panel a score; None where there are none."""
    names = there(evaluations)
    if not names:
        return None
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(6 * columns, 3.4 * lines + 0.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False)
    handles = {}
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    for panel, name in zip(panels.flat, names, strict=False):
        for number, one in enumerate(evaluations):
            values = np.array([np.nan if value is None else value for value in of(one, name)])
            if not len(values):
                continue
            colour, start = COLOURS[number % len(COLOURS)], first_frame(one, name)
            style = STYLES[number // len(COLOURS) % len(STYLES)]
            handles[number] = panel.plot(start + np.arange(len(values)), values, style, color=colour)[0]
            at = np.array(returns(one, name), int)
            panel.plot(at, values[at - start], "v" if name != RETURNS else "^", color=colour, ms=7, mec="white")
        panel.set_title(TITLES[name], loc="left", fontsize=11)
        panel.set_xlabel("frame (0 is the input)")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
        panel.grid(alpha=0.25, lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    # "$" would begin a formula.
    labels = [evaluations[number].name[:LONGEST_NAME].replace("$", r"\$") for number in handles]
    figure.legend(list(handles.values()), labels, loc="outside lower center", ncols=3, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()
