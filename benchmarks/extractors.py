"""Feature extraction against the bare network: clips read from shards, resized and batched, over its forward alone.

    python benchmarks/extractors.py [--networks inception i3d] [--clips 2] [--frames 16] [--side 64] [--rounds 3]
                                    [--codec raw|jpeg] [--device cpu|cuda] [--threads N]

Weights are random: they do not change the time. A round is, interleaved, the extractor over clips that are read from
shards one by one; the network's forward over the same frames, resized beforehand, in the same batches; and all but the
forward: reading, moving, resizing, batching. `ratio` is the forward's time over the whole's; `wait` is the share of the
rest beside the forward. Target: a wait of at most 5%.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from db.shards import RAW, Codec  # noqa: E402
from modeling.data.windows import ClipSet, open_clips  # noqa: E402
from modeling.metrics.extractors.batches import exact_float32  # noqa: E402
from modeling.metrics.extractors.i3d import I3D, I3DExtractor  # noqa: E402
from modeling.metrics.extractors.inception import Inception, InceptionExtractor  # noqa: E402
from tests.modeling.moving_textures import write_textures  # noqa: E402

TARGET = 0.05


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call, the device's queue emptied before and after."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def compared(
    extractor: InceptionExtractor | I3DExtractor, shards: ClipSet, frames: int, at_once: int, rounds: int
) -> tuple[float, float, float]:
    """Median seconds of the extractor over clips from shards, of the bare forward, and of all but the forward."""
    device = next(extractor.network.parameters()).device

    def read() -> Tensor:
        return torch.from_numpy(np.stack([shards.window(clip, 0, frames) for clip in range(len(shards.clips))]))

    def prepared() -> list[Tensor]:
        clips = read()
        items = clips.flatten(0, 1) if extractor.unit == "frame" else clips
        return [extractor.prepared(part) for part in items.split(at_once)]

    with torch.no_grad(), exact_float32():
        parts = prepared()

        def bare() -> None:
            for part in parts:
                extractor.network(part)

        bare()
        times: list[tuple[float, float, float]] = []
        for _ in range(rounds):
            whole = seconds_of(lambda: extractor(read()), device)
            times.append((whole, seconds_of(bare, device), seconds_of(prepared, device)))
    whole, forward, rest = (statistics.median(column) for column in zip(*times, strict=True))
    return whole, forward, rest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=["inception", "i3d"], default=["inception", "i3d"])
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--codec", choices=["raw", "jpeg"], default="jpeg")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        codec = RAW if options.codec == "raw" else Codec(name="jpeg")
        write_textures(Path(folder), {"test": [[options.frames + 1] * options.clips]}, side=options.side, codec=codec)
        shards = open_clips(Path(folder), "test", resolution=options.side, frames=options.frames)
        print(
            f"{options.clips} clips of {options.frames} frames {options.side}x{options.side} ({options.codec}), "
            f"{device}, {options.threads} threads, {options.rounds} rounds"
        )
        for name in options.networks:
            extractor: InceptionExtractor | I3DExtractor
            if name == "inception":
                extractor = InceptionExtractor(Inception(), "random", device)
            else:
                extractor = I3DExtractor(I3D(), "random", device)
            batch = extractor.at_once(options.frames)
            whole, forward, rest = compared(extractor, shards, options.frames, batch, options.rounds)
            frames = options.clips * options.frames
            wait = rest / (rest + forward)
            print(
                f"{name:9}  whole {frames / whole:8.2f} frames/s  forward {frames / forward:8.2f} frames/s  "
                f"ratio {forward / whole:.3f}  wait {wait:6.2%}  "
                f"target: at most {TARGET:.0%}: {'met' if wait <= TARGET else 'MISSED'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
