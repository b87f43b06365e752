"""What a training leaves behind: log lines, extreme batches, samples, checkpoints; and whom it tells.

One process writes, however many share the batch; the others have `Nobody` in its place.
"""

from __future__ import annotations

import copy
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
from torch.optim.swa_utils import AveragedModel

from modeling.config import Config
from modeling.data.windows import BatchOrder, ClipSet, ClipWindows
from modeling.networks import Generator
from modeling.runs.best import BestCheckpoint
from modeling.runs.curves import read_records
from modeling.runs.folder import MetricsLog, RunFolder
from modeling.training.build import Networks, Optimisers
from modeling.training.collapse import CollapseWatch
from modeling.training.convergence import Convergence, ConvergenceWatch
from modeling.training.outliers import OutlierLog
from modeling.training.samples import write_sample
from modeling.training.state import snapshot
from modeling.training.validation import Score, Validation
from modeling.watchers import RunStart, Watcher

Record = dict[str, Any]


class Recorder(Protocol):
    """What the training loop tells."""

    last: Record | None  # the newest line of metrics.jsonl that this call wrote

    def passed(self, step: int, pass_index: int, stats: Mapping[str, float]) -> None:
        """A pass of the step after `step` is done, with these statistics."""

    def stepped(self, record: Record) -> None:
        """A step is done: its line, its sample and its checkpoint, where they are due."""

    def converged(self) -> str | None:
        """Why the run is to stop, where it was asked to stop by itself."""

    def finish(self, step: int) -> None:
        """Sample and save what is not yet."""

    def close(self) -> None:
        """Close the files."""


class Nobody:
    """The recorder of a process that writes nothing."""

    last: Record | None = None

    def passed(self, step: int, pass_index: int, stats: Mapping[str, float]) -> None: ...

    def stepped(self, record: Record) -> None: ...

    def converged(self) -> str | None:
        return None

    def finish(self, step: int) -> None: ...

    def close(self) -> None: ...


class RunRecorder:
    """Writes the run folder and tells the watchers."""

    def __init__(
        self,
        folder: RunFolder,
        config: Config,
        networks: Networks,
        optimisers: Optimisers,
        average: AveragedModel | None,
        *,
        windows: ClipWindows,
        order: BatchOrder,
        shown_clips: ClipSet,
        checkpoint_every: int,
        sample_every: int,
        milestone_every: int | None,
        convergence: Convergence | None,
        validation: Validation | None,
        watchers: Sequence[Watcher],
        say: Callable[[str], None],
    ) -> None:
        self._folder, self._config, self._say = folder, config, say
        self._networks, self._optimisers, self._average = networks, optimisers, average
        self._windows, self._order, self._shown_clips = windows, order, shown_clips
        self._checkpoint_every, self._sample_every = checkpoint_every, sample_every
        self._milestone_every, self._watchers = milestone_every, watchers
        first_step = order.first_step
        self._sampled = self._saved = first_step
        self._log = MetricsLog(folder.metrics_file, last_step=first_step)
        self._outliers = OutlierLog(folder, config, last_step=first_step)
        # Both follow from metrics.jsonl alone, so that a resume goes on as if there had been no stop.
        before = read_records(folder.metrics_file)
        self._convergence = None if convergence is None else ConvergenceWatch(convergence, before)
        self._collapse = CollapseWatch(config.training, before)
        self._validation, self._best = validation, None
        if validation is not None:
            self._best = BestCheckpoint(folder, validation.name, higher=validation.higher, before=before)
        self.last: Record | None = None
        start = RunStart(run=folder.path, config=config, metrics_file=folder.metrics_file, first_step=first_step)
        for watcher in watchers:
            watcher.begin(start)

    def passed(self, step: int, pass_index: int, stats: Mapping[str, float]) -> None:
        # Of the whole batch: other processes' clips are as suspect as this one's.
        windows = [self._windows.window(draw) for draw in self._order.whole(step, pass_index)]
        ids = [self._windows.clips.clips[window.clip].id for window in windows]
        self._outliers.passed(step + 1, pass_index, stats, windows, ids)

    def stepped(self, record: Record) -> None:
        step, ratio, sampled = record["step"], None, False
        if step % self._sample_every == 0:
            ratio, sampled = self._sample(step), True
            if ratio is not None:
                record["motion_ratio"] = ratio
        score: Score | None = None
        if self._validation is not None and step % self._validation.every == 0:
            score = self._validation.score(self._shown_generator())
            record[self._validation.name] = score.value
        self._log.append(record)
        self.last = record
        for watcher in self._watchers:
            watcher.step(record)
            if sampled:
                watcher.sample(step, self._folder.sample_file(step))
        warning = self._collapse.add(record)
        if warning is not None:
            self._say(f"warning: {warning}")
        if self._convergence is not None:
            self._convergence.add(record)
        best = score is not None and self._best is not None and self._best.beaten_by(score.value)
        if step % self._checkpoint_every == 0 or best:
            self._save(step)
        if best and score is not None and self._best is not None:
            self._best.keep(step, score.value, score.facts)

    def converged(self) -> str | None:
        return None if self._convergence is None else self._convergence.verdict()

    def finish(self, step: int) -> None:
        if self._sampled < step:
            self._sample(step)
            for watcher in self._watchers:
                watcher.sample(step, self._folder.sample_file(step))
        if self._saved < step:
            self._save(step)

    def close(self) -> None:
        self._log.close()
        self._outliers.close()

    def _sample(self, step: int) -> float | None:
        """Write a sample; how much its clips move against the real ones."""
        self._sampled = step
        return write_sample(self._folder.sample_file(step), self._shown_generator(), self._shown_clips, self._config)

    def _shown_generator(self) -> Generator:
        """The generator that is looked at: averaged where an average is kept."""
        generator = self._networks.generator if self._average is None else self._average.module
        if self._config.training.precision == "fp64":  # inference is float32
            generator = copy.deepcopy(generator).float()
        return cast(Generator, generator)

    def _save(self, step: int) -> None:
        self._log.sync()
        self._outliers.sync()
        state = snapshot(step, self._config, self._networks, self._optimisers, self._average)
        self._folder.checkpoints.save(step, state, milestone_every=self._milestone_every)
        weights = state["ema"] if self._average is not None else state["generator"]
        self._folder.write_model(weights, config=self._config, step=step, averaged=self._average is not None)
        self._saved = step


def named(d_stats: Sequence[Mapping[str, float]], g_stats: Mapping[str, float]) -> Record:
    """The statistics of a step under their names in metrics.jsonl; D's are means over the passes that have them."""
    record = {
        "loss_g": g_stats["g_loss"],
        **{f"loss_{name.replace('_loss', '')}": value for name, value in g_stats.items() if name.startswith("g_loss_")},
        "grad_norm_g": g_stats["g_grad_norm"],
    }
    for kind in ("d_s", "d_t", "d_v"):
        for ours, theirs in (
            (f"loss_{kind}", f"{kind}_loss"),
            (f"wasserstein_{kind[-1]}", f"{kind}_wasserstein"),
            (f"gp_{kind[-1]}", f"{kind}_penalty"),
            (f"grad_norm_{kind}", f"{kind}_grad_norm"),
        ):
            values = [stats[theirs] for stats in d_stats if theirs in stats]
            if values:
                record[ours] = sum(values) / len(values)
    return record


def memory_mb(device: torch.device) -> float:
    """Peak memory so far: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
