"""One run: trained through the real loop in stretches, scored after each; stopped at any time, it goes on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.experiment.scores import HeldOut
from modeling.config import Config, apply_overrides
from modeling.files import atomic_file, read_json, write_json, write_text
from modeling.inference import load_trained
from modeling.networks import build_generator
from modeling.runs.folder import RunFolder
from modeling.training.loop import TrainingRequest, train

CLOSE_ENOUGH = 0.99  # of the time budget: a step more or less


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long a run is: so many steps, so many minutes of one core, or until both are reached."""

    steps: int | None
    minutes: float | None
    every: int  # steps between scores

    def next_stop(self, step: int, seconds: float) -> int | None:
        """The step to train to and score next; None at the end. `seconds` were spent on the steps so far."""
        wanted = [] if self.steps is None or step >= self.steps else [self.steps]
        aim = None if self.minutes is None else 60 * self.minutes
        if aim is not None and seconds < CLOSE_ENOUGH * aim:
            # What a step takes is not known before there are some.
            wanted.append(step + max(1, math.ceil((aim - seconds) * step / seconds)) if step else self.every)
        if not wanted:
            return None
        return min((step // self.every + 1) * self.every, *wanted)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run's folder with its evaluations."""

    folder: Path
    config: Config

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def evaluations_file(self) -> Path:
        return self.folder / "evaluations.jsonl"

    def evaluations(self) -> list[dict[str, Any]]:
        """Scores so far, by step; a line that a kill cut short is left out."""
        if not self.evaluations_file.exists():
            return []
        found = {}
        for line in self.evaluations_file.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            found[record["step"]] = record
        return [found[step] for step in sorted(found)]

    def strip_file(self, step: int) -> Path:
        return self.folder / "strips" / f"step-{step:08d}.npy"

    @property
    def stretches_file(self) -> Path:
        return self.folder / "stretches.json"

    def stretches(self) -> dict[int, float]:
        """Step at which a stretch of training ended -> processor seconds of all training up to it."""
        if not self.stretches_file.exists():
            return {}
        held = read_json(self.stretches_file, "remove the run's folder")
        return {int(step): float(seconds) for step, seconds in held.items()}

    def progress(self) -> tuple[int, float]:
        """Steps that are safe in a checkpoint, and the processor seconds that they took, scoring left out.

        Of the processor, so that what else the machine does favours no arm. Steps of a stretch that was killed count
        by the clock.
        """
        saved = RunFolder(self.run).checkpoints.all()
        if not saved:
            return 0, 0.0
        step, stretches = saved[-1][0], self.stretches()
        told = max((end for end in stretches if end <= step), default=0)
        seconds = stretches.get(told, 0.0)
        for line in RunFolder(self.run).metrics_file.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            seconds += record["seconds"] if told < record["step"] <= step else 0.0
        return step, seconds


def run_trial(trial: Trial, data: Path, held: HeldOut, budget: Budget, say: Callable[[str], None]) -> int | None:
    """Train and score until the budget is used; the signal that stopped it, or None."""
    while True:
        step, seconds = trial.progress()
        records = trial.evaluations()
        if step not in {record["step"] for record in records}:
            record = evaluate(trial, held, step, seconds)
            lines = [json.dumps(each) for each in (*records, record)]
            write_text(trial.evaluations_file, "\n".join(lines) + "\n")
            told = ", ".join(f"{name} {value:.3g}" for name, value in record["scores"].items() if value is not None)
            say(f"step {step}, {seconds:.0f} s: {told}")
        stop = budget.next_stop(step, seconds)
        if stop is None:
            return None
        request = TrainingRequest(
            data=data,
            run=trial.run,
            config=apply_overrides(trial.config, [f"training.steps={stop}"]),
            device=torch.device("cpu"),
            checkpoint_every=max(50, budget.every),
            sample_every=10**9,
        )
        began = time.process_time()
        result = train(request)
        spent = seconds + time.process_time() - began
        ended = RunFolder(trial.run).checkpoints.all()[-1][0]
        write_json(trial.stretches_file, {**trial.stretches(), ended: round(spent, 2)})
        if result.signal is not None:
            return result.signal


def evaluate(trial: Trial, held: HeldOut, step: int, seconds: float) -> dict[str, Any]:
    """The scores at this step, as they go into evaluations.jsonl; the frames to look at go beside it."""
    if step:
        generator = load_trained(trial.run, torch.device("cpu")).generator
    else:
        generator = build_generator(trial.config).eval()
    training = trial.config.training
    made = held.generated(generator, training.seed)
    with atomic_file(trial.strip_file(step)) as stream:
        np.save(stream, held.strip(made))
    return {
        "step": step,
        "clips": step * training.d_passes * training.batch,  # that D was shown
        "seconds": round(seconds, 2),
        "parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "scores": {**held.score(made), **held.score_quiet(held.generated(generator, None))},
    }
