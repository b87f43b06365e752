"""Fig. 4.3 for any runs: scores over the frames of a clip, with marks where the scene returns to its start."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from modeling.comparison.differences import differences_of
from modeling.comparison.evaluations import Evaluation
from modeling.comparison.table import MARK
from modeling.evaluation.picture import LINES, TITLES
from modeling.metrics.loops import dips

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f")
STYLES = ("-", "--", ":", "-.")
RETURNS = "self_similarity"  # peaks where the scene returns to its start; distances dip there
DISTANCES = ("fid_per_frame", "proxy_fd_per_frame")
RIPPLE = 0.05  # of a distance's mean: a flat curve dips by less all the time
LONGEST_NAME = 40
BASELINES = {"copied_frame": ("#555555", ":"), "blend_of_training": ("#555555", "--"), "real": ("#000000", "-")}


def of(one: Evaluation, name: str) -> list[float | None]:
    """A run's curve; empty where it has none."""
    rows = one.report["curves"]
    values = (rows.get("model") or rows.get("samples") or {}).get(name)
    return list(values) if values else []


def baselines(evaluations: Sequence[Evaluation], name: str) -> dict[str, tuple[Evaluation, list[float | None]]]:
    """Each baseline's curve, and the first evaluation that has it; those without any value left out."""
    found: dict[str, tuple[Evaluation, list[float | None]]] = {}
    for one in evaluations:
        for row in BASELINES:
            values = one.report["curves"].get(row, {}).get(name) or []
            if row not in found and any(value is not None for value in values):
                found[row] = one, list(values)
    return found


def first_frame(one: Evaluation, name: str) -> int:
    """The frame of a curve's first point: the first generated one, or of self-similarity the first scored one."""
    return int(one.protocol["first_frame" if name == RETURNS else "context_frames"])


def returns(one: Evaluation, name: str) -> list[int]:
    """The frames at which a curve says that the scene is back at its start: dips of distances, peaks of similarity."""
    values, least = of(one, name), 0.0
    if name == RETURNS:
        values = [None if value is None else -value for value in values]
    elif name not in DISTANCES:
        return []
    else:
        known = [value for value in values if value is not None]
        least = RIPPLE * sum(known) / len(known) if known else 0.0
    return [first_frame(one, name) + index for index in dips(values, least=least)]


def there(evaluations: Sequence[Evaluation]) -> list[str]:
    """The curves that any run has values of."""
    return [name for name in TITLES if any(value is not None for one in evaluations for value in of(one, name))]


def draw(evaluations: Sequence[Evaluation]) -> bytes | None:
    """The curves of one data set as a PNG, a panel a score, the baselines beneath; None where there are none."""
    names = there(evaluations)
    if not names:
        return None
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(6 * columns, 3.4 * lines + 0.6), dpi=110, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False)
    handles: dict[int, Line2D] = {}
    beneath: dict[str, Line2D] = {}
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    for panel, name in zip(panels.flat, names, strict=False):
        for row, (one, known) in baselines(evaluations, name).items():
            colour, style = BASELINES[row]
            start, values = first_frame(one, name), _numbers(known)
            line = panel.plot(start + np.arange(len(values)), values, style, color=colour, lw=1, alpha=0.7)[0]
            beneath.setdefault(row, line)
        for number, one in enumerate(evaluations):
            values = _numbers(of(one, name))
            if not len(values):
                continue
            colour, start = COLOURS[number % len(COLOURS)], first_frame(one, name)
            style = STYLES[number // len(COLOURS) % len(STYLES)]
            handles[number] = panel.plot(start + np.arange(len(values)), values, style, color=colour)[0]
            at = np.array(returns(one, name), int)
            panel.plot(at, values[at - start], "v" if name != RETURNS else "^", color=colour, ms=7, mec="white")
        others = [_label(one) for one in evaluations if name in differences_of(one, evaluations)]
        title = f"{TITLES[name]} ({MARK} {', '.join(others)})" if others else TITLES[name]
        panel.set_title(title, loc="left", fontsize=11)
        panel.set_xlabel("frame (0 is the input)")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
        panel.grid(alpha=0.25, lw=0.6)
        panel.spines[["top", "right"]].set_visible(False)
    labels = [*(_label(evaluations[number]) for number in handles), *(LINES[row] for row in beneath)]
    figure.legend([*handles.values(), *beneath.values()], labels, loc="outside lower center", ncols=3, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def _label(one: Evaluation) -> str:
    """A run's name as the figure has it: "$" would begin a formula."""
    return one.name[:LONGEST_NAME].replace("$", r"\$")


def _numbers(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])
