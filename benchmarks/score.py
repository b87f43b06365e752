"""All scores of one decode pass against a bare decode of the same frames by the same library, on 640x360 footage.

    python benchmarks/score.py [VIDEO]

Targets: the exact variance alone at most 1.8 times the bare decode, everything at most 2.5 times; two workers at least
1.7 times one; resident memory of a worker under 300 MB however long the clip. Without a VIDEO it renders one of the
demo's scenes. The text's own variance (a float stack of the clip) is shown beside.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np

from curation.probe import VideoInfo, probe
from curation.scores import Scorer, measure
from curation.scores.frame import frames
from curation.scores.stage import SCORERS, Job, score
from curation.scores.variance import Variance

ALONE_TARGET, ALL_TARGET, WORKERS_TARGET, MEMORY_TARGET_MB = 1.8, 2.5, 1.7, 300
ROUNDS, JOBS = 7, 6


def bare(info: VideoInfo) -> float:
    """The floor: PyAV decodes every frame with one thread and nothing is done with it."""
    with av.open(str(info.path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def scored(info: VideoInfo, scorers: tuple[type[Scorer], ...]) -> dict[str, float]:
    """Ours."""
    made = [scorer() for scorer in scorers]
    measure(frames(info.path, int(info.pts[0]), info.end_pts), made)
    for each in made:
        each.fingerprint()
    return {name: value for each in made for name, value in each.values().items()}


def float_stack(info: VideoInfo) -> float:
    """The text, literally: the whole clip as floats, then its variance along time."""
    with av.open(str(info.path)) as container:
        clip = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    return float((clip.astype(np.float64) / 255).var(axis=0).mean())


def seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def peak_memory(path: Path, repeat: int) -> float:
    """Peak resident MB of a fresh process that scores the video `repeat` times over as one clip."""
    # Not ru_maxrss: a child inherits its parent's.
    code = """
import sys
from pathlib import Path
from curation.probe import probe
from curation.scores.stage import SCORERS
from curation.scores import measure
from curation.scores.frame import frames
info = probe(Path(sys.argv[1]))
def passes():
    for turn in range(int(sys.argv[2])):
        for frame in frames(info.path, int(info.pts[0]), info.end_pts):
            frame.time += turn * float(info.duration)
            yield frame
scorers = [scorer() for scorer in SCORERS]
measure(passes(), scorers)
for scorer in scorers:
    scorer.values(), scorer.fingerprint()
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(repeat)], check=True, capture_output=True, text=True
    )
    return float(done.stdout) / 1024


def pool(workers: int, job: Job) -> Executor:
    """Worker processes that have started and scored once."""
    made = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    list(made.map(score, [job] * 2 * workers))
    return made


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", nargs="?", type=Path)
    given = parser.parse_args().video
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        path = given
        if path is None:
            from curation.demo.render import render_clip

            path = Path(folder) / "scene.mp4"
            render_clip("river", 1, 10, (640, 360), 25, path)
        report(probe(path))


def report(info: VideoInfo) -> None:
    print(f"{info.path.name}: {info.width}x{info.height}, {info.frames} frames; medians of {ROUNDS} rounds in turn")
    sides: dict[str, Callable[[], object]] = {"bare decode": lambda: bare(info)}
    for scorer in SCORERS:
        sides[scorer.__name__] = lambda scorer=scorer: scored(info, (scorer,))  # type: ignore[misc]
    sides["everything"] = lambda: scored(info, SCORERS)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            times[name].append(seconds(side))
    floor = statistics.median(times["bare decode"])
    targets = {Variance.__name__: ALONE_TARGET, "everything": ALL_TARGET}
    for name, taken in times.items():
        ratio = statistics.median(b / a for a, b in zip(times["bare decode"], taken, strict=True))
        rate = info.frames / statistics.median(taken)
        target = targets.get(name)
        told = f"   target <= {target}: {verdict(ratio <= target)}" if target else ""
        alone = "" if name in ("bare decode", "everything") else " alone"
        print(f"{name + alone:24}{rate:8.0f} frames/s   {ratio:.2f}{told}")
    stack = seconds(lambda: float_stack(info))
    print(f"{'text, float stack':24}{info.frames / stack:8.0f} frames/s   {stack / floor:.2f}")
    difference = abs(scored(info, (Variance,))["variance"] - float_stack(info))
    print(f"difference of the two variances: {difference:.1e}")

    job = Job(path=info.path, start_pts=int(info.pts[0]), end_pts=info.end_pts, frames=info.frames)
    with pool(1, job) as one, pool(2, job) as two:
        ratios = []
        for _ in range(ROUNDS):
            single = seconds(lambda: list(one.map(score, [job] * JOBS)))
            ratios.append(single / seconds(lambda: list(two.map(score, [job] * JOBS))))
    ratio = statistics.median(ratios)
    print(f"two workers: {ratio:.2f} times one   target >= {WORKERS_TARGET}: {verdict(ratio >= WORKERS_TARGET)}")
    short, long = peak_memory(info.path, 1), peak_memory(info.path, 10)
    print(
        f"peak memory: {short:.0f} MB, of a clip ten times as long {long:.0f} MB"
        f"   target < {MEMORY_TARGET_MB}: {verdict(long < MEMORY_TARGET_MB)}"
    )


if __name__ == "__main__":
    main()
