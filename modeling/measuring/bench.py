"""Where a training step's time goes: whole steps, their parts, floating-point operations, memory, the loader's share.

Whole steps run undisturbed. The parts come from passes that are stopped at each border to look at the clock (on a GPU
after it has done all that it was told), a discriminator's penalty being what a pass with it takes longer than one
without. Operations are counted on one clip, once, and grow with the batch.
"""

from __future__ import annotations

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from modeling.config import Config
from modeling.data.conditions import Conditions, conditions_of, open_for, windows_for
from modeling.data.prefetch import ReadAhead
from modeling.data.windows import BatchOrder, ClipWindows, batches, to_float
from modeling.errors import UsageError
from modeling.networks import Discriminator
from modeling.training.compilers import require_compiler
from modeling.training.execution import EAGER, Execution, Look
from modeling.training.precision import dtype_of, matrix_products
from modeling.training.recorder import memory_mb
from modeling.training.step import (
    Networks,
    Optimisers,
    build_networks,
    build_optimisers,
    discriminator_pass,
    draws_for,
    generator_pass,
)

REST = "the rest"  # draws, views, gradient norms and clipping, power iteration
NAMES = {"d_s": "D_S", "d_t": "D_T", "d_v": "D_V"}
MATRIX = {"cuda": 8192, "cpu": 1024}  # side of the product that gives the ceiling
Given = tuple[Tensor, Conditions]  # clips (B, T, 3, R, R) in [-1, 1], and what comes along with them


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a step: its seconds and its floating-point operations."""

    name: str
    seconds: float
    flops: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a step takes; times are medians over the rounds."""

    seconds: float  #          a whole step, batches at hand
    parts: list[Part]  #       their sum differs from `seconds` by what stopping at the borders costs
    clips_per_second: float
    flops: float  #            of a step
    ceiling: float  #          operations a second of a large matrix product in the same precision
    memory_mb: float  #        peak: of the GPU, or of the process
    wait: float | None  #      seconds a step that the loop waited for the loader; None without data

    @property
    def utilisation(self) -> float:
        """Model operations a second over the ceiling."""
        return self.flops / self.seconds / self.ceiling


class Timeline:
    """Splits a pass into named parts: what `meter` advances until the next border belongs to the part before it."""

    def __init__(self, meter: Callable[[], float]) -> None:
        self._meter, self._current, self._at = meter, REST, 0.0
        self.spent: dict[str, float] = defaultdict(float)

    def begin(self) -> None:
        self._current, self._at = REST, self._meter()

    def enter(self, name: str) -> None:
        now = self._meter()
        self.spent[self._current] += now - self._at
        self._current, self._at = name, now


class _Watched(Execution):
    """Another execution, with borders around each discriminator's work."""

    def __init__(self, inner: Execution, timeline: Timeline) -> None:
        self._inner, self._timeline = inner, timeline

    def discriminate(
        self, name: str, network: Discriminator, look: Look, config: Config, weight: float | None, share: float
    ) -> dict[str, Tensor]:
        self._timeline.enter(NAMES[name])
        stats = self._inner.discriminate(name, network, look, config, weight, share)
        self._timeline.enter(REST)
        return stats

    def scores(self, name: str, network: Discriminator, view: Tensor, condition_B3HW: Tensor | None) -> Tensor:
        return self._inner.scores(name, network, view, condition_B3HW)


@contextmanager
def _borders(networks: Networks, optimisers: Optimisers, timeline: Timeline) -> Iterator[None]:
    """Borders at the generator's forward and backward pass and at the optimisers."""

    def made(_network: object, _inputs: object, video: Tensor) -> None:
        if not video.requires_grad:
            timeline.enter(REST)
            return
        timeline.enter("discriminators in G's pass")
        # The gradient has come through all discriminators once it is here.
        video.register_hook(lambda _gradient: timeline.enter("G backward"))  # type: ignore[no-untyped-call]

    def called(_network: object, _inputs: object) -> None:
        timeline.enter("G forward" if torch.is_grad_enabled() else "G forward for D")

    handles: list[Any] = [
        networks.generator.register_forward_pre_hook(called),
        networks.generator.register_forward_hook(made),
    ]
    for _, optimiser in optimisers:
        handles.append(optimiser.register_step_pre_hook(lambda *_: timeline.enter("optimisers")))
        handles.append(optimiser.register_step_post_hook(lambda *_: timeline.enter(REST)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def bench(config: Config, device: torch.device, *, data: Path | None = None, rounds: int = 3) -> Measured:
    """Measure `rounds` steps of `config` on `device`, with batches from the shards in `data` or random ones.

    UsageError for `rounds` below 1; DataError and ShardError for data that do not fit.
    """
    if rounds < 1:
        raise UsageError(f"--rounds must be 1 or more, not {rounds}")
    # A lazy penalty falls due every few passes: measure whole turns of it.
    turn = config.training.penalty_every // math.gcd(config.training.penalty_every, config.training.d_passes)
    rounds = -(-rounds // turn) * turn
    windows = None if data is None else windows_for(config, open_for(config, data, "train"))
    with matrix_products(config):
        networks = build_networks(config, device)
        optimisers = build_optimisers(networks, config)
        execution: Execution = EAGER
        if config.training.compile:
            require_compiler(device)
            # Only here: the compiler takes seconds to import.
            from modeling.training.compiled import CompiledExecution

            execution = CompiledExecution(networks, config)
        given = random_batch(config, device)
        _step(networks, optimisers, lambda: given, config, execution, step=0)  # warm
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        whole = [
            _seconds(lambda step=step: _step(networks, optimisers, lambda: given, config, execution, step), device)  # type: ignore[misc]
            for step in range(rounds)
        ]
        seconds = statistics.median(whole) if turn == 1 else statistics.mean(whole)
        memory = memory_mb(device)
        wait = None if windows is None else _waits(networks, optimisers, config, execution, windows, device, rounds)
        clock = _parts(networks, optimisers, given, config, execution, lambda: _now(device), rounds)
        operations = _operations(networks, optimisers, config, device)
        ceiling = matmul_ceiling(config, device)
    batch = config.training.batch
    parts = [Part(name=name, seconds=spent, flops=operations.get(name, 0.0) * batch) for name, spent in clock.items()]
    return Measured(
        seconds=seconds,
        parts=parts,
        clips_per_second=(config.training.d_passes + 1) * batch / seconds,
        flops=sum(operations.values()) * batch,
        ceiling=ceiling,
        memory_mb=memory,
        wait=wait,
    )


def random_batch(config: Config, device: torch.device) -> Given:
    """A batch of noise with all that the generator takes."""
    B, k, R = config.training.batch, config.generator.context_frames, config.resolution
    source = torch.Generator().manual_seed(0)
    clips = (torch.rand(B, config.frames, 3, R, R, generator=source) * 2 - 1).to(device, dtype_of(config))
    mask = clips.new_ones(B, config.generator.mask_classes, R, R) if config.generator.mask_classes else None
    mixed = bool(config.generator.style_mixing and k)
    return clips, Conditions(
        mask=mask, other_context=clips[:, :k] if mixed else None, other_mask=mask if mixed else None
    )


def _step(
    networks: Networks,
    optimisers: Optimisers,
    batch: Callable[[], Given],
    config: Config,
    execution: Execution,
    step: int,
) -> None:
    for index in range(config.training.d_passes + 1):
        run = generator_pass if index == config.training.d_passes else discriminator_pass
        clips, conditions = batch()
        draws = draws_for(config, step=step, pass_index=index)
        run(networks, optimisers, clips, draws, config, conditions, execution=execution)


def _parts(
    networks: Networks,
    optimisers: Optimisers,
    given: Given,
    config: Config,
    execution: Execution,
    meter: Callable[[], float],
    rounds: int,
) -> dict[str, float]:
    """What each part of a step adds to the meter: medians over rounds, penalties by difference and as often as due."""
    without = replace(config, training=replace(config.training, lambda_gp=0.0))
    passes = {
        "with": (discriminator_pass, config),
        "without": (discriminator_pass, without),
        "g": (generator_pass, config),
    }
    seen: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in passes}
    for _ in range(rounds):
        for name, (run, configured) in passes.items():
            timeline = Timeline(meter)
            with _borders(networks, optimisers, timeline):
                timeline.begin()
                draws = draws_for(configured, step=0, pass_index=0)  # the first pass takes a lazy penalty too
                run(
                    networks, optimisers, given[0], draws, configured, given[1], execution=_Watched(execution, timeline)
                )
                timeline.enter(REST)
            for part, spent in timeline.spent.items():
                seen[name][part].append(spent)
    median = {name: {part: statistics.median(spent) for part, spent in parts.items()} for name, parts in seen.items()}
    training, critics = config.training, [NAMES[name] for name in networks.discriminators]
    parts: dict[str, float] = defaultdict(float)
    for part in ("G forward for D", *critics):
        parts[part] = training.d_passes * median["without"][part]
        if part in critics and training.gradient_penalty != "none":
            due = training.d_passes / training.penalty_every
            parts[f"{part} penalty"] = due * max(0.0, median["with"][part] - median["without"][part])
    for part in ("G forward", "discriminators in G's pass", "G backward"):
        parts[part] = median["g"][part]
    for part in ("optimisers", REST):
        parts[part] = training.d_passes * median["without"][part] + median["g"][part]
    return dict(parts)


class _NoModules:
    """In the place of the counter's own division by modules, which fails on parameters given to a module in no_grad."""

    parents: ClassVar[set[str]] = {"Global"}

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _operations(networks: Networks, optimisers: Optimisers, config: Config, device: torch.device) -> dict[str, float]:
    """Floating-point operations of each part, on one clip, as the passes are written (compiled ones hide theirs)."""
    one = replace(config, training=replace(config.training, batch=1, micro_batch=1))
    given = random_batch(one, device)
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        return _parts(networks, optimisers, given, one, EAGER, lambda: float(counter.get_total_flops()), rounds=1)


def _waits(
    networks: Networks,
    optimisers: Optimisers,
    config: Config,
    execution: Execution,
    windows: ClipWindows,
    device: torch.device,
    rounds: int,
) -> float:
    """Seconds a step that the loop waits for batches from shards, after a first step in which the reader starts."""
    training = config.training
    order = BatchOrder(first_step=0, end_step=rounds + 1, d_passes=training.d_passes, batch=training.batch)
    loader = ReadAhead(batches(windows, order))

    def batch() -> Given:
        found = next(loader)
        return to_float(found.frames, device).to(dtype_of(config)), conditions_of(found, config, device)

    waits = []
    try:
        for step in range(rounds + 1):
            _step(networks, optimisers, batch, config, execution, step)
            waits.append(loader.waited())
    finally:
        loader.close()
    return statistics.mean(waits[1:])


def matmul_ceiling(config: Config, device: torch.device) -> float:
    """Operations a second of a large square matrix product in the precision of the networks' passes: the best of 5."""
    side = MATRIX[device.type]
    kind = torch.bfloat16 if config.training.precision == "bf16" else dtype_of(config)
    a = torch.randn(side, side, device=device).to(kind)
    a @ a
    return 2 * side**3 / min(_seconds(lambda: a @ a, device) for _ in range(5))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    began = _now(device)
    work()
    return _now(device) - began
