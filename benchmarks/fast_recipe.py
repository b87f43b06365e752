"""The search behind `fast-128`: what each choice brings on the same budget, one at a time from one base.

    python -m benchmarks.water --out DATA
    python benchmarks/fast_recipe.py --data DATA --out DIR [--minutes 3] [--seeds 2] [--jobs 2] [--only ARM]...

The base is the one of `compare_generators.py` with `style`. Each arm differs in one choice: loss, how often the penalty
is taken, DiffAugment, moving average, noise, recurrent cell, discriminator passes, D_T's pool, rate. All have the same
minutes of one core, so a choice that makes steps slower pays for it. The same command goes on where it was stopped.
In DIR: `report.md`, `report.json`, `curves.png`, and a folder a run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.experiment import figures, summary  # noqa: E402
from benchmarks.experiment.arms import Arm, base_config  # noqa: E402
from benchmarks.experiment.command import Experiment, parser_of, run_experiment  # noqa: E402

MINUTES = 3.0
BASE = "base"
CHOICES = {
    "loss wgan-gp": ("training.loss=wgan-gp",),
    "loss hinge, R1": ("training.loss=hinge",),
    "penalty at every pass": ("training.penalty_every=1",),
    "penalty at every 16th pass": ("training.penalty_every=16",),
    "DiffAugment": ("training.augment=[color, translation, cutout]",),
    "no moving average": ("training.ema_decay=null",),
    "no noise": ("generator.noise=false",),
    "no bias to keep the state": ("generator.keep_bias=0",),
    "cell tsru-c": ("generator.cell=tsru-c",),
    "cell convlstm": ("generator.cell=convlstm",),
    "two D passes": ("training.d_passes=2",),
    "D_T on pooled frames": ("d_t.pool=2",),
    "lr 3e-4": ("training.lr=3e-4",),
}


def arms(options: list[str]) -> list[Arm]:
    """The base, and each choice alone. ConfigError where a choice does not fit `options`."""
    found = [Arm(name=BASE), *(Arm(name=name, options=choice) for name, choice in CHOICES.items())]
    for arm in found:
        arm.config(base_config(options), seed=0)
    return found


def report(experiment: Experiment) -> str:
    """The page; curves are drawn on the way."""
    minutes, steps = experiment.budget.minutes, experiment.budget.steps
    found = experiment.evaluations()

    def pick(records: list[dict[str, Any]]) -> dict[str, Any] | None:
        return summary.at_time(records, minutes) if minutes is not None else summary.at_steps(records, steps or 0)

    rows = {name: [each for each in map(pick, seeds) if each is not None] for name, seeds in found.items()}
    rows = {name: records for name, records in rows.items() if records}
    budget = f"{minutes:g} minutes of one core" if minutes is not None else f"{steps} steps"
    lines = ["# What each choice brings", "", *experiment.protocol(), "", f"## After {budget}", ""]
    lines += [summary.table(rows, experiment.references()), ""]
    lines += ["| | s a step | steps | proxy-FD to the base's | motion r to the base's |", "|---|---|---|---|---|"]
    for name, records in rows.items():
        seconds, done = summary.effort(records)
        lines.append(f"| {name} | {seconds:.2f} | {done:,.0f} | {' | '.join(_beside(records, rows.get(BASE, [])))} |")
    drawn = {name: [each for each in seeds if each] for name, seeds in found.items()}
    drawn = {name: seeds for name, seeds in drawn.items() if seeds}
    if drawn:
        figures.curves(experiment.out / "curves.png", drawn, experiment.references())
    result = {"protocol": experiment.settings(), "references": experiment.references(), "rows": rows, "curves": found}
    experiment.write("report", "\n".join(lines) + "\n", result)
    return "\n".join(lines)


def _beside(records: list[dict[str, Any]], base: list[dict[str, Any]]) -> tuple[str, str]:
    """Ratio of proxy-FD (below 1: better) and difference of motion r (above 0: better), both of means."""
    if not base:
        return "-", "-"
    values = [
        [each["scores"][score] or 0.0 for each in side]
        for score in ("proxy_fd", "motion_r")
        for side in (records, base)
    ]
    ours, theirs, r, base_r = (sum(each) / len(each) for each in values)
    return f"{ours / theirs:.2f}", f"{r - base_r:+.2f}"


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    if arguments.steps is None and arguments.minutes is None:
        arguments.minutes = MINUTES
    return run_experiment(arguments, Path(__file__), arms, report)


if __name__ == "__main__":
    sys.exit(main())
