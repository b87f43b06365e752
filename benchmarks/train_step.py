"""A training step (2 D passes with penalties, 1 G pass, accumulation) against a plain one.

    python benchmarks/train_step.py [--preset bair-64] [--clips 1] [--rounds 3] [--threads N]

The plain side follows the text literally: generator frame by frame with a weight a frame and a graph in the D passes
too, convolution and then pooling. `ours` does the same work on the same draws with the same result, which is checked on
the first pass. `lazy and pooled` is another training, named as such: the penalty every 16th D pass, D_T on frames of
half the size. A step's time is made up of its passes' medians, each kind of pass timed by itself in turn.
Targets at bair-64: ours at least 1.3 times faster than plain, lazy and pooled at least 3 times. `modeling bench` prints
where the time goes. `--clips` is the batch, one clip a micro-batch.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling import presets  # noqa: E402
from modeling.config import Config, apply_overrides  # noqa: E402
from modeling.networks import Generator, blocks, convolution  # noqa: E402
from modeling.training.draws import draws_for  # noqa: E402
from modeling.training.recorder import memory_mb  # noqa: E402
from modeling.training.step import (  # noqa: E402
    Networks,
    build_networks,
    build_optimisers,
    discriminator_pass,
    generator_pass,
    penalty_is_due,
)
from tests.modeling import literal_networks as literal  # noqa: E402

LAZY = 16  # D passes a penalty
TARGETS = {"ours": 1.3, "lazy and pooled": 3.0}
CLOSE = 1e-3  # relative difference of float32 statistics between ours and plain


class PlainGenerator(torch.nn.Module):
    """The twin as a network; in the D passes it makes a graph that nobody uses."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.fast = generator

    def forward(
        self, context_BK3HW: Tensor, frames: int, noise: list[int], mask: Tensor | None, mixing: object
    ) -> Tensor:
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            video = literal.generate(self.fast, context_BK3HW[:, 0], frames, noise)
        return video if wanted else video.detach()

    def after_update(self) -> None:
        self.fast.after_update()


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Blocks that convolve at full size and then pool, 3-D convolutions as they are."""

    def block(self: blocks.ResidualBlock, x: Tensor) -> Tensor:
        return literal.dresnet_block(self, x)

    with patch.object(blocks.ResidualBlock, "forward", block), patch.object(convolution, "FEW_CHANNELS", 0):
        yield


@dataclass
class Side:
    """One way to take a step; `passes` gives what a pass index of step 0 is and how often a step has such a one."""

    config: Config
    passes: dict[int, float]
    plain: bool = False
    times: dict[int, list[float]] = field(default_factory=dict)
    stats: dict[str, float] = field(default_factory=dict)  # of the first pass

    def run(self, networks: Networks, clips_BT3HW: Tensor, index: int) -> float:
        """Seconds of the pass `index` on copies of the networks."""
        networks = copy.deepcopy(networks)
        optimisers = build_optimisers(networks, self.config)
        run = generator_pass if index == self.config.training.d_passes else discriminator_pass
        draws = draws_for(self.config, step=0, pass_index=index)
        if self.plain:
            plain = cast(Generator, PlainGenerator(networks.generator))
            networks = Networks(generator=plain, discriminators=networks.discriminators)
        with plainly() if self.plain else contextlib.nullcontext():
            begin = time.perf_counter()
            stats = run(networks, optimisers, clips_BT3HW, draws, self.config)
            seconds = time.perf_counter() - begin
        if index == 0:
            self.stats = stats
        return seconds

    def step(self) -> float:
        """Seconds a step, from the medians of its passes."""
        return sum(share * statistics.median(self.times[index]) for index, share in self.passes.items())


def sides(config: Config) -> dict[str, Side]:
    passes = config.training.d_passes
    lazy = apply_overrides(config, [f"training.penalty_every={LAZY}", "d_t.pool=2"])
    # Pass 0 has the penalty, pass 1 has none.
    assert penalty_is_due(lazy, draws_for(lazy, step=0, pass_index=0))
    assert not penalty_is_due(lazy, draws_for(lazy, step=0, pass_index=1))
    every_pass = {0: float(passes), passes: 1.0}
    return {
        "plain": Side(config, every_pass, plain=True),
        "ours": Side(config, every_pass),
        "lazy and pooled": Side(lazy, {0: passes / LAZY, 1: passes * (1 - 1 / LAZY), passes: 1.0}),
    }


def worst_difference(one: dict[str, float], two: dict[str, float]) -> float:
    return max(abs(one[name] - two[name]) / max(1.0, abs(two[name])) for name in two)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="bair-64", choices=presets.PRESETS)
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None, help="torch's threads (default: its own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    config = apply_overrides(presets.get(arguments.preset), [f"training.batch={arguments.clips}", "micro_batch=1"])
    R, T = config.resolution, config.frames
    source = torch.Generator().manual_seed(0)
    small = torch.rand(arguments.clips * T, 3, 8, 8, generator=source) * 2 - 1
    clips = F.interpolate(small, size=(R, R), mode="bilinear").reshape(arguments.clips, T, 3, R, R)
    compared = sides(config)
    networks = {name: build_networks(side.config) for name, side in compared.items()}
    peaks: dict[str, float] = {}
    for round_number in range(arguments.rounds + 1):  # the first one warms up
        # Ours first: the peak of a process only grows, so each one's own is seen in this order.
        for name in ("lazy and pooled", "ours", "plain"):
            side = compared[name]
            for index in side.passes:
                seconds = side.run(networks[name], clips, index)
                if round_number:
                    side.times.setdefault(index, []).append(seconds)
            peaks.setdefault(name, memory_mb(torch.device("cpu")))

    print(f"{config.preset}, {arguments.clips} clip(s), {T} frames, {torch.get_num_threads()} thread(s)")
    worst = worst_difference(compared["ours"].stats, compared["plain"].stats)
    print(f"largest relative difference of the first pass's losses, penalties and gradient norms: {worst:.1e}")
    if worst > CLOSE:
        sys.exit(f"ours and plain do not compute the same: {compared['ours'].stats} and {compared['plain'].stats}")
    for name, side in compared.items():
        print(f"{name:15}  {side.step():.3f} s a step, process peak by then {peaks[name]:.0f} MB")
    for name, target in TARGETS.items():
        ratio = compared["plain"].step() / compared[name].step()
        print(f"plain / {name}: {ratio:.2f} (target at bair-64: at least {target})")


if __name__ == "__main__":
    main()
