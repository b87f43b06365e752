"""Draw clips of moving water and write them as shards.

    python -m benchmarks.water --out DIR [--size 32] [--clips 480] [--sheet FILE.png]

480 clips of 48 frames at 32x32 take about a minute of one core. `--sheet` also writes pictures of some test
clips: four frames a row, and at the right where and how strongly they move.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.water.shards import write_water
from db.shards import ShardReader


def sheet(folder: Path, target: Path, rows: int = 24) -> None:
    """Frames 0, 5, 10 and 20 of test clips, and their deviation over time, in two columns."""
    reader = ShardReader(folder / "test-00000.h5")
    drawn = []
    for clip in range(min(rows, len(reader.rows))):
        frames = reader.window(clip, 0, reader.rows[clip].length)
        moving = np.clip(3 * frames.astype(np.float32).std(axis=0), 0, 255).astype(np.uint8)
        shown = [frames[min(number, len(frames) - 1)] for number in (0, 5, 10, 20)]
        drawn.append(np.concatenate([*shown, moving], axis=1))
    half = max(1, len(drawn) // 2)
    page = np.concatenate([np.concatenate(part) for part in (drawn[:half], drawn[half : 2 * half]) if part], axis=1)
    factor = max(1, 96 // reader.height)
    target.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(target), cv2.cvtColor(page.repeat(factor, 0).repeat(factor, 1), cv2.COLOR_RGB2BGR))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--size", type=int, default=32, choices=(16, 32, 64, 128, 256), help="side of the frames")
    parser.add_argument("--clips", type=int, default=480)
    parser.add_argument("--frames", type=int, default=48, help="of a clip")
    parser.add_argument("--takes", type=int, default=2, help="clips of a scene")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="also write a contact sheet (PNG)")
    arguments = parser.parse_args()
    for name in ("clips", "frames", "takes"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} must be 1 or more, not {getattr(arguments, name)}")
    cv2.setNumThreads(1)
    terminal = sys.stderr.isatty()

    def done(clip: int, clips: int) -> None:
        if terminal or clip % 100 == 0:
            print(f"{clip} of {clips} clips", end="\r" if terminal else "\n", file=sys.stderr, flush=True)

    begin = time.perf_counter()
    try:
        counts = write_water(
            arguments.out, side=arguments.size, clips=arguments.clips, frames=arguments.frames, takes=arguments.takes,
            seed=arguments.seed, done=done,
        )  # fmt: skip
    except ValueError as error:
        parser.error(str(error))
    if arguments.sheet:
        sheet(arguments.out, arguments.sheet)
    told = ", ".join(f"{split} {number}" for split, number in counts.items())
    print(f"{arguments.out}: {told} clips of {arguments.frames} frames, {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
