"""The evaluations of runs, as `modeling evaluate` wrote them, and whether their numbers compare."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling.errors import ModelingError, UsageError
from modeling.evaluation.protocol import NOT_COMPARED
from modeling.files import read_json

FORMAT = 2
KEYS = ("protocol", "metrics", "curves")
FACTS = ("name", "n", "frames", "context_frames", "first_frame", "split", "seed", "resolution", "protocol_hash")
COUNTS = ("n", "frames", "context_frames", "first_frame", "seed", "resolution")
LONGEST = 90  # characters of a fact in an error


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A run's report."""

    name: str
    run: Path
    file: Path
    report: Mapping[str, Any]

    @property
    def protocol(self) -> Mapping[str, Any]:
        facts: Mapping[str, Any] = self.report["protocol"]
        return facts

    @property
    def protocol_hash(self) -> str:
        return str(self.protocol["protocol_hash"])


def read_evaluations(
    runs: Sequence[Path], names: Sequence[str] | None, *, split: str | None = None, step: int | None = None
) -> list[Evaluation]:
    """The newest evaluation of each run, of `split` and `step` where given; names default to the folders'.

    UsageError for a folder that is no run, one without such an evaluation, an unreadable or older file, or bad names.
    """
    called = _names(runs, names)
    return [_read(run, name, split, step) for run, name in zip(runs, called, strict=True)]


def differing(evaluations: Sequence[Evaluation]) -> list[str]:
    """A line for each fact in which a run's protocol differs from the first one's; empty where all compare."""
    first = evaluations[0]
    lines = []
    for other in evaluations[1:]:
        if other.protocol_hash == first.protocol_hash:
            continue
        ours, theirs = _flat(first.protocol), _flat(other.protocol)
        found = [
            f"{key}: {_short(ours.get(key))} in {first.name}, {_short(theirs.get(key))} in {other.name}"
            for key in dict.fromkeys([*ours, *theirs])
            if ours.get(key) != theirs.get(key)
        ]
        lines += found or [
            f"protocol_hash: {first.protocol_hash} in {first.name}, {other.protocol_hash} in {other.name}"
        ]
    return lines


def require_same_protocol(evaluations: Sequence[Evaluation], *, force: bool) -> list[str]:
    """What differs, where `force` lets it pass; UsageError with the differing facts where not."""
    lines = differing(evaluations)
    if lines and not force:
        raise UsageError(
            f"these evaluations have different protocols, so that their numbers do not compare: {'; '.join(lines)}; "
            "evaluate the runs alike, or give --force to set them side by side with marks"
        )
    return lines


def _names(runs: Sequence[Path], names: Sequence[str] | None) -> list[str]:
    if names is None:
        short = [run.resolve().name for run in runs]
        return [name if short.count(name) == 1 else str(run) for name, run in zip(short, runs, strict=True)]
    if len(names) != len(runs):
        raise UsageError(f"--names gives {len(names)} names for {len(runs)} runs: give one each, with commas")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice or not all(names):
        raise UsageError(f"--names must be different and not empty, not {','.join(names)!r}")
    return list(names)


def _read(run: Path, name: str, split: str | None, step: int | None) -> Evaluation:
    if not (run / "config.yaml").is_file():
        raise UsageError(f"{run} is no run folder (it has no config.yaml); give the folders that modeling train made")
    again = f"run `modeling evaluate --run {run} --data SHARDS`"
    files = sorted((run / "evaluation").glob("*.json"), key=lambda file: (-file.stat().st_mtime_ns, file.name))
    if not files:
        raise UsageError(f"{run} has no evaluation: {again}")
    for file in files:
        try:
            report = read_json(file, again)
        except ModelingError as error:
            raise UsageError(str(error)) from None
        facts = report.get("protocol")
        facts = facts if isinstance(facts, dict) else {}
        if (split is None or facts.get("split") == split) and (step is None or facts.get("step") == step):
            _check(file, report, again)
            return Evaluation(name=name, run=run, file=file, report=report)
    asked = ", ".join(text for text in (split and f"split {split}", step is not None and f"step {step}") if text)
    raise UsageError(f"{run} has no evaluation of {asked}: {again}")


def _check(file: Path, report: Mapping[str, Any], again: str) -> None:
    if report.get("format") != FORMAT:
        raise UsageError(f"{file} is of format {report.get('format', 1)}, and this needs {FORMAT}: {again} again")
    broken = [key for key in KEYS if not isinstance(report.get(key), dict)]
    if not broken:
        broken = [f"protocol.{key}" for key in FACTS if key not in report["protocol"]]
    if not broken:
        broken = [f"{key}.{row}" for key in KEYS[1:] for row, of in report[key].items() if not isinstance(of, dict)]
    if not broken:
        broken = [f"protocol.{key}" for key in COUNTS if not _is_count(report["protocol"][key])]
    if not broken:
        broken = [
            f"metrics.{row}.{metric}"
            for row, entries in report["metrics"].items()
            for metric, entry in entries.items()
            if not _is_entry(entry)
        ]
    if not broken:
        broken = [
            f"curves.{row}.{name}"
            for row, of in report["curves"].items()
            for name, values in of.items()
            if values is not None and not (isinstance(values, list) and all(map(_is_number, values)))
        ]
    if broken:
        raise UsageError(f"{file} is damaged ({broken[0]} is missing or of a wrong kind): {again} again")


def _is_entry(entry: object) -> bool:
    """Whether this is a number of a report, with its interval and what it rests on."""
    return (
        isinstance(entry, dict)
        and {"value", "low", "high", "n", "few", "note"} <= set(entry)
        and all(_is_number(entry[key]) for key in ("value", "low", "high"))
        and isinstance(entry["n"], list)
        and len(entry["n"]) == 2
        and isinstance(entry["few"], bool)
        and isinstance(entry["note"], str)
    )


def _is_number(value: object) -> bool:
    """A finite number, or null where a score is undefined."""
    if value is None:
        return True
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The compared facts, those inside others with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        if not prefix and (key in NOT_COMPARED or key == "protocol_hash"):
            continue
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
