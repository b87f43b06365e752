"""`modeling doctor`: which weights of the metrics are there and sound, and where the others are had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from modeling.commands.common import json_option, report, say
from modeling.metrics.extractors.inspection import Finding, inspect, ready_metrics
from modeling.metrics.extractors.weights import VARIABLE, weights_folder


@click.command()
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=f"The folder of published weights.  [default: {VARIABLE}]",
)
@json_option
def doctor(weights: Path | None, as_json: bool) -> None:
    """Look over a folder of the metrics' weights: what is there, missing or wrong, and where each file is had.

    Nothing is fetched. Exit status 1 where a file that is there is broken or another one; missing files are no failure.
    """
    named = weights is not None or bool(os.environ.get(VARIABLE))
    folder = weights_folder(weights) if named else None
    findings = inspect(folder, (lambda path: None) if as_json else (lambda path: say(f"reading {path}")))
    ready = ready_metrics(findings)
    lines = [] if named else [f"no folder is named: put the files into one and say --weights DIR or set {VARIABLE}"]
    lines += [line for finding in findings for line in _lines(finding)]
    lines += [_metric_line("ready", [metric for metric, there in ready.items() if there])]
    lines += [
        _metric_line("not ready, for want of sound weights", [metric for metric, there in ready.items() if not there])
    ]
    lines += ["proxy-FD needs no weights"]
    possible = [metric for metric, there in ready.items() if there]
    at = "" if folder is None else f" --weights {folder}"
    evaluate = f"modeling evaluate --run RUN --data SHARDS{at} --metrics {','.join([*possible, 'proxy'])}"
    content = {
        "folder": None if folder is None else str(folder),
        "files": [_as_json(finding) for finding in findings],
        "metrics": ready,
    }
    broken = any(finding.state == "broken" for finding in findings)
    report(as_json, content, lines, next_command=None if broken else evaluate)
    if broken:
        raise SystemExit(1)


def _lines(finding: Finding) -> list[str]:
    file = finding.file
    head = f"{finding.state:8} {file.name}  ({', '.join(file.used_by)})"
    if finding.state == "sound":
        checked = "as published" if file.sha256 else "names and shapes fit; no published hash is known"
        return [head, f"         SHA-256 {finding.digest}, {checked}"]
    if finding.state == "broken":
        return [head, f"         {finding.problem}"]
    return [head, f"         from {file.source}", f"         {file.hash_in_words}{_size(file.size)}"]


def _size(size: int | None) -> str:
    return "" if size is None else f", {size} bytes"


def _metric_line(title: str, metrics: list[str]) -> str:
    return f"{title}: {', '.join(metrics) or 'none'}"


def _as_json(finding: Finding) -> dict[str, Any]:
    file = finding.file
    return {
        "name": file.name,
        "network": file.network,
        "metrics": list(file.used_by),
        "state": finding.state,
        "path": None if finding.path is None else str(finding.path),
        "sha256": finding.digest,
        "problem": finding.problem,
        "published": {"sha256": file.sha256, "size": file.size, "source": file.source},
    }
