"""Joining the near-duplicates among 100,000 clips, against comparing all pairs.

    python benchmarks/scenes.py [--clips 100000]

Fingerprints are drawn, not measured: a third of the clips moves on every second; of the others, some share a fixed
camera by twenties and one by thousands; 5% are copies, cut up to three seconds later, in which 6% of the bits differ.
Targets: 60 s and 1 GB for a whole catalogue from fingerprints to `Clip.scene`, and less than four times the time for
twice the clips. The peer compares one hash a clip with all others, which finds no copy that was cut elsewhere.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, insert, select

from curation.scores.fingerprints import BITS, WORDS
from curation.scores.scenes import cluster, update_scenes
from db.engine import create, open_catalogue
from db.models import Clip, Fingerprint, Recipe, Video

SECONDS_TARGET, MEMORY_TARGET_MB, GROWTH_TARGET = 60, 1000, 4
HASHES = 9  # of a clip of ten seconds
CAMERA, LONG_CAMERA = 20, 30  # clips of a fixed camera; of the catalogue's clips, one in so many is of the long one
COPIES = 20  # one clip in so many
PEER_ROWS = 2000


def noisy(hashes: NDArray[np.uint64], rate: float, rng: np.random.Generator) -> NDArray[np.uint64]:
    """`hashes` with each bit flipped by chance."""
    flipped = np.zeros_like(hashes)
    for first in range(0, len(hashes), 10_000):
        part = slice(first, first + 10_000)
        bits = rng.random((*hashes[part].shape[:-1], BITS)) < rate
        flipped[part] = np.packbits(bits, -1).view(">u8").reshape(hashes[part].shape)
    return hashes ^ flipped


def drawn(clips: int, seed: int = 0) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int64]]:
    """Fingerprints, each clip's true scene, and the pairs (original, copy) among them."""
    rng = np.random.default_rng(seed)
    hashes = np.repeat(rng.integers(0, 2**64, (clips, 1, WORDS), np.uint64), HASHES, 1)
    moving = rng.random(clips) < 1 / 3
    hashes[moving] = rng.integers(0, 2**64, (int(moving.sum()), HASHES, WORDS), np.uint64)
    truth = np.arange(clips)
    order = rng.permutation(clips)
    used = clips // 10 // CAMERA * CAMERA
    long = clips // LONG_CAMERA
    for group in [*order[:used].reshape(-1, CAMERA), order[used : used + long]]:
        hashes[group] = hashes[group[0]]
        truth[group] = group.min()
    rest = order[used + long :]
    copies = clips // COPIES
    originals, copied = rest[:copies], rest[copies : 2 * copies]
    for original, copy, later in zip(originals, copied, rng.integers(0, 4, copies), strict=True):
        new = rng.integers(0, 2**64, (later, WORDS), np.uint64)
        hashes[copy] = np.concatenate([hashes[original, later:], new])
        truth[original] = truth[copy] = min(original, copy)
    hashes = noisy(hashes, 0.02, rng)
    hashes[copied] = noisy(hashes[copied], 0.06, rng)
    return [each.astype(">u8").tobytes() for each in hashes], truth, np.stack([originals, copied])


def fill(folder: Path, fingerprints: list[bytes]) -> None:
    """A catalogue with these clips, ten a video."""
    with create(folder) as catalogue, catalogue.writing() as session:
        session.add(Recipe(hash="0" * 64, kind="score", settings={}))
        session.flush()
        numbers = range(len(fingerprints))
        videos = [
            {"id": f"v{n:07}", "provider": "file", "provider_id": str(n), "source": str(n)} for n in numbers[::10]
        ]
        session.execute(insert(Video), videos)
        shared = {"recipe_hash": "0" * 64, "start_pts": 0, "end_pts": 250, "time_base_num": 1, "time_base_den": 25}
        session.execute(insert(Clip), [
            {"id": f"c{n:07}", "video_id": f"v{n // 10 * 10:07}", "index": n % 10, "start": 0.0, "end": 10.0,
             "frame_count": 250, "state": "scored", **shared}
            for n in numbers
        ])  # fmt: skip
        session.execute(insert(Fingerprint), [
            {"clip_id": f"c{n:07}", "hashes": each, "settings_hash": "0" * 64} for n, each in enumerate(fingerprints)
        ])  # fmt: skip


def update_alone(folder: Path) -> tuple[float, float, float]:
    """Seconds of an update, of a second one with nothing to do, and its process's peak memory in MB."""
    code = """
import sys, time
from pathlib import Path
from curation.scores.scenes import update_scenes
from db.engine import open_catalogue
with open_catalogue(Path(sys.argv[1])) as catalogue:
    for _ in range(2):
        begin = time.perf_counter()
        update_scenes(catalogue)
        print(time.perf_counter() - begin)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=True, capture_output=True, text=True)
    first, second, memory = map(float, done.stdout.split())
    return first, second, memory / 1024


def all_pairs(fingerprints: list[bytes]) -> float:
    """Seconds to compare one hash of each clip with all others, from some rows of that table."""
    words = np.frombuffer(b"".join(each[: 8 * WORDS] for each in fingerprints), ">u8").astype(np.uint64)
    words = words.reshape(-1, WORDS)
    rows = min(PEER_ROWS, len(words))
    begin = time.perf_counter()
    for row in words[:rows]:
        np.flatnonzero(np.bitwise_count(words ^ row).sum(1, dtype=np.uint8) <= 28)
    return (time.perf_counter() - begin) / rows * len(words) / 2


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=100_000)
    clips = parser.parse_args().clips
    fingerprints, truth, (originals, copies) = drawn(clips)
    half = drawn(clips // 2, seed=1)[0]
    times: dict[str, list[float]] = {"half": [], "whole": [], "peer": []}
    for _ in range(3):
        begin = time.perf_counter()
        cluster(half)
        times["half"].append(time.perf_counter() - begin)
        begin = time.perf_counter()
        labels = cluster(fingerprints)
        times["whole"].append(time.perf_counter() - begin)
        times["peer"].append(all_pairs(fingerprints))
    whole, peer = statistics.median(times["whole"]), statistics.median(times["peer"])
    growth = statistics.median(b / a for a, b in zip(times["half"], times["whole"], strict=True))
    print(f"{clips:,} clips, {HASHES} hashes each: {whole:.1f} s; all pairs of one hash each: {peer:.1f} s,"
          f" {peer / whole:.1f} times as long")  # fmt: skip
    print(f"twice the clips take {growth:.2f} times as long   target < {GROWTH_TARGET}: "
          f"{verdict(growth < GROWTH_TARGET)}")  # fmt: skip
    joined = np.unique(np.stack([labels, truth]), axis=1).shape[1] - len(np.unique(labels))
    print(f"copies found: {(labels[originals] == labels[copies]).mean():.2%}; scenes {len(np.unique(labels)):,}"
          f" of {len(np.unique(truth)):,}; joined wrongly: {joined}")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder) / "data", fingerprints)
        first, second, memory = update_alone(Path(folder) / "data")
        with open_catalogue(Path(folder) / "data") as catalogue, catalogue.reading() as session:
            assert session.scalar(select(func.count(Clip.scene.distinct()))) == len(np.unique(labels))
            assert update_scenes(catalogue) == 0
    met = first <= SECONDS_TARGET and memory <= MEMORY_TARGET_MB
    print(f"a catalogue: {first:.1f} s, peak {memory:.0f} MB   target <= {SECONDS_TARGET} s, {MEMORY_TARGET_MB} MB: "
          f"{verdict(met)}; with nothing new {1000 * second:.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
