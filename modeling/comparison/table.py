"""The thesis's Table 4.1 for any runs: models and baselines down, metrics across, the protocol beneath."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modeling.comparison.evaluations import Evaluation
from modeling.evaluation.names import NUMBERS
from modeling.evaluation.protocol import line, shortened
from modeling.evaluation.report import ROWS, cell, titled

MARK = "‡"  # on each number of another protocol than the first run's
OWN = ("model", "samples")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one model, or one baseline, scored. `marked`: under another protocol than the first row's."""

    title: str
    run: str
    kind: str  # model, samples, or a baseline
    entries: Mapping[str, Mapping[str, Any]]
    marked: bool

    def text(self, metric: str) -> str:
        """A number with its interval, and its marks; empty where there is none."""
        shown = cell(self.entries.get(metric), NUMBERS[metric].digits)
        return f"{shown} {MARK}" if shown and self.marked else shown


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows and the metrics that any of them has; `protocols`: a line for each protocol, with whose it is."""

    rows: Sequence[Row]
    metrics: Sequence[str]
    protocols: Sequence[str]

    @property
    def titles(self) -> list[str]:
        return [titled(NUMBERS[metric]) for metric in self.metrics]


def build(evaluations: Sequence[Evaluation]) -> Table:
    """Each run's own rows, then the baselines of each protocol, taken from the first run that has it."""
    first = evaluations[0].protocol_hash
    rows = []
    for one in evaluations:
        for kind in OWN:
            if kind in one.report["metrics"]:
                title = one.name if kind == "model" else f"{one.name}: {ROWS[kind]}"
                rows.append(_row(one, kind, title, first))
    seen: dict[str, list[Evaluation]] = {}
    for one in evaluations:
        seen.setdefault(one.protocol_hash, []).append(one)
    for group in seen.values():
        for kind, title in ROWS.items():
            holder = next((one for one in group if kind in one.report["metrics"]), None)
            if kind not in OWN and holder is not None:
                rows.append(_row(holder, kind, title if len(seen) == 1 else f"{title} (as for {holder.name})", first))
    metrics = [name for name in NUMBERS if any(name in row.entries for row in rows)]
    protocols = [f"{', '.join(one.name for one in group)}: {_protocol(group[0])}" for group in seen.values()]
    return Table(rows=rows, metrics=metrics, protocols=protocols)


def _row(one: Evaluation, kind: str, title: str, first: str) -> Row:
    entries = one.report["metrics"][kind]
    return Row(title=title, run=one.name, kind=kind, entries=entries, marked=one.protocol_hash != first)


def _protocol(one: Evaluation) -> str:
    facts = one.protocol
    parts = [line(facts), *(line_of_extractor(name, of) for name, of in facts.get("extractors", {}).items())]
    return "; ".join(parts)


def line_of_extractor(name: str, about: Mapping[str, Any]) -> str:
    return f"{name} {shortened(str(about.get('digest', '')))}" + (f", {about['resize']}" if "resize" in about else "")


def as_markdown(table: Table, differences: Sequence[str]) -> str:
    """The table, its protocols, what differs and the notes of the numbers."""
    lines = [
        "# Comparison",
        "",
        "| | " + " | ".join(_escaped(title) for title in table.titles) + " |",
        "|---" * (len(table.metrics) + 1) + "|",
        *(
            f"| {_escaped(row.title)} | " + " | ".join(row.text(metric) for metric in table.metrics) + " |"
            for row in table.rows
        ),
        "",
        "In brackets: 95% of bootstrap draws over videos. (few): no more feature vectors than features.",
        "",
        "Protocol:",
        "",
        *(f"- {_escaped(text)}" for text in table.protocols),
        "",
    ]
    if differences:
        lines += [f"{MARK} of another protocol than the first row's; these numbers do not compare:", ""]
        lines += [*(f"- {_escaped(text)}" for text in differences), ""]
    lines += [*(f"- {_escaped(text)}" for text in notes(table)), ""]
    return "\n".join(lines)


def notes(table: Table) -> list[str]:
    """What the evaluation says to single numbers."""
    return [
        f"{row.title}, {NUMBERS[metric].title}: {entry['note']}"
        for row in table.rows
        for metric in table.metrics
        if (entry := row.entries.get(metric)) is not None and entry["note"]
    ]


def as_csv(table: Table) -> str:
    """A line a number: row, run, metric, value, low, high, n, few, other_protocol."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "run", "metric", "value", "low", "high", "n_real", "n_fake", "few", "other_protocol"])
    for row in table.rows:
        for metric in table.metrics:
            entry = row.entries.get(metric)
            if entry is not None:
                numbers = [entry["value"], entry["low"], entry["high"], *(entry["n"] or [None, None])]
                kind = row.title if row.kind == "model" else row.kind
                writer.writerow([kind, row.run, metric, *numbers, entry["few"], row.marked])
    return text.getvalue()


def as_values(table: Table) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [
        {
            "title": row.title,
            "run": row.run,
            "kind": row.kind,
            "other_protocol": row.marked,
            "metrics": {metric: dict(row.entries[metric]) for metric in table.metrics if metric in row.entries},
        }
        for row in table.rows
    ]


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")
