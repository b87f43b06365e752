"""What metrics.jsonl holds, as curves: which names belong in one picture, what they are called, and their values.

Names are taken as they come: another decomposition or loss logs other ones, and they are drawn all the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modeling.errors import UsageError

NO_CURVES = ("step", "epoch", "micro_batches")  # these only count
NETWORKS = {"d_s": "D_S", "d_t": "D_T", "d_v": "D_V", "s": "D_S", "t": "D_T", "v": "D_V", "g": "G"}


@dataclass(frozen=True)
class Family:
    """Metrics that are drawn on one pair of axes."""

    key: str  #                  of files and tags
    title: str
    prefixes: tuple[str, ...]  # of the names of its metrics
    log: bool = False  #         drawn on a logarithmic axis where the values span decades
    from_zero: bool = False  #   a linear axis begins at 0


FAMILIES = (
    Family("losses", "losses", ("loss_",)),
    Family("wasserstein", "Wasserstein estimate (real - fake)", ("wasserstein_",)),
    Family("gradient-norms", "gradient norm before clipping", ("grad_norm_",), log=True),
    Family("penalties", "gradient penalty, unweighted", ("gp_", "penalty_", "r1_", "r2_"), log=True),
    Family("learning-rate", "learning rate", ("lr",), from_zero=True),
    Family("seconds", "seconds a step", ("seconds", "wait"), from_zero=True),
    Family("clips", "clips a second", ("clips_per_second",), from_zero=True),
    Family("memory", "peak memory (MB)", ("memory_mb",), from_zero=True),
)
OTHERS = Family("others", "others", ())


def family_of(name: str) -> Family | None:
    """Where a metric belongs; None for what is no curve."""
    if name in NO_CURVES:
        return None
    return next((family for family in FAMILIES if name.startswith(family.prefixes)), OTHERS)


def label(name: str) -> str:
    """A metric's name in the legend of its family: `grad_norm_d_s` is D_S, `loss_g_t` is G from D_T."""
    family = family_of(name)
    prefix = next((prefix for prefix in family.prefixes if name.startswith(prefix)), "") if family else ""
    rest = name.removeprefix(prefix) if prefix.endswith("_") else name
    if rest in NETWORKS:
        return NETWORKS[rest]
    if rest.startswith("g_") and rest[2:] in NETWORKS:
        return f"G from {NETWORKS[rest[2:]]}"
    return {"seconds": "whole step", "wait": "waiting for the loader"}.get(rest, rest)


def read_records(path: Path) -> list[dict[str, float]]:
    """The lines of metrics.jsonl, by step; lines cut short by a kill, or just being written, are left out."""
    records: dict[int, dict[str, float]] = {}
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if isinstance(values, dict) and isinstance(values.get("step"), int):
                records[values["step"]] = {name: value for name, value in values.items() if _is_number(value)}
    return [records[step] for step in sorted(records)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Curve:
    """One metric over the steps that have it: `steps` and `values` are (N,) float64."""

    steps: NDArray[np.float64]
    values: NDArray[np.float64]


def curves(records: Iterable[Mapping[str, float]]) -> dict[str, Curve]:
    """A curve for each metric of the records, in the order in which the names first come."""
    points: dict[str, tuple[list[float], list[float]]] = {}
    for record in records:
        for name, value in record.items():
            if family_of(name) is not None:
                steps, values = points.setdefault(name, ([], []))
                steps.append(record["step"])
                values.append(value)
    return {name: Curve(np.array(steps, float), np.array(values, float)) for name, (steps, values) in points.items()}


def read_run(run: Path) -> list[dict[str, float]]:
    """The records of a run folder; UsageError where it has none."""
    path = run / "metrics.jsonl"
    try:
        records = read_records(path)
    except (FileNotFoundError, NotADirectoryError):
        what = "has no metrics.jsonl: train it with `modeling train`" if run.is_dir() else "is no folder"
        raise UsageError(f"{run} {what}; --run takes a run folder, such as runs/name") from None
    if not records:
        raise UsageError(f"{path} holds no step yet: try again once training has done one")
    return records


def by_family(names: Iterable[str]) -> dict[Family, list[str]]:
    """The names of each family that has any, families in their own order."""
    grouped: dict[Family, list[str]] = {family: [] for family in (*FAMILIES, OTHERS)}
    for name in names:
        family = family_of(name)
        if family is not None:
            grouped[family].append(name)
    return {family: members for family, members in grouped.items() if members}


def smoothed(curve: Curve, width: int) -> Curve:
    """The mean over windows of `width` neighbouring points, cut off at both ends of the curve."""
    count = len(curve.values)
    half = width // 2
    sums = np.concatenate(([0.0], np.cumsum(curve.values)))
    places = np.arange(count)
    begin, end = np.maximum(places - half, 0), np.minimum(places + half + 1, count)
    return Curve(curve.steps, (sums[end] - sums[begin]) / (end - begin))


def worth_drawing(step: int, steps: int, points: int = 1000, first: int = 200) -> bool:
    """Whether a dashboard shows this step: all of the first ones, then about `points` spread over a run of `steps`."""
    return step <= first or step % max(1, -(-steps // points)) == 0
