"""Random 25-frame windows of a raw 128x128 shard against a memcpy of the same bytes.

    python benchmarks/shards.py [--windows 1000]

Both sides run in turns on the same windows; the ratio of the medians has the target 1.3. The batch that the training
loop asks for (windows drawn, mirrored and stacked) stands beside it, without a target.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from db.manifest import ShardEntry
from db.shards import ClipRow, ShardReader, write_manifest, write_shard
from modeling.data import DISCRIMINATOR, ClipWindows, Draw, open_clips

SIDE, FRAMES, LENGTH, CLIPS = 128, 25, 250, 40
TARGET = 1.3
ROUNDS = 15


def make_shards(folder: Path) -> Path:
    """One train shard of 40 clips of 250 frames: 491 MB."""
    rng = np.random.default_rng(0)
    rows = [
        ClipRow(id=f"c{i}", video_id=f"v{i}", source_url="", start=0.0, end=10.0, fps=25.0, length=LENGTH)
        for i in range(CLIPS)
    ]
    clips = (rng.integers(0, 256, (LENGTH, SIDE, SIDE, 3), np.uint8) for _ in rows)
    path = folder / "train-00000.h5"
    info = write_shard(path, split="train", height=SIDE, width=SIDE, fps=25.0, recipe={}, rows=rows, clips=clips)
    entry = ShardEntry(
        file=path.name,
        split="train",
        sha256=info.sha256,
        bytes=info.bytes,
        clips=CLIPS,
        frames=info.frames,
        clip_ids=tuple(row.id for row in rows),
    )
    write_manifest(folder, version=1, recipe={}, tools={}, shards=[entry])
    return path


def seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1000, help="windows a round")
    count = parser.parse_args().windows
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        path = make_shards(Path(name))
        reader = ShardReader(path)
        whole = np.concatenate([reader.clip(clip) for clip in range(CLIPS)])  # the same bytes, in plain memory
        rng = np.random.default_rng(1)
        places = list(zip(rng.integers(CLIPS, size=count), rng.integers(LENGTH - FRAMES + 1, size=count), strict=True))
        places = [(int(clip), int(start)) for clip, start in places]
        windows = ClipWindows(
            open_clips(path.parent, "train", resolution=SIDE, frames=FRAMES), frames=FRAMES, seed=0, flip=True
        )
        draws = [[Draw(DISCRIMINATOR, 8 * batch + sample) for sample in range(8)] for batch in range(count // 8)]

        def memcpy() -> None:
            for clip, start in places:
                first = clip * LENGTH + start
                whole[first : first + FRAMES].copy()

        def shard() -> None:
            for clip, start in places:
                reader.window(clip, start, FRAMES)

        def batches() -> None:
            for batch in draws:
                windows[batch]

        sides = {"memcpy": memcpy, "shard": shard, "batches": batches}
        times: dict[str, list[float]] = {side: [] for side in sides}
        for work in sides.values():
            work()  # pages in, caches warm
        for _ in range(ROUNDS):
            for side, work in sides.items():
                times[side].append(seconds(work))
        medians = {side: statistics.median(values) / count for side, values in times.items()}
    ratio = medians["shard"] / medians["memcpy"]
    print(f"memcpy                {1e6 * medians['memcpy']:8.1f} us a window of {FRAMES}x{SIDE}x{SIDE}x3")
    print(f"shard, memory map     {1e6 * medians['shard']:8.1f} us  {1 / medians['shard']:,.0f} windows/s")
    print(f"batches of 8, flipped {1e6 * medians['batches']:8.1f} us  {medians['batches'] / medians['memcpy']:.2f}x")
    print(f"ratio {ratio:.2f} (target at most {TARGET}): {'met' if ratio <= TARGET else 'MISSED'}")
    if ratio > TARGET:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
