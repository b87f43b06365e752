"""A training step (2 D passes with penalties, 1 G pass, accumulation) against a plain one, and where its time goes.

    python benchmarks/train_step.py [--preset bair-64] [--clips 1] [--rounds 3] [--threads N]

The plain side follows the text literally: generator frame by frame with a weight a frame and a graph in the D passes
too, convolution and then pooling. Both sides do the same work on the same draws with the same result. `--clips` is the
batch, one clip a micro-batch. Target at bair-64: at least 1.3 times faster.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling import presets  # noqa: E402
from modeling.config import Config, apply_overrides  # noqa: E402
from modeling.draws import draws_for  # noqa: E402
from modeling.losses import gradient_penalty_spatial, gradient_penalty_temporal  # noqa: E402
from modeling.networks import blocks, convolution  # noqa: E402
from modeling.step import (  # noqa: E402
    Networks,
    Optimisers,
    build_networks,
    build_optimisers,
    discriminator_pass,
    generator_pass,
)
from tests.modeling import literal_networks as literal  # noqa: E402

TARGET = 1.3


def one_step(networks: Networks, optimisers: Optimisers, clips_BT3HW: Tensor, config: Config) -> list[float]:
    """A whole step; every pass's statistics, to compare the two sides by."""
    stats: list[float] = []
    for pass_index in range(config.training.d_passes):
        draws = draws_for(config, step=0, pass_index=pass_index)
        stats += discriminator_pass(networks, optimisers, clips_BT3HW, draws, config).values()
    draws = draws_for(config, step=0, pass_index=config.training.d_passes)
    stats += generator_pass(networks, optimisers, clips_BT3HW, draws, config).values()
    return stats


class PlainGenerator(torch.nn.Module):
    """The twin as a network; in the D passes it makes a graph that nobody uses."""

    def __init__(self, generator: torch.nn.Module) -> None:
        super().__init__()
        self.fast = generator

    def forward(self, image_B3HW: Tensor, frames: int, noise: list[int]) -> Tensor:
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            video = literal.generate(self.fast, image_B3HW, frames, noise)
        return video if wanted else video.detach()


def plain_block(block: blocks.ResidualBlock, x: Tensor) -> Tensor:
    return literal.dresnet_block(block, x)


def plain_step(networks: Networks, optimisers: Optimisers, clips_BT3HW: Tensor, config: Config) -> list[float]:
    """The same passes with literal networks in the place of ours."""
    plain = SimpleNamespace(generator=PlainGenerator(networks.generator), d_s=networks.d_s, d_t=networks.d_t)
    with (
        patch.object(blocks.ResidualBlock, "forward", plain_block),
        patch.object(convolution, "FEW_CHANNELS", 0),
    ):
        return one_step(plain, optimisers, clips_BT3HW, config)  # type: ignore[arg-type]


def breakdown(networks: Networks, clips_BT3HW: Tensor, config: Config) -> dict[str, Callable[[], Tensor]]:
    """What a step is made of, for one clip, each as something to call backward on."""
    real, draws = clips_BT3HW[:1], draws_for(config, step=0, pass_index=0, samples=[0])
    with torch.no_grad():
        fake = networks.generator(real[:, 0], config.frames, draws.noise)
    real_k, fake_k = real[:, 1 : config.d_s.frames + 1], fake[:, 1 : config.d_s.frames + 1]
    image = real[:, 0]
    return {
        "G": lambda: networks.generator(image, config.frames, draws.noise).sum(),
        "D_S": lambda: networks.d_s(torch.cat((real_k, fake_k)), torch.cat((image, image))).sum(),
        "D_S penalty": lambda: gradient_penalty_spatial(networks.d_s, real_k, fake_k, image, draws.alpha_s),
        "D_T": lambda: networks.d_t(torch.cat((real, fake))).sum(),
        "D_T penalty": lambda: gradient_penalty_temporal(networks.d_t, real, fake, draws.alpha_t),
    }


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
    R = config.resolution
    clips = F.interpolate(torch.rand(arguments.clips * config.frames, 3, 8, 8) * 2 - 1, size=(R, R), mode="bilinear")
    clips = clips.reshape(arguments.clips, config.frames, 3, R, R)
    networks = build_networks(config)
    sides = {"ours": one_step, "plain": plain_step}
    times: dict[str, list[float]] = {name: [] for name in sides}
    stats: dict[str, list[float]] = {}
    for round_number in range(arguments.rounds + 1):  # the first one warms up
        for name, run in sides.items():
            own = copy.deepcopy(networks)
            optimisers = build_optimisers(own, config)
            begin = time.perf_counter()
            stats[name] = run(own, optimisers, clips, config)
            if round_number:
                times[name].append(time.perf_counter() - begin)

    first_pass = 8  # later passes see weights after Adam's first update, which blows rounding up
    worst = max(
        abs(a - b) / max(1.0, abs(b))
        for a, b in zip(stats["ours"][:first_pass], stats["plain"][:first_pass], strict=True)
    )
    print(f"{config.preset}, {arguments.clips} clip(s), {config.frames} frames, {torch.get_num_threads()} thread(s)")
    print(f"largest relative difference of the first pass's losses and gradient norms: {worst:.1e}")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(f"{name:5}  {median:.3f} s a step")
    ratio = medians["plain"] / medians["ours"]
    print(f"plain / ours: {ratio:.2f} (target at bair-64: at least {TARGET})")
    print("one clip, forward + backward:")
    for name, loss in breakdown(networks, clips, config).items():
        spent = []
        for _ in range(arguments.rounds):
            begin = time.perf_counter()
            loss().backward()  # type: ignore[no-untyped-call]
            spent.append(time.perf_counter() - begin)
        print(f"  {name:12} {statistics.median(spent):.3f} s")


if __name__ == "__main__":
    main()
