"""`modeling plot`: a run's curves as PNGs."""

from __future__ import annotations

from pathlib import Path

import click

from modeling.commands.common import json_option, report
from modeling.errors import UsageError
from modeling.runs.plots import load, plot_runs


@click.command()
@click.option(
    "--run",
    "runs",
    type=click.Path(path_type=Path),
    required=True,
    multiple=True,
    metavar="DIR",
    help="A run folder; repeatable, to draw runs beside one another.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where to write.  [default: RUN/plots; needed for several runs]",
)
@json_option
def plot(runs: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Draw the curves of one or several runs as PNGs.

    Losses, Wasserstein estimates, gradient norms, learning rate, time and all else that was logged; works while a
    run is being trained.
    """
    if out is None and len(runs) > 1:
        raise UsageError("several runs have no folder of their own for plots: give --out DIR")
    loaded = [load(run) for run in runs]
    target = out or runs[0] / "plots"
    written = plot_runs(loaded, target)
    last = {str(folder): run.steps for folder, run in zip(runs, loaded, strict=True)}
    lines = [f"{folder}: {step} steps" for folder, step in last.items()]
    lines.append(f"written to {target}: {', '.join(path.name for path in written)}")
    content = {"runs": last, "plots": [str(path) for path in written]}
    report(as_json, content, lines, next_command=f"modeling outliers --run {runs[0]}")
