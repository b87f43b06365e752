"""Random 25-frame windows of 128x128 shards: raw against a memcpy of the same bytes, JPEG against its bare decoder.

    python benchmarks/shards.py [--windows 1000]

All sides run in turns on the same windows; the ratios of the medians have the targets 1.3 (raw) and 1.1 (JPEG, on a
tenth of the windows). The batch that the training loop asks for (windows drawn, mirrored and stacked) stands beside,
without a target. The frames are drifting coloured noise, which JPEG at quality 95 takes down to about a sixth.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardEntry
from db.shards import RAW, ClipRow, Codec, ShardReader, write_manifest, write_shard
from modeling.data.windows import DISCRIMINATOR, ClipWindows, Draw, open_clips

SIDE, FRAMES, LENGTH, CLIPS = 128, 25, 250, 40
RAW_TARGET, JPEG_TARGET = 1.3, 1.1
ROUNDS = 15


def drifting_clips() -> Iterator[NDArray[np.uint8]]:
    """Clips of (LENGTH, SIDE, SIDE, 3)."""
    rng = np.random.default_rng(0)
    for _ in range(CLIPS):
        coarse = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        field = cv2.resize(coarse, (SIDE + LENGTH, SIDE + LENGTH), interpolation=cv2.INTER_CUBIC)
        yield np.stack([field[k : k + SIDE, k : k + SIDE] for k in range(LENGTH)])


def make_shards(folder: Path, codec: Codec = RAW) -> Path:
    """One train shard of 40 clips of 250 frames: 491 MB raw."""
    folder.mkdir(exist_ok=True)
    rows = [
        ClipRow(id=f"c{i}", video_id=f"v{i}", source_url="", start=0.0, end=10.0, fps=25.0, length=LENGTH)
        for i in range(CLIPS)
    ]
    path = folder / "train-00000.h5"
    info = write_shard(
        path,
        split="train",
        height=SIDE,
        width=SIDE,
        fps=25.0,
        recipe={},
        rows=rows,
        clips=drifting_clips(),
        codec=codec,
    )
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
    few = max(8, count // 10)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        path = make_shards(Path(name) / "raw")
        jpeg_path = make_shards(Path(name) / "jpeg", Codec(name="jpeg"))
        reader, jpeg_reader = ShardReader(path), ShardReader(jpeg_path)
        part = jpeg_path.stat().st_size / path.stat().st_size
        whole = np.concatenate([reader.clip(clip) for clip in range(CLIPS)])  # the same bytes, in plain memory
        with h5py.File(jpeg_path) as file:
            encoded, offsets = file["frames_encoded"][:], file["frame_offset"][:].tolist()
        rng = np.random.default_rng(1)
        places = list(zip(rng.integers(CLIPS, size=count), rng.integers(LENGTH - FRAMES + 1, size=count), strict=True))
        places = [(int(clip), int(start)) for clip, start in places]
        clips = [open_clips(one.parent, "train", resolution=SIDE, frames=FRAMES) for one in (path, jpeg_path)]
        windows, jpeg_windows = (ClipWindows(one, frames=FRAMES, seed=0, flip=True) for one in clips)
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

        def imdecode() -> None:
            out = np.empty((FRAMES, SIDE, SIDE, 3), np.uint8)
            for clip, start in places[:few]:
                first = clip * LENGTH + start
                for row in range(first, first + FRAMES):
                    out[row - first] = cv2.imdecode(encoded[offsets[row] : offsets[row + 1]], cv2.IMREAD_COLOR_RGB)

        def jpeg_shard() -> None:
            for clip, start in places[:few]:
                jpeg_reader.window(clip, start, FRAMES)

        def jpeg_batches() -> None:
            for batch in draws[: few // 8]:
                jpeg_windows[batch]

        sides: dict[str, tuple[Callable[[], None], int]] = {
            "memcpy": (memcpy, count),
            "shard": (shard, count),
            "batches": (batches, count // 8 * 8),
            "imdecode": (imdecode, few),
            "jpeg shard": (jpeg_shard, few),
            "jpeg batches": (jpeg_batches, few // 8 * 8),
        }
        times: dict[str, list[float]] = {side: [] for side in sides}
        for work, _ in sides.values():
            work()  # pages in, caches warm
        for _ in range(ROUNDS):
            for side, (work, _) in sides.items():
                times[side].append(seconds(work))
        medians = {side: statistics.median(values) / sides[side][1] for side, values in times.items()}
    ratio = medians["shard"] / medians["memcpy"]
    jpeg_ratio = medians["jpeg shard"] / medians["imdecode"]
    print(f"memcpy                {1e6 * medians['memcpy']:8.1f} us a window of {FRAMES}x{SIDE}x{SIDE}x3")
    print(f"shard, memory map     {1e6 * medians['shard']:8.1f} us  {1 / medians['shard']:,.0f} windows/s")
    print(f"batches of 8, flipped {1e6 * medians['batches']:8.1f} us  {medians['batches'] / medians['memcpy']:.2f}x")
    print(f"ratio {ratio:.2f} (target at most {RAW_TARGET}): {'met' if ratio <= RAW_TARGET else 'MISSED'}")
    print(f"bare imdecode         {1e6 * medians['imdecode']:8.1f} us  JPEG takes {part:.3f} of the bytes")
    print(f"jpeg shard            {1e6 * medians['jpeg shard']:8.1f} us  {1 / medians['jpeg shard']:,.0f} windows/s, "
          f"{medians['jpeg shard'] / medians['shard']:.0f}x of raw")  # fmt: skip
    print(f"batches of 8, flipped {1e6 * medians['jpeg batches']:8.1f} us")
    print(f"ratio {jpeg_ratio:.2f} (target at most {JPEG_TARGET}): {'met' if jpeg_ratio <= JPEG_TARGET else 'MISSED'}")
    if ratio > RAW_TARGET or jpeg_ratio > JPEG_TARGET:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
