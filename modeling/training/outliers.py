"""Batches whose gradient norm stood out, and the clips in them (section 3.9: such clips upset the training).

A pass is extreme where the logarithm of its gradient norm lies far above the median of the same network's last passes,
in units of their spread (median absolute deviation); both are robust, so extremes do not hide one another. Passes
with and without a lazy penalty have norms of their own and are judged apart. All this follows from two files, which
a resume cuts at its step: a resumed run finds the outliers that an uninterrupted one finds.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modeling.config import Config
from modeling.data.windows import Window
from modeling.errors import UsageError
from modeling.runs.folder import MetricsLog, RunFolder

OUTLIERS_FILE, NORMS_FILE = "outliers.jsonl", "gradient-norms.jsonl"
WINDOW = 500  #    passes of a network that the estimate covers
FEWEST = 50  #     passes before anything is judged
FAR = 6.0  #       spreads above the median (a normal distribution has one in 10^9 there)
AT_LEAST = 2.0  #  times the median: in a very even training a small excess is no fault of a clip
MAD_TO_SIGMA = 1.4826  # a normal distribution's standard deviation over its median absolute deviation
NORM = "_grad_norm"  #   ending of the gradient norms among a pass's statistics


@dataclass(frozen=True)
class Excess:
    """How far above its network's usual gradient norm a pass was."""

    norm: float
    median: float
    spreads: float  # of the log-norms


class RunningNorms:
    """The last gradient norms of one network, and what is extreme against them."""

    def __init__(self) -> None:
        self._logs: deque[float] = deque(maxlen=WINDOW)

    def add(self, norm: float) -> Excess | None:
        """Take in the next pass's norm; what it exceeds the earlier ones by, where that is extreme."""
        found = self._judge(norm)
        if norm > 0:
            self._logs.append(math.log(norm))
        return found

    def _judge(self, norm: float) -> Excess | None:
        if len(self._logs) < FEWEST or norm <= 0:
            return None
        logs = np.fromiter(self._logs, float)
        median = float(np.median(logs))
        spread = MAD_TO_SIGMA * float(np.median(np.abs(logs - median)))
        above = math.log(norm) - median
        if above <= max(FAR * spread, math.log(AT_LEAST)):
            return None
        usual = math.exp(median)
        return Excess(norm=norm, median=usual, spreads=above / spread if spread > 0 else math.inf)


class OutlierLog:
    """Writes gradient-norms.jsonl, a line a step, and outliers.jsonl, a line for each extreme gradient norm."""

    def __init__(self, folder: RunFolder, config: Config, *, last_step: int) -> None:
        """Go on after `last_step`: what later steps of a killed run wrote is removed from both files."""
        self._config = config
        self._outliers = MetricsLog(folder.path / OUTLIERS_FILE, last_step=last_step)
        self._norms = MetricsLog(folder.path / NORMS_FILE, last_step=last_step)
        self._running: dict[tuple[str, bool], RunningNorms] = {}
        self._step: dict[str, list[float]] = {}
        for line in _last_lines(self._norms.path, self._steps_needed()):
            for network, norms in line["norms"].items():
                for index, norm in enumerate(norms):
                    self._of(network, line["step"], index).add(norm)

    def passed(
        self, step: int, pass_index: int, stats: Mapping[str, float], windows: Sequence[Window], ids: Sequence[str]
    ) -> None:
        """A pass of step `step` (its number in metrics.jsonl) with its statistics, on these windows of these clips.

        The names of gradient norms end in `_grad_norm`. Pass them in order: a step's G pass, the last, ends its line.
        """
        for name, norm in stats.items():
            if not name.endswith(NORM):
                continue
            network = name.removesuffix(NORM)
            held = self._step.setdefault(network, [])
            excess = self._of(network, step, len(held)).add(norm)
            held.append(norm)
            if excess is not None:
                self._outliers.append(_line(step, pass_index, network, excess, windows, ids))
        if pass_index == self._config.training.d_passes:
            self._norms.append({"step": step, "norms": self._step})
            self._step = {}

    def sync(self) -> None:
        """Bring both files to the disk: done before a checkpoint."""
        self._norms.sync()
        self._outliers.sync()

    def close(self) -> None:
        self._norms.close()
        self._outliers.close()

    def _of(self, network: str, step: int, index: int) -> RunningNorms:
        """The norms that those of this network's `index`-th pass of a step are judged by."""
        training = self._config.training
        number = (step - 1) * training.d_passes + index
        lazy = network != "g" and training.penalty_every > 1 and number % training.penalty_every == 0
        return self._running.setdefault((network, lazy), RunningNorms())

    def _steps_needed(self) -> int:
        """Steps whose norms fill every estimate: the rarest passes are those with a lazy penalty."""
        return WINDOW * self._config.training.penalty_every


def _line(
    step: int, pass_index: int, network: str, excess: Excess, windows: Sequence[Window], ids: Sequence[str]
) -> dict[str, Any]:
    return {
        "step": step,
        "pass": pass_index,
        "network": network,
        "norm": excess.norm,
        "median": excess.median,
        "spreads": excess.spreads if math.isfinite(excess.spreads) else None,
        "clips": [
            {"id": clip, "start": window.start, "flip": window.flip} for clip, window in zip(ids, windows, strict=True)
        ],
    }


def _last_lines(path: Path, count: int) -> Iterable[dict[str, Any]]:
    with path.open() as stream:
        return [json.loads(line) for line in deque(stream, maxlen=count)]


@dataclass(kw_only=True)
class Suspect:
    """A clip, and the extreme batches that it was in."""

    clip: str
    times: int = 0  #         passes, each counted once however many networks it upset
    doublings: float = 0.0  # sum over them of log2(norm / median), of the network that was upset most
    largest: float = 0.0  #   the largest norm / median
    networks: set[str] = field(default_factory=set)
    starts: set[int] = field(default_factory=set)  # first frames of its windows
    steps: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """The clips of a run's extreme batches, the most suspicious first."""

    suspects: list[Suspect]
    passes: int  #         that were extreme
    steps: int  #          that the run has done
    last_step: int | None  # of the last extreme pass


def rank(folder: RunFolder) -> Ranking:
    """Read outliers.jsonl and rank its clips by the sum of their batches' excesses.

    A clip that upsets training stands in every one of its batches; those beside it change with each draw. UsageError
    where the run keeps no such log.
    """
    path = folder.path / OUTLIERS_FILE
    folder.read_config()  # says so where this is no run
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise UsageError(
            f"{path} is missing: this run was trained before extreme batches were logged; "
            "resume it with `modeling train`, or look at its plots with `modeling plot`"
        ) from None
    passes: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:  # the line that is just being written
            continue
        passes.setdefault((found["step"], found["pass"]), []).append(found)
    suspects: dict[str, Suspect] = {}
    for (step, _), found in passes.items():
        ratio = max(line["norm"] / line["median"] for line in found)
        for clip in {clip["id"]: clip for clip in found[0]["clips"]}.values():
            suspect = suspects.setdefault(clip["id"], Suspect(clip=clip["id"]))
            suspect.times += 1
            suspect.doublings += math.log2(ratio)
            suspect.largest = max(suspect.largest, ratio)
            suspect.networks |= {line["network"] for line in found}
            suspect.starts.add(clip["start"])
            suspect.steps.append(step)
    ordered = sorted(suspects.values(), key=lambda suspect: (-suspect.doublings, suspect.clip))
    return Ranking(
        suspects=ordered,
        passes=len(passes),
        steps=_steps(folder.path / NORMS_FILE),
        last_step=max((step for step, _ in passes), default=None),
    )


def _steps(norms: Path) -> int:
    if not norms.exists():
        return 0
    with norms.open("rb") as stream:
        return sum(1 for line in stream if line.endswith(b"\n"))
