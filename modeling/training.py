"""The training loop: D passes, a G pass, the moving average, the log, a sample, a checkpoint; read it top to bottom.

A step is one update of the generator. Every random draw is a function of the seed and the step, so the loop's whole
state is the networks, the optimisers, the moving average and the step: a resume goes on bit for bit.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from modeling.conditions import conditions_of, open_for, remarks_on, windows_for
from modeling.config import Config
from modeling.data import BatchOrder, ClipSet, DataError, batches, to_float
from modeling.errors import ModelingError
from modeling.files import write_json
from modeling.interruption import Interruption
from modeling.networks import Generator
from modeling.networks.ema import averaged
from modeling.outliers import OutlierLog
from modeling.prefetch import ReadAhead
from modeling.run import MetricsLog, RunFolder, require_same_networks
from modeling.samples import write_sample
from modeling.schedule import cosine_begins, learning_rate
from modeling.state import restore, snapshot
from modeling.step import (
    NonFiniteError,
    build_networks,
    build_optimisers,
    discriminator_pass,
    draws_for,
    generator_pass,
    micro_batch_size,
)
from modeling.watchers import RunStart, Watcher


@dataclass(frozen=True, kw_only=True)
class TrainingRequest:
    """What `modeling train` was asked for; `config.training.steps` is the number of steps in all."""

    data: Path  #                          a folder of shards
    run: Path
    config: Config
    device: torch.device
    checkpoint_every: int = 100  #         steps
    sample_every: int = 100  #             steps
    milestone_every: int | None = None  #  checkpoints at its multiples are kept for good
    workers: int = 0  #                    processes that read shards; memory-mapped uint8 needs none
    accept_new_data: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How far a call came. `signal`: what interrupted it, None where all steps are done."""

    first_step: int
    step: int
    steps: int
    seconds: float
    signal: int | None
    last: dict[str, Any] | None  # the last line of metrics.jsonl, None where no step was left to do


def train(
    request: TrainingRequest, watchers: Sequence[Watcher] = (), say: Callable[[str], None] = lambda line: None
) -> TrainingResult:
    """Train `request.run` until it has `request.config.training.steps` steps, from its last checkpoint on.

    Raises RunError, DataError or ShardError before anything is changed where the request cannot be met; a
    ModelingError for a full disk or a loss that is not finite (the newest checkpoint stays as it was).
    """
    folder, device, config = RunFolder(request.run), request.device, request.config

    folder.check_config(config)

    # Data: what to train on, and what to look at while training.
    train_clips = open_for(config, request.data, "train")
    shown_clips = _clips_to_show(request, train_clips, say)
    windows = windows_for(config, train_clips)
    for remark in remarks_on(train_clips, config.frames):
        say(remark)

    with folder.locked(), Interruption() as interruption:
        # Run folder: a new one, or one of the same configuration and data.
        folder.check_config(config)  # again, now that no other process can make it another
        folder.record_environment(
            {"train": train_clips, shown_clips.split: shown_clips},
            seed=config.training.seed,
            device=str(device),
            accept_new_data=request.accept_new_data,
        )
        folder.record_config(config)
        for warning in config.warnings():
            say(f"warning: {warning}")

        # Networks, optimisers, moving average: new, or from the newest checkpoint.
        networks = build_networks(config, device)
        optimisers = build_optimisers(networks, config)
        decay = config.training.ema_decay
        average = None if decay is None else averaged(networks.generator, decay, warmup=config.training.ema_warmup)
        shown = networks.generator if average is None else cast(Generator, average.module)
        first_step = 0
        resumed = folder.checkpoints.load_newest(device, say)
        if resumed is not None:
            file, state = resumed
            require_same_networks(file, state, config)
            first_step = restore(file, state, networks, optimisers, average)
            say(f"resuming from {file} at step {first_step}")

        training, clips = config.training, len(train_clips.clips)
        if training.schedule == "cosine" and cosine_begins(training, clips) >= training.schedule_steps:
            say(
                f"{training.constant_epochs} epochs of {clips} clips are longer than schedule_steps="
                f"{training.schedule_steps}: the learning rate stays at {training.lr:g} (`--set constant_epochs=...`)"
            )
        per_pass = -(-training.batch // micro_batch_size(config))  # micro-batches
        order = BatchOrder(
            first_step=first_step, end_step=training.steps, d_passes=training.d_passes, batch=training.batch
        )
        loader = ReadAhead(batches(windows, order, workers=request.workers))
        log = MetricsLog(folder.metrics_file, last_step=first_step)
        outliers = OutlierLog(folder, config, last_step=first_step)
        for watcher in watchers:
            watcher.begin(
                RunStart(run=folder.path, config=config, metrics_file=folder.metrics_file, first_step=first_step)
            )
        record: dict[str, Any] | None = None
        began = time.perf_counter()
        step = sampled = saved = first_step

        def sample(step: int) -> int:
            video = folder.sample_file(step)
            write_sample(video, shown, shown_clips, config)
            for watcher in watchers:
                watcher.sample(step, video)
            return step

        def save(step: int) -> int:
            log.sync()
            outliers.sync()
            state = snapshot(step, config, networks, optimisers, average)
            folder.checkpoints.save(step, state, milestone_every=request.milestone_every)
            weights = state["ema"] if average is not None else state["generator"]
            folder.write_model(weights, config=config, step=step, averaged=average is not None)
            return step

        # The loop. `step` counts generator updates done.
        try:
            while step < training.steps and interruption.signal is None:
                step_began = time.perf_counter()
                lr = learning_rate(training, step, clips)
                optimisers.set_learning_rate(lr)

                d_stats = []
                for d_pass in range(training.d_passes):
                    batch = next(loader)
                    draws = draws_for(config, step=step, pass_index=d_pass)
                    real_BT3HW, given = to_float(batch.frames, device), conditions_of(batch, config, device)
                    d_stats.append(discriminator_pass(networks, optimisers, real_BT3HW, draws, config, given))
                    outliers.passed(step + 1, d_pass, d_stats[-1], batch.windows, batch.clip_ids)

                batch = next(loader)
                draws = draws_for(config, step=step, pass_index=training.d_passes)
                real_BT3HW, given = to_float(batch.frames, device), conditions_of(batch, config, device)
                g_stats = generator_pass(networks, optimisers, real_BT3HW, draws, config, given)
                outliers.passed(step + 1, training.d_passes, g_stats, batch.windows, batch.clip_ids)
                if average is not None:
                    average.update_parameters(networks.generator)
                step += 1

                seconds = time.perf_counter() - step_began
                record = {
                    "step": step,
                    "epoch": round(step * training.d_passes * training.batch / clips, 4),
                    "micro_batches": step * (training.d_passes + 1) * per_pass,
                    **_named(d_stats, g_stats),
                    "lr": lr,
                    "seconds": round(seconds, 4),
                    "wait": round(loader.waited(), 4),  # of these, for the loader
                    "clips_per_second": round((training.d_passes + 1) * training.batch / seconds, 3),
                    "memory_mb": _memory_mb(device),
                }
                log.append(record)
                for watcher in watchers:
                    watcher.step(record)

                if step % request.sample_every == 0:
                    sampled = sample(step)
                if step % request.checkpoint_every == 0:
                    saved = save(step)

            # The end, or a signal: what is not saved yet.
            if sampled < step:
                sample(step)
            if saved < step:
                save(step)
        except NonFiniteError as error:
            file = folder.path / f"non-finite-step-{step:08d}.json"
            write_json(
                file,
                {
                    "step": step,
                    "pass": error.draws.pass_index,
                    "quantity": error.quantity,
                    "value": str(error.value),
                    "clips": [
                        {"id": clip, "start": window.start, "flip": window.flip}
                        for clip, window in zip(batch.clip_ids, batch.windows, strict=True)
                    ],
                },
            )
            raise ModelingError(
                f"{error}; the batch's clips are in {file}: review them, or lower training.lr"
            ) from None
        except torch.OutOfMemoryError as error:
            raise ModelingError(
                f"the GPU's memory is full ({str(error).splitlines()[0]}): lower training.micro_batch"
            ) from None
        finally:
            log.close()
            outliers.close()
            loader.close()
        return TrainingResult(
            first_step=first_step,
            step=step,
            steps=training.steps,
            seconds=time.perf_counter() - began,
            signal=interruption.signal,
            last=record,
        )


def _clips_to_show(request: TrainingRequest, train_clips: ClipSet, say: Callable[[str], None]) -> ClipSet:
    """The clips whose samples are watched: val, or train where val has none."""
    config = request.config
    try:
        val = open_for(config, request.data, "val")
    except DataError as error:
        say(str(error))
        return train_clips
    if not val.clips:
        say("split val is empty: the samples show clips of train")
        return train_clips
    return val


def _named(d_stats: list[dict[str, float]], g_stats: dict[str, float]) -> dict[str, float]:
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


def _memory_mb(device: torch.device) -> float:
    """Peak memory so far: of the GPU where there is one, else of this process."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
