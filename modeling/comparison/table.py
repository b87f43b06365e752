"""The thesis's Table 4.1 for any runs: a table a data set, models and baselines down, metrics across, the protocol."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeling.comparison.differences import differences_of, groups, key_of
from modeling.comparison.evaluations import Evaluation
from modeling.evaluation.names import NUMBERS
from modeling.evaluation.protocol import line, shortened
from modeling.evaluation.report import ROWS, cell, titled

MARK = "‡"  # on each number of another protocol than the first run's that has it
OWN = ("model", "samples")
AS_REAL = ("motion_amount", "flicker")  # over the real clips': the best is the nearest to 1


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one model, or one baseline, scored. `marked`: the metrics of another protocol, and in what it differs;
    `best`: those that are best of its data set."""

    title: str
    run: str
    kind: str  # model, samples, or a baseline
    entries: Mapping[str, Mapping[str, Any]]
    marked: Mapping[str, Sequence[str]]
    best: frozenset[str] = frozenset()

    def text(self, metric: str) -> str:
        """A number with its interval, and its marks; empty where there is none."""
        return " ".join(part for part in self.parts(metric) if part)

    def parts(self, metric: str) -> tuple[str, str, str]:
        """A number, what stands in brackets behind it, and the mark of another protocol."""
        value, _, rest = cell(self.entries.get(metric), NUMBERS[metric].digits).partition(" ")
        return value, rest, MARK if value and metric in self.marked else ""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one data set, `about` which a line tells; `protocols`: a line for each, with whose it is."""

    about: str
    rows: Sequence[Row]
    protocols: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Table:
    """A part a data set, and the metrics that any row has."""

    parts: Sequence[Part]
    metrics: Sequence[str]

    @property
    def rows(self) -> list[Row]:
        return [row for part in self.parts for row in part.rows]

    @property
    def titles(self) -> list[str]:
        return [titled(NUMBERS[metric]) for metric in self.metrics]


def build(evaluations: Sequence[Evaluation]) -> Table:
    """Of each data set, each run's own rows, then the baselines."""
    parts = [_part(group) for group in groups(evaluations)]
    rows = [row for part in parts for row in part.rows]
    return Table(parts=parts, metrics=[name for name in NUMBERS if any(name in row.entries for row in rows)])


def _part(group: Sequence[Evaluation]) -> Part:
    others = {one.name: differences_of(one, group) for one in group}
    own = []
    for one in group:
        for kind in OWN:
            if kind in one.report["metrics"]:
                title = one.name if kind == "model" else f"{one.name}: {ROWS[kind]}"
                entries = one.report["metrics"][kind]
                own.append(Row(title=title, run=one.name, kind=kind, entries=entries, marked=others[one.name]))
    best = _best(own)
    own = [
        replace(row, best=frozenset(metric for metric, places in best.items() if place in places))
        for place, row in enumerate(own)
    ]
    facts = group[0].protocol
    about = f"{facts['split']} clips of {facts['resolution']}x{facts['resolution']} pixels"
    if facts.get("data"):
        about += f" of {'/'.join(Path(str(facts['data'])).parts[-2:])}"
    if group[0].data:
        about += f", data {group[0].data[:12]}"
    seen: dict[str, list[Evaluation]] = {}
    for one in group:
        seen.setdefault(_protocol(one), []).append(one)
    protocols = [f"{', '.join(one.name for one in same)}: {text}" for text, same in seen.items()]
    return Part(about=about, rows=[*own, *_baselines(group, others)], protocols=protocols)


def _baselines(group: Sequence[Evaluation], others: Mapping[str, Mapping[str, Sequence[str]]]) -> list[Row]:
    """Each baseline once, its numbers from the first run that has them; those of other protocols in rows beneath."""
    rows = []
    for kind, title in ROWS.items():
        if kind in OWN:
            continue
        known: set[tuple[str, str]] = set()
        first: dict[str, Mapping[str, Any]] = {}
        beneath: list[Row] = []
        holder = next((one.name for one in group if kind in one.report["metrics"]), "")
        for one in group:
            differing: dict[str, Mapping[str, Any]] = {}
            for metric, entry in one.report["metrics"].get(kind, {}).items():
                variant = (metric, key_of(one, metric))
                if variant not in known:
                    known.add(variant)
                    (differing if metric in others[one.name] else first)[metric] = entry
            if differing:
                name = f"{title} (as for {one.name})"
                beneath.append(Row(title=name, run=one.name, kind=kind, entries=differing, marked=others[one.name]))
        if first:
            beneath.insert(0, Row(title=title, run=holder, kind=kind, entries=first, marked={}))
        rows += beneath
    return rows


def _best(rows: Sequence[Row]) -> dict[str, set[int]]:
    """Metric -> the places of its best rows, of two or more that compare."""
    found = {}
    for metric, number in NUMBERS.items():
        values = {
            place: float(row.entries[metric]["value"])
            for place, row in enumerate(rows)
            if metric in row.entries and metric not in row.marked and row.entries[metric]["value"] is not None
        }
        if metric in AS_REAL:
            values = {place: -abs(value - 1) for place, value in values.items()}
        elif number.better == "lower":
            values = {place: -value for place, value in values.items()}
        elif number.better != "higher":
            continue
        if len(values) > 1:
            found[metric] = {place for place, value in values.items() if value == max(values.values())}
    return found


def _protocol(one: Evaluation) -> str:
    facts = one.protocol
    return "; ".join([line(facts), *(_of_extractor(name, of) for name, of in facts["extractors"].items())])


def _of_extractor(name: str, about: Mapping[str, Any]) -> str:
    return f"{name} {shortened(str(about.get('digest', '')))}" + (f", {about['resize']}" if "resize" in about else "")


def as_markdown(table: Table, differences: Sequence[str]) -> str:
    """The tables, their protocols, what differs and the notes of the numbers."""
    lines = ["# Comparison", ""]
    for part in table.parts:
        if len(table.parts) > 1:
            lines += [f"## {_escaped(part.about)}", ""]
        lines += [
            "| | " + " | ".join(_escaped(title) for title in table.titles) + " |",
            "|---" * (len(table.metrics) + 1) + "|",
            *(
                f"| {_escaped(row.title)} | " + " | ".join(_cell(row, metric) for metric in table.metrics) + " |"
                for row in part.rows
            ),
            "",
            *(f"- {_escaped(text)}" for text in notes(part, table.metrics)),
            "",
        ]
    lines += ["In brackets: 95% of bootstrap draws over videos. (few): no more feature vectors than features.", ""]
    if any(row.best for row in table.rows):
        lines += ["Bold: the best of the models. Whether it is better than chance, the brackets tell.", ""]
    lines += ["Protocol:", "", *(f"- {_escaped(text)}" for part in table.parts for text in part.protocols), ""]
    if differences:
        lines += [f"{MARK} of another protocol than the first row's; these numbers do not compare:", ""]
        lines += [*(f"- {_escaped(text)}" for text in differences), ""]
    return "\n".join(lines)


def _cell(row: Row, metric: str) -> str:
    return f"**{row.text(metric)}**" if metric in row.best else row.text(metric)


def notes(part: Part, metrics: Sequence[str]) -> list[str]:
    """What the evaluations say to single numbers, once for the metrics and rows of which they say the same."""
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for metric in metrics:
        said: dict[str, list[str]] = {}
        for row in part.rows:
            if metric in row.entries and row.entries[metric]["note"]:
                said.setdefault(row.entries[metric]["note"], []).append(row.title)
        for note, titles in said.items():
            found.setdefault((note, tuple(titles)), []).append(NUMBERS[metric].title)
    return [f"{', '.join(called)} ({', '.join(titles)}): {note}" for (note, titles), called in found.items()]


def as_csv(table: Table) -> str:
    """A line a number; `differs`: in what its protocol is another than the first row's that has the metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = ["row", "run", "metric", "value", "low", "high", "n_real", "n_fake", "few", "other_protocol", "data"]
    writer.writerow([*names, "differs"])
    for part in table.parts:
        for row in part.rows:
            for metric in (name for name in table.metrics if name in row.entries):
                entry = row.entries[metric]
                numbers = [entry["value"], entry["low"], entry["high"], *(entry["n"] or [None, None])]
                kind = row.title if row.kind == "model" else row.kind
                differs = row.marked.get(metric, ())
                told = [entry["few"], metric in row.marked, part.about, "; ".join(differs)]
                writer.writerow([kind, row.run, metric, *numbers, *told])
    return text.getvalue()


def as_values(table: Table) -> list[dict[str, Any]]:
    """The rows as plain values."""
    return [
        {
            "title": row.title,
            "run": row.run,
            "kind": row.kind,
            "data": part.about,
            "other_protocol": sorted(set(row.marked) & set(row.entries)),
            "differs": {metric: list(facts) for metric, facts in row.marked.items() if metric in row.entries},
            "best": sorted(row.best),
            "metrics": {metric: dict(row.entries[metric]) for metric in table.metrics if metric in row.entries},
        }
        for part in table.parts
        for row in part.rows
    ]


def _escaped(text: str) -> str:
    return html.escape(text, quote=False).replace("|", "\\|").replace("\n", " ")
