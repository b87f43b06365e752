"""`style` against `dvdgan-s` on clips of moving water: same width and same parameters, equal clips and equal time.

    python -m benchmarks.water --out DATA
    python benchmarks/compare_generators.py --data DATA --out DIR [--seeds 3] [--steps N] [--minutes M] [--jobs 2]

Each arm is trained through the real training loop on the same draws of the same clips, with the same discriminators,
batch and options (`benchmarks/experiment/arms.py`); DVD-GAN-S had a batch of 128 in the thesis, which no CPU affords:
here both have the same small one. Scores are of the test split, of scenes that no training clip shows. Equal clips: at
N steps. Equal time: after M minutes of one core, scoring left out. With both, a run goes on until it has both.

The same command goes on where it was stopped. `--report` only makes the report of what is there.
In DIR: `report.md`, `report.json`, `curves.png`, `strips-*.png`, and a folder a run.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.experiment import figures, summary  # noqa: E402
from benchmarks.experiment.arms import Arm, base_config, parameters, with_parameters  # noqa: E402
from benchmarks.experiment.command import Experiment, parser_of, run_experiment  # noqa: E402

STYLE, SAME_CH, SAME_PARAMETERS = "style", "dvdgan-s, same ch", "dvdgan-s, equal parameters"
THESIS = "0.51 (BAIR, FID 41.47 to 81.02) and 0.56 (landscapes, 108.96 to 194.30)"


def arms(options: list[str]) -> list[Arm]:
    base = base_config(options)
    baseline = "generator.kind=dvdgan-s"
    config = base_config([*options, baseline])
    equal = with_parameters(config, parameters(base))
    return [
        Arm(name=STYLE),
        Arm(name=SAME_CH, options=(baseline,)),
        Arm(name=SAME_PARAMETERS, options=(baseline, *equal)),
    ]


def report(experiment: Experiment) -> str:
    """The page; files beside it are written on the way."""
    found = experiment.evaluations()
    lines = ["# `style` against `dvdgan-s`", "", *experiment.protocol(), ""]
    lines += ["Parameters of the generators: " + ", ".join(f"{name} {count:,}" for name, count in sizes(found).items())]
    result: dict[str, Any] = {"protocol": experiment.settings(), "references": experiment.references()}
    views = {}
    if experiment.budget.steps is not None:
        steps = experiment.budget.steps
        views[f"Equal clips: after {steps} steps"] = ("clips", lambda records: summary.at_steps(records, steps))
    if experiment.budget.minutes is not None:
        minutes = experiment.budget.minutes
        views[f"Equal time: after {minutes:g} minutes of one core"] = (
            "time", lambda records: summary.at_time(records, minutes),
        )  # fmt: skip
    untrained = {f"{name}, untrained": [each[0] for each in seeds if each] for name, seeds in found.items()}
    for title, (key, pick) in views.items():
        rows = {name: [pick(each) for each in seeds] for name, seeds in found.items()}
        missing = {name: sum(each is None for each in records) for name, records in rows.items()}
        rows = {name: [each for each in records if each is not None] for name, records in rows.items()}
        lines += ["", f"## {title}", "", summary.table({**rows, **untrained}, experiment.references()), ""]
        for name, records in rows.items():
            if records:
                seconds, done = summary.effort(records)
                lines.append(f"- {name}: {seconds:.2f} s a step, {done:,.0f} steps")
        lines += [f"- {name}: {count} of the runs have not come that far." for name, count in missing.items() if count]
        for other in (SAME_CH, SAME_PARAMETERS):
            if missing.get(STYLE) == 0 and missing.get(other) == 0:
                told = summary.spread(summary.ratios(rows[STYLE], rows[other]), 2)
                lines.append(f"- proxy-FD of style over that of {other}: {told}; the thesis saw {THESIS}.")
        result[key] = {"rows": rows, "missing": missing}
        pictures = experiment.strips(pick)
        if pictures:
            figures.strips(experiment.out / f"strips-{key}.png", experiment.real_strip(), pictures)
    if any(any(seeds) for seeds in found.values()):
        drawn = {name: [each for each in seeds if each] for name, seeds in found.items()}
        figures.curves(experiment.out / "curves.png", drawn, experiment.references())
    result["curves"] = found
    experiment.write("report", "\n".join(lines) + "\n", result)
    return "\n".join(lines)


def sizes(found: dict[str, list[list[dict[str, Any]]]]) -> dict[str, int]:
    return {name: seeds[0][0]["parameters"] for name, seeds in found.items() if seeds and seeds[0]}


def main() -> int:
    return run_experiment(parser_of(__doc__).parse_args(), Path(__file__), arms, report)


if __name__ == "__main__":
    sys.exit(main())
