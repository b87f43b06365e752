"""Curves of runs as PNGs, drawn from metrics.jsonl: a picture for each family of metrics, runs beside one another.

What was logged stands faint, its running mean on top, as in Fig. 3.2. One network has one colour in every picture, one
run one line style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from modeling.config import Config
from modeling.errors import UsageError
from modeling.files import temporary_beside
from modeling.runs.curves import OTHERS, Curve, Family, by_family, curves, label, read_run, smoothed
from modeling.runs.folder import RunError, RunFolder

# Of Okabe and Ito's palette, told apart by all eyes.
COLOURS = {"D_S": "#0072b2", "D_T": "#d55e00", "D_V": "#cc79a7", "G": "#009e73"}
FURTHER = ("#56b4e9", "#e69f00", "#4b4b4b", "#f0e442", "#000000")
LINES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))  # of the first, second, ... run
MOST_RUNS = len(LINES)
INK, FAINT = "#1f2933", "#7b8794"
SMOOTHED = 1 / 50  #  share of a run's points that its running mean covers
FEWEST = 5  #         points that a running mean covers at least
MOST_POINTS = 4000  # drawn of the raw curve; a picture has fewer columns than that
NARROW = 10.0  #      a picture whose values span less than this factor needs no logarithm


@dataclass(frozen=True)
class PlottedRun:
    """A run to draw: its name in the legends, its curves, and its configuration where it has a readable one."""

    name: str
    curves: dict[str, Curve]
    config: Config | None
    steps: int  # the last one


def load(run: Path) -> PlottedRun:
    """The curves of a run folder; UsageError where it has no metrics.jsonl, or no step in it."""
    records = read_run(run)
    try:
        config: Config | None = RunFolder(run).read_config()
    except RunError:  # a log that was copied without its run is drawn without its thresholds
        config = None
    return PlottedRun(run.resolve().name, curves(records), config, int(records[-1]["step"]))


def plot_runs(runs: Sequence[PlottedRun], out: Path) -> list[Path]:
    """Write a PNG for each family of metrics that any of the runs has to `out`; returns their paths.

    UsageError for more runs than there are line styles.
    """
    if len(runs) > MOST_RUNS:
        raise UsageError(f"{len(runs)} runs cannot be told apart in one picture: give {MOST_RUNS} at most")
    written = []
    for family, names in by_family(dict.fromkeys(name for run in runs for name in run.curves)).items():
        if family is OTHERS:  # they share no unit: a picture each
            written += [_write(out, Family(name, name, (name,)), [name], runs) for name in names]
        else:
            written.append(_write(out, family, names, runs))
    return written


def _write(out: Path, family: Family, names: Sequence[str], runs: Sequence[PlottedRun]) -> Path:
    figure = Figure(figsize=(8.4, 4.6), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    drawn = [name for name in names if any(len(run.curves[name].values) for run in runs if name in run.curves)]
    colours = _colours(drawn)
    spread = _spread([run.curves[name] for run in runs for name in drawn if name in run.curves])
    logarithmic = family.log and spread is not None and spread > NARROW
    for run, style in zip(runs, LINES, strict=False):
        for name in drawn:
            if name in run.curves:
                _curve(axes, run.curves[name], colours[name], style, logarithmic=logarithmic)
    handles = [Line2D([], [], color=colours[name], lw=2, label=label(name)) for name in drawn if len(drawn) > 1]
    handles += _threshold(axes, family, runs)
    if len(runs) > 1:
        handles += [
            Line2D([], [], color=FAINT, lw=1.6, ls=style, label=run.name)
            for run, style in zip(runs, LINES, strict=False)
        ]
    _dress(axes, family, runs, logarithmic=logarithmic)
    if handles:
        figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=9.5, labelcolor=INK)
    path = out / f"{family.key}.png"
    with temporary_beside(path, suffix=".png") as temporary:
        figure.savefig(temporary)
    return path


def _curve(axes: Axes, curve: Curve, colour: str, style: object, *, logarithmic: bool) -> None:
    if len(curve.values) == 1:
        axes.plot(curve.steps, curve.values, color=colour, marker="o", ms=5)
        return
    if np.ptp(curve.values) == 0 or _is_smooth(curve):  # such as a learning rate
        axes.plot(curve.steps, curve.values, color=colour, lw=1.8, ls=style)
        return
    every = max(1, len(curve.values) // MOST_POINTS)
    axes.plot(curve.steps[::every], curve.values[::every], color=colour, lw=0.8, alpha=0.28)
    shown = Curve(curve.steps, np.log(curve.values)) if logarithmic and (curve.values > 0).all() else curve
    mean = smoothed(shown, max(FEWEST, round(SMOOTHED * len(curve.values))))
    values = np.exp(mean.values) if shown is not curve else mean.values
    axes.plot(mean.steps, values, color=colour, lw=1.8, ls=style)


def _is_smooth(curve: Curve) -> bool:
    """Whether neighbouring points say the same: there is no noise to see through."""
    changes = np.abs(np.diff(curve.values))
    return float(np.median(changes)) < 1e-3 * float(np.ptp(curve.values))


def _spread(shown: Sequence[Curve]) -> float | None:
    """The factor between the largest and smallest usual values; None where some are not above 0."""
    values = np.concatenate([curve.values for curve in shown])
    if (values <= 0).any():
        return None
    low, high = np.percentile(values, (1, 99))
    return float(high / low)


def _threshold(axes: Axes, family: Family, runs: Sequence[PlottedRun]) -> list[Line2D]:
    """The norm at which gradients are clipped, where the runs clip by norm: one line a value."""
    if family.key != "gradient-norms":
        return []
    clips = [run.config.training.clip for run in runs if run.config is not None]
    thresholds = sorted({clip.threshold for clip in clips if clip.mode == "norm"})
    for threshold in thresholds:
        axes.axhline(threshold, color=INK, lw=1, ls=(0, (4, 3)))
    return [Line2D([], [], color=INK, lw=1, ls=(0, (4, 3)), label=f"clipped at {value:g}") for value in thresholds]


def _dress(axes: Axes, family: Family, runs: Sequence[PlottedRun], *, logarithmic: bool) -> None:
    title = family.title if len(runs) > 1 else f"{family.title}, {runs[0].name}"
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_xlabel("step (generator updates)", color=INK)
    if logarithmic:
        axes.set_yscale("log")
    else:
        low, high = axes.get_ylim()
        if low < 0 < high:
            axes.axhline(0, color=FAINT, lw=0.8, zorder=0)
        _leave_out_extremes(axes)
        if low >= 0 and family.from_zero:
            axes.set_ylim(0, 1.05 * axes.get_ylim()[1])
    if all(len(curve.values) == 1 for run in runs for curve in run.curves.values()):
        step = max(run.steps for run in runs)
        axes.set_xlim(step - 1, step + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
    axes.grid(alpha=0.25, lw=0.6)
    axes.tick_params(colors=FAINT, which="both")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _leave_out_extremes(axes: Axes) -> None:
    """Give the axis to what 99 of 100 points do: one extreme pass must not flatten all the rest."""
    points = [np.asarray(line.get_ydata(), float) for line in axes.get_lines() if len(np.asarray(line.get_xdata())) > 2]
    if not points:
        return
    values = np.concatenate(points)
    low, high = np.percentile(values, (0.5, 99.5))
    margin = 0.25 * (high - low) or 0.05 * abs(high) or 1.0
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - margin), min(top, high + margin))


def _colours(names: Sequence[str]) -> Mapping[str, str]:
    free = iter([*FURTHER, *COLOURS.values()] * len(names))
    return {name: COLOURS.get(label(name)) or next(free) for name in names}
