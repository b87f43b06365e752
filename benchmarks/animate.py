"""One still to a video at `landscape-128`: roll-out and encoding apart, beside the convolutions' own time.

    python benchmarks/animate.py [--preset landscape-128] [--frames 25] [--rounds 5] [--threads 2] [--groups]

Target: image to finished MP4, 25 frames of 128x128, in less than 2 s once warm on two CPU cores that are idle.
Floor: the very convolutions of the roll-out, of the same shapes and layouts, one after the other on operands that lie
ready. The weights are random, with noise switched on. CPU seconds stand beside the clock's, because they tell on a
machine that others use too. `--groups` also tries other numbers of frames at once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling import inference, presets  # noqa: E402
from modeling.animating.animate import AnimationOptions, animate  # noqa: E402
from modeling.inference import Trained, roll_out, stream_clip  # noqa: E402
from modeling.media.video import write_video  # noqa: E402
from modeling.networks import build_generator  # noqa: E402
from tests.modeling.landscapes import lake  # noqa: E402

TARGET = 2.0  # s
SHOWN_GROUPS = (1, 2, 4, 8, 24)


class Convolutions(TorchDispatchMode):
    """Counts the convolutions that run inside it, by their operands' shapes and layouts and their settings."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[Any] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            x, weight, bias, *settings = args
            laid = tuple((tuple(t.shape), t.stride(), t.dtype) for t in (x, weight))
            self.calls[laid, bias is not None, tuple(tuple(s) if isinstance(s, list) else s for s in settings)] += 1
        return func(*args, **(kwargs or {}))

    def replay(self) -> Callable[[], None]:
        """The same convolutions on ready operands, and their number of operations."""
        ready: list[tuple[Any, int]] = []
        for (laid, biased, settings), count in self.calls.items():
            x, weight = (torch.empty_strided(s, t, dtype=d).normal_() for s, t, d in laid)
            arguments = (x, weight, torch.zeros(len(weight), dtype=weight.dtype) if biased else None, *settings)
            ready.append((arguments, count))

        def run() -> None:
            with torch.inference_mode():
                for arguments, count in ready:
                    for _ in range(count):
                        torch.convolution(*arguments)

        return run

    def operations(self) -> int:
        """Multiplications and additions."""
        total = 0
        for (((x, _, _), (weight, _, _)), _, (stride, *_)), count in self.calls.items():
            pixels = x[0] * x[2] * x[3] // (stride[0] * stride[1])
            total += 2 * count * pixels * weight[0] * weight[1] * weight[2] * weight[3]
        return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="landscape-128", choices=presets.PRESETS)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--groups", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    config = presets.get(arguments.preset)
    generator = build_generator(config).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.fill_(0.1)
    trained = Trained(generator=generator, config=config, step=0, source=Path("random"))
    side = config.resolution
    still = cv2.resize(lake()[:, 200:1000], (side, side), interpolation=cv2.INTER_AREA)[None]
    frames = arguments.frames
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "lake.png"
        cv2.imwrite(str(image), lake()[..., ::-1])
        counted = Convolutions()
        with counted, torch.no_grad():
            video = roll_out(generator, still, frames=frames, seed=0)
        half = np.concatenate(list(stream_clip(generator, still, frames=frames, seed=0, precision="bf16")))
        sides: dict[str, Callable[[], object]] = {
            "floor: its convolutions": counted.replay(),
            "roll-out": lambda: roll_out(generator, still, frames=frames, seed=0),
            "encoding": lambda: write_video(Path(folder) / "clip.mp4", video, fps=25),
            "animate, image to MP4": lambda: animate(trained, [image], Path(folder), AnimationOptions(frames=frames)),
            "animate, bf16": lambda: animate(
                trained, [image], Path(folder), AnimationOptions(frames=frames, precision="bf16")
            ),
        }
        medians = measured(sides, arguments.rounds)
        print(f"{arguments.preset}, {frames} frames, {torch.get_num_threads()} thread(s)")
        for name, (clock, processor) in medians.items():
            print(f"{name}: {clock:.2f} s ({processor:.2f} s of CPU time)")
        floor, ours = medians["floor: its convolutions"], medians["animate, image to MP4"]
        print(
            f"convolutions: {counted.operations() / 1e9:.0f} GFLOP, {counted.operations() / 1e9 / floor[0]:.0f} GFLOP/s"
        )
        print(f"roll-out / floor: {medians['roll-out'][1] / floor[1]:.2f} (of CPU time)")
        difference = np.abs(video.astype(int) - half)
        print(f"bf16 against fp32: {difference.mean():.2f} of 255 on average, {difference.max()} at most")
        print(f"animate: {ours[0]:.2f} s (target on two idle cores: less than {TARGET})")
        if arguments.groups:
            show_groups(generator, still, frames, arguments.rounds)


def show_groups(generator: Any, still: Any, frames: int, rounds: int) -> None:
    """CPU seconds of a roll-out by the number of frames that are computed at once."""

    def grouped(group: int) -> Callable[[], object]:
        def run() -> Tensor:
            image = torch.from_numpy(still).movedim(-1, -3) / 127.5 - 1
            return generator.generate(image, frames, [0], group)

        return run

    medians = measured({str(group): grouped(group) for group in SHOWN_GROUPS}, rounds)
    shown = ", ".join(f"{group}: {processor:.2f} s" for group, (_, processor) in medians.items())
    print(f"CPU time by frames at once: {shown} (used: {inference.GROUP})")


def measured(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Median seconds of each, by the clock and of CPU time; they take turns, and the first turn warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, run in sides.items():
            clock, processor = time.perf_counter(), time.process_time()
            run()
            if turn:
                times[name].append((time.perf_counter() - clock, time.process_time() - processor))
    return {
        name: (statistics.median(t for t, _ in pairs), statistics.median(p for _, p in pairs))
        for name, pairs in times.items()
    }


if __name__ == "__main__":
    main()
