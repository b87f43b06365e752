"""The share of a training step that waits for the loader: raw and JPEG shards, read ahead by a thread or when asked.

    python benchmarks/loader.py [--presets tiny bair-64] [--steps 4] [--threads N] [--step-seconds S]

The loop is the training's: three batches a step from shards, read ahead by its thread, made floats. A step of the
preset is timed on one clip (all passes and penalties) and then stands in as a sleep of a whole step's length, batch
times a clip's, so that bair-64 takes a minute here; `--step-seconds` gives that length instead, such as a GPU's.
A sleep leaves the processor to the reader, as a GPU does; so the whole work of reading a step's batches is printed
too, which is what the reader takes from a CPU's passes. Target: a wait of at most 2% of a step, on all shards.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from db.shards import RAW, Codec  # noqa: E402
from modeling.config import Config, apply_overrides  # noqa: E402
from modeling.data.conditions import open_for, windows_for  # noqa: E402
from modeling.data.prefetch import ReadAhead  # noqa: E402
from modeling.data.windows import Batch, BatchOrder, batches, to_float  # noqa: E402
from modeling.measuring.bench import bench  # noqa: E402
from modeling.presets import get  # noqa: E402
from tests.modeling.moving_textures import write_textures  # noqa: E402

TARGET = 0.02
CPU = torch.device("cpu")


def step_seconds(config: Config) -> float:
    """A whole step of the preset's batch, from one clip's."""
    one = apply_overrides(config, ["training.batch=1", "training.micro_batch=1"])
    return bench(one, CPU, rounds=1).seconds * config.training.batch


def steps(loader: Iterator[Batch], config: Config, count: int, seconds: float) -> tuple[float, float]:
    """Median seconds a step waiting for batches, and making them floats, after the first step."""
    waits, floats = [], []
    for _ in range(count + 1):
        waited = made = 0.0
        for _ in range(config.training.d_passes + 1):
            began = time.perf_counter()
            batch = next(loader)
            got = time.perf_counter()
            to_float(batch.frames, CPU)
            waited, made = waited + got - began, made + time.perf_counter() - got
            time.sleep(seconds / (config.training.d_passes + 1))
        waits.append(waited)
        floats.append(made)
    return statistics.median(waits[1:]), statistics.median(floats[1:])


def measure(preset: str, count: int, given: float | None) -> bool:
    """Print a preset's lines; whether the target is met."""
    config, met = get(preset), True
    seconds = given or step_seconds(config)
    shown = min(seconds, 2.0)  # the reader has its batches ready long before
    print(f"{preset}: {seconds:.2f} s a step of {config.training.batch} clips a pass")
    with tempfile.TemporaryDirectory() as name:
        for title, codec in (("raw", RAW), ("jpeg", Codec(name="jpeg"))):
            folder = write_textures(
                Path(name) / title, {"train": [[config.frames + 5] * 24]}, side=config.resolution, codec=codec
            )
            windows = windows_for(config, open_for(config, folder, "train"))
            order = BatchOrder(
                first_step=0, end_step=count + 1, d_passes=config.training.d_passes, batch=config.training.batch
            )
            ahead = ReadAhead(batches(windows, order))
            waited, floats = steps(ahead, config, count, shown)
            ahead.close()
            work, _ = steps(batches(windows, order), config, count, 0.0)
            share = waited / seconds
            met &= share <= TARGET
            print(
                f"  {title:4}  read ahead: waits {1e3 * waited:7.3f} ms a step, {share:.3%}   "
                f"when asked: {1e3 * work:7.2f} ms, {work / seconds:.3%}   to floats {1e3 * floats:.2f} ms"
            )
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", nargs="+", default=["tiny", "bair-64"])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=None, help="torch's threads (default: its own choice)")
    parser.add_argument("--step-seconds", type=float, default=None, help="instead of timing a step here")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    met = all([measure(preset, arguments.steps, arguments.step_seconds) for preset in arguments.presets])
    print(f"target, a wait of at most {TARGET:.0%}: {'met' if met else 'MISSED'}")
    if not met:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
