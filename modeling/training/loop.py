"""The training loop: D passes, a G pass, the moving average, the log, a sample, a checkpoint; read it top to bottom.

A step is one update of the generator. Every random draw is a function of the seed and the step, so the loop's whole
state is the networks, the optimisers, the moving average and the step: a resume goes on bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from modeling.config import Config
from modeling.data.conditions import conditions_of, open_for, remarks_on, windows_for
from modeling.data.prefetch import ReadAhead
from modeling.data.windows import Batch, BatchOrder, ClipSet, DataError, batches, to_float
from modeling.errors import ModelingError
from modeling.networks.ema import averaged
from modeling.runs.folder import RunFolder, require_same_networks
from modeling.training.compilers import require_compiler
from modeling.training.convergence import Convergence, require_estimate
from modeling.training.distributed import Processes
from modeling.training.execution import EAGER, Execution
from modeling.training.fitting import out_of_memory, settle
from modeling.training.interruption import Interruption
from modeling.training.nonfinite import save as save_non_finite
from modeling.training.precision import dtype_of, matrix_products
from modeling.training.recorder import Nobody, Record, Recorder, RunRecorder, memory_mb, named
from modeling.training.schedule import cosine_begins, learning_rate
from modeling.training.state import restore, snapshot
from modeling.training.step import (
    NonFiniteError,
    build_networks,
    build_optimisers,
    discriminator_pass,
    draws_for,
    generator_pass,
    micro_batch_size,
)
from modeling.training.validation import Validation
from modeling.watchers import Watcher


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
    convergence: Convergence | None = None  # stop by itself before `steps`


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """How far a call came. `signal`: what interrupted it; `converged`: why it stopped by itself."""

    first_step: int
    step: int
    steps: int
    seconds: float
    signal: int | None
    last: Record | None  # the last line of metrics.jsonl, None where no step was left to do
    converged: str | None = None


def train(
    request: TrainingRequest,
    watchers: Sequence[Watcher] = (),
    say: Callable[[str], None] = lambda line: None,
    processes: Processes | None = None,
) -> TrainingResult:
    """Train `request.run` until it has `request.config.training.steps` steps, from its last checkpoint on.

    `processes`: those that share each batch, every one of which calls this with the same request (default: this one
    alone); only the first writes, speaks and tells the watchers.

    Raises RunError, DataError, ShardError or ConfigError before anything is changed where the request cannot be met; a
    ModelingError for a full disk or a loss that is not finite (the newest checkpoint stays as it was).
    """
    processes = processes or Processes(device=request.device)
    folder, device, config = RunFolder(request.run), processes.device, request.config
    if not processes.first:
        say = _silent
    part = processes.part(config.training.batch)
    if request.convergence is not None:
        require_estimate(config)
    if config.training.compile:
        require_compiler(device)

    folder.check_config(config)

    # Data: what to train on, and what to look at while training.
    train_clips = open_for(config, request.data, "train")
    shown_clips = _clips_to_show(request, train_clips, say)
    windows = windows_for(config, train_clips)
    for remark in remarks_on(train_clips, config.frames):
        say(remark)
    validation = None
    if config.checks.evaluate_every and processes.first:
        validation = Validation(config, request.data, request.run, device, say)

    with ExitStack() as stack:
        # Run folder: a new one, or one of the same configuration and data.
        if processes.first:
            stack.enter_context(folder.locked())
        interruption = stack.enter_context(Interruption(patient=processes.size > 1))
        stack.enter_context(matrix_products(config))
        if processes.first:
            folder.check_config(config)  # again, now that no other process can make it another
            folder.record_environment(
                {"train": train_clips, shown_clips.split: shown_clips},
                seed=config.training.seed,
                device=str(device),
                processes=processes.size,
                accept_new_data=request.accept_new_data,
            )
            folder.record_config(config)
        processes.wait()
        for warning in config.warnings():
            say(f"warning: {warning}")
        config, choice = settle(config, processes, folder.noted("micro_batch"), say)
        if processes.first and choice is not None:
            folder.note("micro_batch", choice)

        # Networks, optimisers, moving average: new, or from the newest checkpoint.
        networks = build_networks(config, device)
        optimisers = build_optimisers(networks, config)
        decay = config.training.ema_decay
        average = None if decay is None else averaged(networks.generator, decay, warmup=config.training.ema_warmup)
        first_step = 0
        resumed = folder.checkpoints.load_newest(device, say)
        if resumed is not None:
            file, state = resumed
            require_same_networks(file, state, config)
            first_step = restore(file, state, networks, optimisers, average)
            say(f"resuming from {file} at step {first_step}")
        if processes.smallest(first_step) != processes.largest(first_step)[0]:
            raise ModelingError(f"the processes see different checkpoints in {folder.path}: it must be shared by all")

        execution: Execution = EAGER
        if config.training.compile:
            # Only here: the compiler takes seconds to import.
            from modeling.training.compiled import CompiledExecution, compiler_errors

            execution = CompiledExecution(networks, config)
            stack.enter_context(compiler_errors())

        training, clips = config.training, len(train_clips.clips)
        if training.schedule == "cosine" and cosine_begins(training, clips) >= training.schedule_steps:
            say(
                f"{training.constant_epochs} epochs of {clips} clips are longer than schedule_steps="
                f"{training.schedule_steps}: the learning rate stays at {training.lr:g} (`--set constant_epochs=...`)"
            )
        per_pass = processes.size * -(-len(part) // micro_batch_size(config))  # micro-batches
        order = BatchOrder(
            first_step=first_step,
            end_step=training.steps,
            d_passes=training.d_passes,
            batch=training.batch,
            part=part,
        )
        recorder: Recorder = Nobody()
        if processes.first:
            recorder = RunRecorder(
                folder,
                request.config,
                networks,
                optimisers,
                average,
                windows=windows,
                order=order,
                shown_clips=shown_clips,
                checkpoint_every=request.checkpoint_every,
                sample_every=request.sample_every,
                milestone_every=request.milestone_every,
                convergence=request.convergence,
                validation=validation,
                watchers=watchers,
                say=say,
            )
        stack.callback(recorder.close)
        loader = ReadAhead(batches(windows, order, workers=request.workers))
        stack.callback(loader.close)

        step, began = first_step, time.perf_counter()
        batch: Batch | None = None

        def one_pass(pass_index: int) -> dict[str, float]:
            nonlocal batch
            batch = next(loader)
            draws = draws_for(config, step=step, pass_index=pass_index, samples=part)
            real_BT3HW = to_float(batch.frames, device).to(dtype_of(config))
            run = generator_pass if pass_index == training.d_passes else discriminator_pass
            given = conditions_of(batch, config, device)
            stats = run(networks, optimisers, real_BT3HW, draws, config, given, processes, execution)
            recorder.passed(step, pass_index, stats)
            return stats

        # The loop. `step` counts generator updates done.
        try:
            while True:
                # All processes stop at the same step, whichever of them was told to.
                converged = recorder.converged()
                signal, stop = processes.largest(interruption.signal or 0, converged is not None)
                if signal or stop or step >= training.steps:
                    break
                step_began = time.perf_counter()
                lr = learning_rate(training, step, clips)
                optimisers.set_learning_rate(lr)
                d_stats = [one_pass(d_pass) for d_pass in range(training.d_passes)]
                g_stats = one_pass(training.d_passes)
                if average is not None:
                    average.update_parameters(networks.generator)
                step += 1
                seconds = time.perf_counter() - step_began
                recorder.stepped(
                    {
                        "step": step,
                        "epoch": round(step * training.d_passes * training.batch / clips, 4),
                        "micro_batches": step * (training.d_passes + 1) * per_pass,
                        **named(d_stats, g_stats),
                        "lr": lr,
                        "seconds": round(seconds, 4),
                        "wait": round(loader.waited(), 4),  # of these, for the loader
                        "clips_per_second": round((training.d_passes + 1) * training.batch / seconds, 3),
                        "memory_mb": memory_mb(device),
                    }
                )
            recorder.finish(step)
        except NonFiniteError as error:
            # In all processes at once: what was not finite is the whole batch's sum.
            file = folder.path / f"non-finite-step-{step:08d}.json"
            if processes.first:
                if batch is None or processes.size > 1:
                    batch = windows[order.whole(step, error.draws.pass_index)]
                whole = draws_for(config, step=step, pass_index=error.draws.pass_index)
                save_non_finite(file, error, batch, whole, snapshot(step, config, networks, optimisers, average))
            processes.wait()
            raise ModelingError(
                f"{error}; the batch's clips are in {file}, its frames and draws beside it: review them "
                "(`modeling outliers` ranks those that stood out before), or lower training.lr"
            ) from None
        except torch.OutOfMemoryError as error:
            raise ModelingError(out_of_memory(error, config, device)) from None
        return TrainingResult(
            first_step=first_step,
            step=step,
            steps=training.steps,
            seconds=time.perf_counter() - began,
            signal=signal or None,
            last=recorder.last,
            converged=converged,
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


def _silent(line: str) -> None:
    """What processes other than the first have to say."""
