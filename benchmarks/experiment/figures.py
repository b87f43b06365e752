"""Curves of the scores over clips and over time, and strips of frames to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from benchmarks.experiment.scores import STRIP_FRAMES

Records = Sequence[Sequence[dict[str, Any]]]  # evaluations of each seed
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7b8794")  # of Okabe and Ito's palette
INK = "#1f2933"
PANELS = {"proxy_fd": "proxy-FD", "motion_r": "motion r", "motion_ratio": "motion amount / real", "ssim": "SSIM"}
GAP = 2  # pixels


def curves(path: Path, arms: Mapping[str, Records], references: Mapping[str, Mapping[str, Any]]) -> None:
    """A row a score; clips that D was shown to the left, minutes of one core to the right. A thin line a seed."""
    figure = _figure(11, 2.6 * len(PANELS))
    panels = np.asarray(figure.subplots(len(PANELS), 2, sharey="row", sharex="col"))
    for row, (score, title) in enumerate(PANELS.items()):
        for column, (key, unit) in enumerate((("clips", 1.0), ("seconds", 60.0))):
            _panel(panels[row, column], arms, score, key, unit)
            for name, style in (("copied frame", (0, (4, 3))), ("real clips of other scenes", (0, (1, 2)))):
                value = references[name].get(score)
                if value is not None:
                    panels[row, column].axhline(value, color=INK, lw=1, ls=style, label=name)
            if score == "proxy_fd":
                panels[row, column].set_yscale("log")
        panels[row, 0].set_ylabel(title, color=INK)
    panels[-1, 0].set_xlabel("clips shown to D", color=INK)
    panels[-1, 1].set_xlabel("minutes of one core", color=INK)
    panels[0, 1].legend(frameon=False, fontsize=8)
    _save(figure, path)


def _panel(axes: Axes, arms: Mapping[str, Records], score: str, key: str, unit: float) -> None:
    for (name, seeds), colour in zip(arms.items(), _cycle(len(arms)), strict=True):
        for records in seeds:
            points = [
                (each[key] / unit, each["scores"][score]) for each in records if each["scores"][score] is not None
            ]
            axes.plot(*zip(*points, strict=True), color=colour, lw=0.7, alpha=0.5) if points else None
        common = set.intersection(*({each["step"] for each in records} for records in seeds)) if seeds else set()
        mean = []
        for step in sorted(common):
            at = [next(each for each in records if each["step"] == step) for records in seeds]
            values = [each["scores"][score] for each in at if each["scores"][score] is not None]
            if values:
                mean.append((np.mean([each[key] for each in at]) / unit, np.mean(values)))
        if mean:
            axes.plot(*zip(*mean, strict=True), color=colour, lw=2, label=name)
    axes.grid(alpha=0.25, lw=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _cycle(count: int) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(count)]


def strips(path: Path, real: NDArray[np.uint8], arms: Mapping[str, NDArray[np.uint8]]) -> None:
    """A row a clip: the input, then three frames of the real clip and of each arm. Arrays (clips, 4, R, R, 3)."""
    clips, side = real.shape[0], real.shape[2]
    factor = max(3, 96 // side)  # so wide that the titles have room
    sets = {"real": real, **arms}
    pitch, shown = side + GAP, len(STRIP_FRAMES)
    page = np.full((clips * pitch - GAP, pitch * (1 + shown * len(sets)) + 3 * GAP * len(sets), 3), 255, np.uint8)
    lefts = []
    for clip in range(clips):
        top = clip * pitch
        page[top : top + side, :side] = real[clip, 0]
        for number, frames in enumerate(sets.values()):
            left = pitch + number * (shown * pitch + 3 * GAP) + 3 * GAP
            lefts.append(left)
            for index in range(shown):
                x = left + index * pitch
                page[top : top + side, x : x + side] = frames[clip, index + 1]
    figure = _figure(page.shape[1] * factor / 100, (page.shape[0] * factor + 60) / 100, dpi=100)
    axes = figure.subplots()
    axes.imshow(page, interpolation="nearest")
    axes.set_axis_off()
    axes.text(side / 2, -1, "input", ha="center", fontsize=8, color=INK)
    for left, name in zip(lefts, sets, strict=False):
        told = f"{name}\nframes {', '.join(map(str, STRIP_FRAMES))}"
        axes.text(left + shown * pitch / 2, -1, told, ha="center", fontsize=8, color=INK)
    _save(figure, path)


def _figure(width: float, height: float, dpi: int = 110) -> Figure:
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
