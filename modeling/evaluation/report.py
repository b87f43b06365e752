"""The report as a page: the numbers with their intervals, each with its protocol, then all facts of the protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modeling.evaluation.names import NUMBERS, Number

ROWS = {
    "model": "model",
    "samples": "samples",
    "copied_frame": "input frame copied",
    "blend_of_training": "blend of training clips",
    "real_against_real": "real against real",
}
MOTION_ROWS = {"trained": "model", "untrained": "before training", "copied_frame": "input frame copied"}


def shown(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"


def rows_of(report: Mapping[str, Any]) -> dict[str, str]:
    """The rows that a report has, and their titles."""
    return {row: title for row, title in ROWS.items() if row in report["metrics"]}


def metrics_of(report: Mapping[str, Any]) -> list[str]:
    """The numbers that any of its rows has."""
    return [name for name in NUMBERS if any(name in entries for entries in report["metrics"].values())]


def titled(number: Number) -> str:
    """A number's name with its unit and which way is better."""
    ways = {"higher": "higher is better", "lower": "lower is better", "real": "better near the real clips'", "": ""}
    extra = ", ".join(part for part in (number.unit, ways[number.better]) if part)
    return f"{number.title} ({extra})" if extra else number.title


def cell(entry: Mapping[str, Any] | None, digits: int, unit: str = "") -> str:
    """A value with its interval, and a mark where it rests on few samples."""
    if entry is None:
        return ""
    text = shown(entry["value"], digits) + (f" {unit}" if unit and entry["value"] is not None else "")
    if entry["low"] is not None and entry["high"] is not None:
        text += f" [{entry['low']:.{digits}f}, {entry['high']:.{digits}f}]"
    return text + (" (few)" if entry["few"] else "")


def as_lines(report: Mapping[str, Any]) -> list[str]:
    """For a terminal: a number a block, its rows, and the protocol under which it holds."""
    lines = []
    for name in metrics_of(report):
        number = NUMBERS[name]
        lines.append(f"{titled(number)}:")
        for row, title in rows_of(report).items():
            entry = report["metrics"][row].get(name)
            if entry is not None:
                note = f"  ({entry['note']})" if entry["note"] else ""
                lines.append(f"  {title:24} {number.title} {cell(entry, number.digits, number.unit)}{note}")
        lines.append(f"  protocol: {report['protocols'][name]}")
    return lines


def motion_lines(report: Mapping[str, Any]) -> list[str]:
    """Where the samples move, where that was asked for."""
    if "motion" not in report:
        return []
    lines = ["motion, correlation with the real clips':"]
    for key, title in MOTION_ROWS.items():
        if key in report["motion"]:
            moving = report["motion"][key]
            lines.append(f"  {title:24} r {shown(moving['r'], 3)}, mean of clips {shown(moving['r_mean_of_clips'], 3)}")
    return lines


def as_markdown(report: Mapping[str, Any], name: str, picture: str | None = None) -> str:
    """The report as a page: `name` is what was evaluated, `picture` the file of its curves beside the page."""
    protocol, rows = report["protocol"], rows_of(report)
    step = f", step {protocol['step']}" if protocol["step"] is not None else ""
    lines = [
        f"# Evaluation of {name}{step}",
        "",
        "In brackets: 95% of bootstrap draws over videos. (few): no more feature vectors than features, so that only",
        "sets of equal size compare.",
        "",
        "| | " + " | ".join(rows.values()) + " |",
        "|---" * (len(rows) + 1) + "|",
    ]
    for metric in metrics_of(report):
        number = NUMBERS[metric]
        cells = [cell(report["metrics"][row].get(metric), number.digits) for row in rows]
        lines.append(f"| {titled(number)} | " + " | ".join(cells) + " |")
    summaries = [(row, report[row]) for row in rows if row in report]
    if summaries:
        equal = "; ".join(f"{rows[row]}: {summary['identical_frames']}" for row, summary in summaries)
        lines += ["", f"Frames equal to the truth, which have no finite PSNR and are left out of it: {equal}."]
    notes = [
        f"- {NUMBERS[metric].title}, {rows[row]}: {entry['note']} (n = {entry['n'][0]} real, {entry['n'][1]} made)"
        for metric in metrics_of(report)
        for row in rows
        if (entry := report["metrics"][row].get(metric)) is not None and entry["note"]
    ]
    if notes:
        lines += ["", "Notes:", "", *notes]
    if picture is not None:
        lines += ["", f"![Curves over the frames of a clip]({picture})"]
        if report.get("few_curves"):
            lines += [
                "",
                "Curves that are marked (few) rest on one feature vector a clip and frame, fewer than features.",
            ]
    if "motion" in report:
        lines += [
            "",
            "Where the samples move: Pearson correlation of the per-pixel temporal standard deviation with that of the",
            "real clips, noise off.",
            "",
            "| | all pixels | mean of the clips' own |",
            "|---|---|---|",
        ]
        for key, title in MOTION_ROWS.items():
            if key in report["motion"]:
                scores = report["motion"][key]
                lines.append(f"| {title} | {shown(scores['r'], 3)} | {shown(scores['r_mean_of_clips'], 3)} |")
    lines += ["", "## Protocol of each number", ""]
    lines += [f"- {NUMBERS[metric].title}: {report['protocols'][metric]}" for metric in metrics_of(report)]
    lines += ["", "## Protocol", "", *(f"- {key}: {value}" for key, value in protocol.items()), ""]
    return "\n".join(lines)
