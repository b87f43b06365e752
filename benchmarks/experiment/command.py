"""The command line that both experiments share: start the runs, or one of them; then report."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.experiment.arms import BASE, Arm, base_config
from benchmarks.experiment.jobs import python, run_all
from benchmarks.experiment.scores import HeldOut, references
from benchmarks.experiment.summary import Record
from benchmarks.experiment.trial import Budget, Trial, run_trial
from db.shards import ShardError, read_manifest
from modeling.config import ConfigError
from modeling.errors import ModelingError
from modeling.files import read_json, write_json, write_text
from modeling.metrics import proxy


def parser_of(text: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="shards of python -m benchmarks.water")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, metavar="N", help="of a run: the budget of equal clips")
    parser.add_argument("--minutes", type=float, metavar="M", help="of a run: the one of equal time")
    parser.add_argument("--every", type=int, default=100, metavar="STEPS", help="between two scores")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--frames", type=int, default=25, help="of a scored clip, the input counted")
    parser.add_argument("--limit", type=int, metavar="CLIPS", help="score only so many test clips")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="an option of all arms")
    parser.add_argument("--only", action="append", metavar="ARM", help="only this arm; repeatable")
    parser.add_argument("--report", action="store_true", help="train nothing, report what is there")
    parser.add_argument("--worker", nargs=2, metavar=("ARM", "SEED"), help=argparse.SUPPRESS)
    return parser


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """All that was asked for, and what is there of it."""

    data: Path
    out: Path
    arms: tuple[Arm, ...]
    seeds: int
    budget: Budget
    frames: int
    limit: int | None
    options: tuple[str, ...]

    def trial(self, arm: Arm, seed: int) -> Trial:
        name = "".join(each if each.isalnum() else "-" for each in arm.name).replace("--", "-")
        folder = self.out / f"{name}-seed-{seed}"
        return Trial(folder=folder, config=arm.config(base_config(self.options), seed))

    @cached_property
    def held(self) -> HeldOut:
        side = base_config(self.options).resolution
        return HeldOut.open(self.data, "test", resolution=side, frames=self.frames, limit=self.limit)

    def evaluations(self) -> dict[str, list[list[Record]]]:
        """Arm -> seeds -> evaluations by step."""
        return {arm.name: [self.trial(arm, seed).evaluations() for seed in range(self.seeds)] for arm in self.arms}

    def references(self) -> dict[str, dict[str, Any]]:
        """Copied frame and real clips; computed once."""
        file = self.out / "references.json"
        if not file.exists():
            side = base_config(self.options).resolution
            write_json(file, references(self.data, self.held, resolution=side, frames=self.frames))
        return read_json(file, "remove it")

    def strips(self, pick: Callable[[list[Record]], Record | None]) -> dict[str, NDArray[np.uint8]]:
        """The frames to look at, of the first seed of each arm that has come so far."""
        found = {}
        for arm in self.arms:
            trial = self.trial(arm, 0)
            record = pick(trial.evaluations())
            if record is not None:
                found[arm.name] = np.load(trial.strip_file(record["step"]))
        return found

    def real_strip(self) -> NDArray[np.uint8]:
        return self.held.strip(self.held.real)

    def settings(self) -> dict[str, Any]:
        """What all runs of a folder must share."""
        return {
            "data": read_manifest(self.data).recipe_hash,
            "options": [*BASE, *self.options],
            "frames": self.frames,
            "scored_clips": len(self.held.real),
            "proxy_fd": {"version": proxy.VERSION, "seed": proxy.SEED, "features": proxy.FEATURES},
        }

    def check_settings(self) -> None:
        """ModelingError where the folder holds runs of other settings."""
        file, asked = self.out / "settings.json", self.settings()
        if not file.exists():
            write_json(file, asked)
            return
        held = read_json(file, "choose another --out")
        differing = [key for key in asked if held.get(key) != json.loads(json.dumps(asked[key]))]
        if differing:
            raise ModelingError(f"{self.out} holds runs with other {', '.join(differing)}: choose another --out")

    def protocol(self) -> list[str]:
        manifest = read_manifest(self.data)
        clips = {split: sum(shard.clips for shard in manifest.of_split(split)) for split in ("train", "val", "test")}
        side = base_config(self.options).resolution
        return [
            f"Data: {', '.join(f'{split} {count}' for split, count in clips.items())} clips of {side}x{side} "
            f"({json.dumps(dict(manifest.recipe))}).",
            f"Base: preset tiny with {', '.join([*BASE, *self.options])}.",
            f"Scores: {self.settings()['scored_clips']} test clips, {self.frames - 1} generated frames each, samples "
            f"as drawn, moving average of the weights where there is one; {self.seeds} seeds: mean (range).",
            f"proxy-FD: {proxy.FEATURES} random features, version {proxy.VERSION}, seed {proxy.SEED}; "
            "neither FID nor FVD.",
        ]

    def write(self, name: str, page: str, values: dict[str, Any]) -> None:
        write_text(self.out / f"{name}.md", page)
        write_json(self.out / f"{name}.json", values)


def run_experiment(
    arguments: argparse.Namespace,
    script: Path,
    arms_of: Callable[[list[str]], list[Arm]],
    report: Callable[[Experiment], str],
) -> int:
    """0 done, 1 where a run failed, 2 for what cannot be done as asked."""
    torch.set_num_threads(1)
    try:
        experiment = _experiment(arguments, arms_of)
        experiment.check_settings()
        if arguments.worker:
            return _work(experiment, *arguments.worker)
        failed = 0 if arguments.report else _run_all(experiment, arguments, script)
        print(report(experiment))
    except (ConfigError, ModelingError, ShardError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        return 130
    return 1 if failed else 0


def _experiment(arguments: argparse.Namespace, arms_of: Callable[[list[str]], list[Arm]]) -> Experiment:
    for name in ("seeds", "every", "jobs", "frames", "steps", "minutes", "limit"):
        value = getattr(arguments, name)
        if value is not None and value <= 0:
            raise ModelingError(f"--{name} must be above 0, not {value}")
    if arguments.steps is None and arguments.minutes is None:
        raise ModelingError("give a budget: --steps N, --minutes M, or both")
    if arguments.limit is not None and arguments.limit < 4:
        raise ModelingError(f"--limit must be 4 or more (two halves are compared), not {arguments.limit}")
    arms = arms_of(arguments.set)
    names = [arm.name for arm in arms]
    for name in arguments.only or []:
        if name not in names:
            raise ModelingError(f"there is no arm {name!r}: there are {', '.join(names)}")
    chosen = tuple(arm for arm in arms if arguments.only is None or arm.name in arguments.only)
    return Experiment(
        data=arguments.data, out=arguments.out, arms=chosen, seeds=arguments.seeds,
        budget=Budget(steps=arguments.steps, minutes=arguments.minutes, every=arguments.every),
        frames=arguments.frames, limit=arguments.limit, options=tuple(arguments.set),
    )  # fmt: skip


def _run_all(experiment: Experiment, arguments: argparse.Namespace, script: Path) -> int:
    """All runs, seed by seed, so that what is stopped early has all arms; how many failed."""
    commands, logs = {}, {}
    asked = [argument for argument in sys.argv[1:] if argument != "--report"]
    for seed in range(experiment.seeds):
        for arm in experiment.arms:
            name = f"{arm.name}, seed {seed}"
            commands[name] = python(script, *asked, "--worker", arm.name, seed)
            logs[name] = experiment.trial(arm, seed).folder / "log.txt"
    status = run_all(commands, logs, arguments.jobs, lambda line: print(line, file=sys.stderr, flush=True))
    return sum(code != 0 for code in status.values())


def _work(experiment: Experiment, name: str, seed: str) -> int:
    """One run, in a process of its own."""
    arm = next(arm for arm in experiment.arms if arm.name == name)
    trial = experiment.trial(arm, int(seed))
    signal = run_trial(trial, experiment.data, experiment.held, experiment.budget, lambda line: print(line, flush=True))
    return 0 if signal is None else 128 + signal
