"""The exact variance score against a bare decode of the same frames by the same library, on 640x360 footage.

    python benchmarks/score.py [VIDEO]

Target: at most 1.9 times the bare decode; resident memory of a worker under 300 MB however long the clip.
Without a VIDEO it renders one of the demo's scenes. The text's own way (a float stack of the clip) is shown beside.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np

from curation.probe import VideoInfo, probe
from curation.scores import measure
from curation.scores.frame import frames
from curation.scores.variance import Variance

TARGET, MEMORY_TARGET_MB, ROUNDS = 1.9, 300, 5


def bare(info: VideoInfo) -> int:
    """The floor: PyAV decodes every frame with one thread and nothing is done with it."""
    with av.open(str(info.path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return sum(1 for _ in container.decode(stream))


def score(info: VideoInfo) -> float:
    """Ours."""
    scorer = Variance()
    measure(frames(info.path, int(info.pts[0]), info.end_pts), [scorer])
    return scorer.values()["variance"]


def float_stack(info: VideoInfo) -> float:
    """The text, literally: the whole clip as floats, then its variance along time."""
    with av.open(str(info.path)) as container:
        clip = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]) / 255.0
    return float(clip.var(axis=0).mean())


def timed(function: object, info: VideoInfo) -> tuple[float, float]:
    """Seconds and the result."""
    begin = time.perf_counter()
    value = function(info)  # type: ignore[operator]
    return time.perf_counter() - begin, float(value)


def peak_memory(path: Path, repeat: int) -> float:
    """Peak resident MB of a fresh process that scores the video `repeat` times over as one clip."""
    # Not ru_maxrss: a child inherits its parent's.
    code = """
import itertools, sys
from pathlib import Path
from curation.probe import probe
from curation.scores import measure
from curation.scores.frame import frames
from curation.scores.variance import Variance
info = probe(Path(sys.argv[1]))
passes = (frames(info.path, int(info.pts[0]), info.end_pts) for _ in range(int(sys.argv[2])))
measure(itertools.chain.from_iterable(passes), [Variance()])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(repeat)], check=True, capture_output=True, text=True
    )
    return float(done.stdout) / 1024


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
        info = probe(path)
        print(f"{path.name}: {info.width}x{info.height}, {info.frames} frames")
        times: dict[str, list[float]] = {"bare": [], "score": []}
        for _ in range(ROUNDS):
            times["bare"].append(timed(bare, info)[0])
            seconds, value = timed(score, info)
            times["score"].append(seconds)
        stack_seconds, stack_value = timed(float_stack, info)
        floor = statistics.median(times["bare"])
        ratio = statistics.median(b / a for a, b in zip(times["bare"], times["score"], strict=True))
        print(f"bare decode         {info.frames / floor:8.0f} frames/s   1.00")
        print(f"exact variance      {info.frames / statistics.median(times['score']):8.0f} frames/s   {ratio:.2f}"
              f"   target <= {TARGET}: {'met' if ratio <= TARGET else 'MISSED'}")  # fmt: skip
        print(f"text's float stack  {info.frames / stack_seconds:8.0f} frames/s   {stack_seconds / floor:.1f}")
        print(f"difference of the two values: {abs(value - stack_value):.1e}")
        short, long = peak_memory(path, 1), peak_memory(path, 10)
        print(f"peak memory: {short:.0f} MB, of a clip ten times as long {long:.0f} MB"
              f"   target < {MEMORY_TARGET_MB}: {'met' if long < MEMORY_TARGET_MB else 'MISSED'}")  # fmt: skip


if __name__ == "__main__":
    main()
