"""From evaluations to a table: mean and range over seeds, at equal clips and at equal time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.experiment.trial import CLOSE_ENOUGH

Record = dict[str, Any]
COLUMNS = {  # score: (heading, digits)
    "proxy_fd": ("proxy-FD", 1),
    "motion_r": ("motion r", 2),
    "motion_r_of_clips": ("motion r, mean of clips", 2),
    "motion_ratio": ("motion amount / real", 2),
    "quiet_motion_r": ("r, nothing drawn", 2),
    "quiet_motion_ratio": ("amount, nothing drawn", 2),
    "psnr": ("PSNR, dB", 2),
    "ssim": ("SSIM", 3),
}


def at_steps(records: Sequence[Record], steps: int) -> Record | None:
    """The evaluation after so many steps."""
    return next((record for record in records if record["step"] == steps), None)


def at_time(records: Sequence[Record], minutes: float) -> Record | None:
    """The first evaluation after so many minutes of one core; None where the run has not come that far."""
    aim = CLOSE_ENOUGH * 60 * minutes
    return next((record for record in records if record["seconds"] >= aim), None)


def spread(values: Sequence[float | None], digits: int) -> str:
    """`mean (least-most)` of the values that are defined; the mean alone where there is one."""
    defined = [value for value in values if value is not None]
    if not defined:
        return "-"
    mean = f"{np.mean(defined):.{digits}f}"
    if len(defined) == 1:
        return mean
    return f"{mean} ({min(defined):.{digits}f} to {max(defined):.{digits}f})"


def table(rows: Mapping[str, Sequence[Record]], references: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row for each arm (its evaluations, one a seed) and for each reference."""
    heads = [heading for heading, _ in COLUMNS.values()]
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for name, records in rows.items():
        cells = [
            spread([each["scores"].get(score) for each in records], digits) for score, (_, digits) in COLUMNS.items()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, scores in references.items():
        title = f"{name}, {scores['n']} clips" if "n" in scores else name
        cells = [spread([scores.get(score)], digits) for score, (_, digits) in COLUMNS.items()]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def ratios(one: Sequence[Record], other: Sequence[Record]) -> list[float]:
    """proxy-FD of `one` over that of `other`, seed by seed."""
    pairs = zip(one, other, strict=False)
    return [x["scores"]["proxy_fd"] / y["scores"]["proxy_fd"] for x, y in pairs]


def effort(records: Sequence[Record]) -> tuple[float, float]:
    """(seconds a step, steps), means over evaluations of one step or more."""
    seconds = float(np.mean([record["seconds"] / record["step"] for record in records]))
    return seconds, float(np.mean([record["step"] for record in records]))
