"""The generator's forward + backward against its slow twin: frame by frame, a weight a frame, the literal equations.

    python benchmarks/generator.py [--preset bair-64] [--batch 1] [--rounds 5] [--threads N]

Target: at `bair-64`, batch 1, at least 1.5 times faster than the twin (tests/modeling/literal_networks.py), with the
same video and gradients.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling import presets  # noqa: E402
from modeling.networks import build_generator  # noqa: E402
from tests.modeling import literal_networks as literal  # noqa: E402

TARGET = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="bair-64", choices=presets.PRESETS)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None, help="torch's threads (default: its own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    config = presets.get(arguments.preset)
    generator = build_generator(config)
    images = torch.rand(arguments.batch, 3, config.resolution, config.resolution) * 2 - 1
    seeds = list(range(arguments.batch))
    weight = torch.randn(arguments.batch, config.frames, 3, config.resolution, config.resolution)

    def measured(run: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
        """Seconds of forward and of backward, and the video."""
        generator.zero_grad(set_to_none=True)
        begin = time.perf_counter()
        video = run()
        middle = time.perf_counter()
        (video * weight).sum().backward()  # type: ignore[no-untyped-call]
        return middle - begin, time.perf_counter() - middle, video.detach()

    sides: dict[str, Callable[[], Tensor]] = {
        "ours": lambda: generator(images, config.frames, seeds),
        "twin": lambda: literal.generate(generator, images, config.frames, seeds),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    videos, gradients = {}, {}
    for round_number in range(arguments.rounds + 1):  # the first one warms up
        for name, run in sides.items():
            forward, backward, videos[name] = measured(run)
            gradients[name] = torch.cat([p.grad.flatten() for p in generator.parameters() if p.grad is not None])
            if round_number:
                times[name].append((forward, backward))

    error = float((videos["ours"] - videos["twin"]).abs().max())
    grad_error = float((gradients["ours"] - gradients["twin"]).norm() / gradients["twin"].norm())
    print(f"{arguments.preset}, batch {arguments.batch}, {config.frames} frames, {torch.get_num_threads()} thread(s)")
    print(f"largest difference of the videos {error:.1e}, of the gradients {grad_error:.1e} (relative norm)")
    medians = {}
    for name, pairs in times.items():
        medians[name] = statistics.median(forward + backward for forward, backward in pairs)
        forward, backward = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"{name}: forward {forward:.3f} s, backward {backward:.3f} s, both {medians[name]:.3f} s")
    print(f"twin / ours: {medians['twin'] / medians['ours']:.2f} (target at bair-64, batch 1: at least {TARGET})")


if __name__ == "__main__":
    main()
