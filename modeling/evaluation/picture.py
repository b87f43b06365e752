"""The curves of a report as one PNG: each over the frames of a clip, a line a row."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modeling.evaluation.report import ROWS
from modeling.files import temporary_beside

TITLES = {
    "fid_per_frame": "FID of each frame",
    "proxy_fd_per_frame": "proxy-FD of the window from each frame on",
    "psnr_per_frame": "PSNR of each frame, dB",
    "ssim_per_frame": "SSIM of each frame",
    "lpips_per_frame": "LPIPS of each frame",
    "self_similarity": "similarity to the first frame",
}
COLOURS = {
    "model": "#0072b2",
    "samples": "#cc79a7",
    "copied_frame": "#d55e00",
    "blend_of_training": "#e69f00",
    "real": "#009e73",
}
INK = "#1f2933"
VERSION = 1  # of how it is drawn; a new one draws pictures of older reports anew
LINES = {**ROWS, "real": "real clips"}


def curves_of(report: Mapping[str, Any]) -> list[str]:
    """The curves that any row has values of."""
    return [
        name
        for name in TITLES
        if any(value is not None for row in report["curves"].values() for value in row.get(name) or [])
    ]


def draw(report: Mapping[str, Any], path: Path) -> bool:
    """Write the curves to `path`, unless they are there already; False where the report has none.

    The file's comment names what it shows: drawing takes longer than all else of an evaluation whose features are kept.
    """
    names = curves_of(report)
    if not names:
        return False
    shown = [VERSION, report["protocol"]["context_frames"], report["curves"], report.get("few_curves", [])]
    stamp = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()
    if not (path.exists() and stamp.encode() in path.read_bytes()):
        _draw(report, names, path, stamp)
    return True


def _draw(report: Mapping[str, Any], names: Sequence[str], path: Path, stamp: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(5.6 * columns, 3.4 * lines), dpi=130, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, columns, squeeze=False)
    for panel in panels.flat[len(names) :]:
        panel.set_visible(False)
    first = int(report["protocol"]["context_frames"])
    for panel, name in zip(panels.flat, names, strict=False):
        for row, title in LINES.items():
            values = report["curves"].get(row, {}).get(name)
            if values:
                steps, known = first + np.arange(len(values)), _numbers(values)
                panel.plot(steps, known, color=COLOURS[row], label=title, marker="o" if len(values) == 1 else None)
        few = " (few)" if name in report.get("few_curves", []) else ""
        panel.set_title(TITLES[name] + few, loc="left", fontsize=11, color=INK)
        panel.set_xlabel("frame (0 is the input)", color=INK)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))
        panel.grid(alpha=0.25, lw=0.6)
        for side in ("top", "right"):
            panel.spines[side].set_visible(False)
    handles = {
        label: line for panel in panels.flat for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False, labelcolor=INK)
    with temporary_beside(path, suffix=".png") as temporary:
        figure.savefig(temporary, metadata={"Comment": stamp})


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [float("nan") if value is None else value for value in values]
