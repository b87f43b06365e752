"""A folder of weights looked over: which published files are there and sound, which metrics they make possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modeling.metrics.extractors import weights
from modeling.metrics.extractors.interface import WeightsError
from modeling.metrics.extractors.weights import WeightFile

State = Literal["sound", "broken", "missing"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is known of one published file."""

    file: WeightFile
    state: State
    path: Path | None  #      where it is there
    digest: str | None  #     SHA-256, where it is sound
    problem: str | None  #    what is wrong and what to do, where it is broken


def inspect(folder: Path | None, looking_at: Callable[[Path], None] = lambda path: None) -> list[Finding]:
    """Every published file, in the order of the table. `looking_at` is told of each before it is read.

    Without a folder all are missing."""
    findings = []
    for file in weights.FILES:
        path = None if folder is None else weights.present(folder, file)
        digest: str | None = None
        problem: str | None = None
        state: State = "missing"
        if path is not None:
            looking_at(path)
            try:
                _, digest = weights.load(file, path)
                state = "sound"
            except WeightsError as error:
                problem, state = str(error), "broken"
        findings.append(Finding(file=file, state=state, path=path, digest=digest, problem=problem))
    return findings


def ready_metrics(findings: list[Finding]) -> dict[str, bool]:
    """Whether each metric that needs weights has them: one sound file of every network that it uses.

    Of a network's files the first that is there is the one that is read: if that is broken, the metric is not ready.
    """
    first: dict[str, Finding] = {}
    for finding in findings:
        if finding.state != "missing":
            first.setdefault(finding.file.network, finding)
    sound = {network for network, finding in first.items() if finding.state == "sound"}
    needs: dict[str, set[str]] = {}
    for finding in findings:
        for metric in finding.file.used_by:
            needs.setdefault(metric, set()).add(finding.file.network)
    return {metric: networks <= sound for metric, networks in needs.items()}
