"""The demo's videos: a dozen clean scenes with each fault planted once, and `footage.json`, which says where."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

from curation.demo.encode import irregular_times, reupload_frames, write_video
from curation.demo.faults import FAULTS, FILE_FAULTS, Fault, FaultyScene
from curation.demo.fields import U8
from db.files import replacing

VERSION = 1  # of the renderer: another number draws everything anew
NOMINAL = 55.0  # seconds the planned fault times are meant for; shorter videos have them earlier
Progress = Callable[["DemoVideo", int, int], None]


@dataclass(frozen=True, kw_only=True)
class DemoVideo:
    """A rendered video and the truth about it."""

    name: str
    path: Path
    kind: str
    faults: tuple[Fault, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One video of the dozen: scenes as (kind, seed offset), faults in seconds of a video of at least 55 s."""

    name: str
    scene: tuple[str, int]
    other: tuple[str, int] | None = None
    faults: tuple[tuple[str, float, float], ...] = ()
    source: int | None = None  # a re-upload: which video of the dozen


# With margins of 5 s, clips of 10 s and spacing of 2 s the clips are 5-15, 17-27, 29-39 and 41-51 s.
PLANS = (
    Plan(name="river-under-spruces", scene=("river", 2)),
    Plan(name="waves-on-the-beach", scene=("beach", 1), faults=(("frozen", 28.0, 40.0),)),
    Plan(name="waterfall-in-the-rocks", scene=("waterfall", 1)),
    Plan(name="clouds-over-the-hills", scene=("clouds", 2), faults=(("pan", 42.0, 50.0),)),
    Plan(name="meadow-in-the-wind", scene=("meadow", 3), other=("clouds", 4), faults=(("hard-cut", 10.0, 10.0),)),
    Plan(name="evening-sea", scene=("sea", 5), other=("lake", 3), faults=(("dissolve", 21.0, 23.0),)),
    Plan(name="rain-on-the-lake", scene=("rain", 6), faults=(("fade-to-black", 32.5, 35.5),)),
    Plan(name="mountain-lake", scene=("lake", 4), faults=(("letterbox", 28.0, 60.0),)),
    Plan(name="brook-from-a-phone", scene=("river", 7), faults=(("variable-frame-rate", 0.0, 60.0),)),
    Plan(name="waterfall-again", scene=("waterfall", 1), source=2, faults=(("re-upload", 0.0, 60.0),)),
    Plan(name="sea-that-broke-off", scene=("sea", 8), faults=(("broken", 0.0, 60.0),)),
    Plan(name="leaves-in-a-breeze", scene=("leaves", 9)),
)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """All that decides the bytes of a video."""

    name: str
    scene: tuple[str, int]
    other: tuple[str, int] | None
    faults: tuple[Fault, ...]
    source: str | None
    seconds: float
    size: tuple[int, int]
    fps: int
    seed: int

    def key(self) -> str:
        return hashlib.sha256(json.dumps([VERSION, asdict(self)], sort_keys=True).encode()).hexdigest()[:16]

    def file(self) -> str:
        return f"{self.name}.mp4"

    def has(self, fault: str) -> bool:
        return any(f.name == fault for f in self.faults)


def _frames(job: _Job) -> Iterator[tuple[float, U8]]:
    scene = FaultyScene(job.scene, job.size, job.faults, job.other)
    if job.has("variable-frame-rate"):
        times = irregular_times(job.seconds, job.fps, np.random.default_rng([job.seed, 11]))
    else:
        times = [i / job.fps for i in range(round(job.seconds * job.fps))]
    for t in times:
        yield t, scene.render(t)


def _render(job: _Job, folder: Path) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # one process a video; threads within a frame cost more than they give
    try:
        path = folder / job.file()
        if job.source is None:
            write_video(path, _frames(job), size=job.size, fps=job.fps, broken=job.has("broken"))
        else:
            small = (int(0.89 * job.size[0]) // 2 * 2, int(0.89 * job.size[1]) // 2 * 2)
            write_video(path, reupload_frames(folder / job.source, small, 0.02), size=small, fps=job.fps, crf=29)
    finally:
        cv2.setNumThreads(threads)


def _jobs(videos: int, size: tuple[int, int], fps: int, seconds: tuple[float, float], seed: int) -> list[_Job]:
    low, high = seconds
    jobs: list[_Job] = []
    for i in range(videos):
        plan, lap = PLANS[i % len(PLANS)], i // len(PLANS)
        # The lower quarter of the range is left out: 56.25 s and more hold four clips of the demo's recipe.
        span = float(np.random.default_rng([seed, i]).uniform(low + 0.25 * (high - low), high))
        origin = jobs[lap * len(PLANS) + plan.source] if plan.source is not None else None
        span = origin.seconds if origin else round(span * fps) / fps
        scale = min(1.0, span / NOMINAL)
        base = seed + 100 * lap
        faults = tuple(Fault(name=n, start=min(a * scale, span), end=min(b * scale, span)) for n, a, b in plan.faults)
        jobs.append(
            _Job(
                name=f"{i + 1:02d}-{plan.name}", scene=(plan.scene[0], base + plan.scene[1]),
                other=(plan.other[0], base + plan.other[1]) if plan.other else None, faults=faults,
                source=origin.file() if origin else None, seconds=span, size=size, fps=fps, seed=base + i,
            )
        )  # fmt: skip
    return jobs


def render_all(
    out_dir: Path,
    *,
    videos: int = 12,
    size: tuple[int, int] = (640, 360),
    fps: int = 25,
    seconds: tuple[float, float] = (55, 60),
    seed: int = 80,
    workers: int = 2,
    progress: Progress | None = None,
) -> list[DemoVideo]:
    """Renders the videos that are not there yet, with equal settings, and keeps `footage.json` beside them.

    `progress(video, done, total)` is called after each. Raises ValueError on settings that cannot be, OSError on a
    full disk.
    """
    if videos < 1 or fps < 1 or workers < 1 or not 1 <= seconds[0] <= seconds[1]:
        raise ValueError(
            "render_all needs at least one video, frame a second and worker, and 1 <= seconds[0] <= seconds[1]"
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    jobs = _jobs(videos, size, fps, seconds, seed)
    record = _Record(out_dir / "footage.json", jobs)
    made = {job.file() for job in jobs if record.has(job)}
    results = {job.file(): _describe(job, out_dir) for job in jobs}

    def finished(job: _Job) -> None:
        made.add(job.file())
        record.add(job)
        if progress:
            progress(results[job.file()], len(made), len(jobs))

    waiting = [job for job in jobs if job.file() not in made]
    if workers == 1:
        for job in waiting:
            _render(job, out_dir)
            finished(job)
    elif waiting:
        with ProcessPoolExecutor(min(workers, len(waiting)), multiprocessing.get_context("spawn")) as pool:
            running: dict[Future[None], _Job] = {}
            while waiting or running:
                for job in [j for j in waiting if j.source is None or j.source in made][: workers - len(running)]:
                    waiting.remove(job)
                    running[pool.submit(_render, job, out_dir)] = job
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(done)
                    done.result()
                    finished(job)
    return [results[job.file()] for job in jobs]


def _describe(job: _Job, folder: Path) -> DemoVideo:
    return DemoVideo(name=job.name, path=folder / job.file(), kind=job.scene[0], faults=job.faults, seconds=job.seconds)


class _Record:
    """`footage.json`: each video's settings key, size and truth; what it does not vouch for is rendered again."""

    def __init__(self, path: Path, jobs: Sequence[_Job]) -> None:
        self.path, self.jobs = path, list(jobs)
        self.entries: dict[str, dict[str, object]] = {}
        if path.exists():
            try:
                self.entries = {entry["file"]: entry for entry in json.loads(path.read_text())["videos"]}
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path} is not a footage record ({error}): delete it to render anew") from error

    def has(self, job: _Job) -> bool:
        entry, file = self.entries.get(job.file()), self.path.with_name(job.file())
        return bool(entry) and entry["key"] == job.key() and file.exists() and file.stat().st_size == entry["bytes"]  # type: ignore[index]

    def add(self, job: _Job) -> None:
        self.entries[job.file()] = {
            "file": job.file(),
            "name": job.name,
            "kind": job.scene[0],
            "seconds": job.seconds,
            "faults": [asdict(fault) for fault in job.faults],
            "reupload_of": job.source,
            "bytes": self.path.with_name(job.file()).stat().st_size,
            "key": job.key(),
        }
        listed = [self.entries[j.file()] for j in self.jobs if j.file() in self.entries]
        with replacing(self.path) as partial:
            partial.write_text(json.dumps({"version": VERSION, "videos": listed}, indent=1) + "\n")


def render_clip(
    kind: str,
    seed: int,
    seconds: float,
    size: tuple[int, int],
    fps: int,
    path: Path,
    *,
    faults: Sequence[Fault | str] = (),
    other: tuple[str, int] | None = None,
) -> DemoVideo:
    """One short video, for tests. A fault given by name takes the middle third, a file's fault the whole.

    A hard cut or a dissolve leads to `other` (kind, seed), by default another scene. A re-upload is the clip of the
    same kind and seed through a second encoding, smaller and cropped.
    """
    placed = []
    for fault in faults:
        if isinstance(fault, str):
            whole = fault in FILE_FAULTS
            start = 0.0 if whole else seconds / 3
            end = seconds if whole else start if fault == "hard-cut" else 2 * seconds / 3
            fault = Fault(name=fault, start=start, end=end)
        placed.append(fault)
    default_other = ("sea" if kind != "sea" else "meadow", seed + 1)
    job = _Job(
        name=path.stem, scene=(kind, seed), other=other or default_other, faults=tuple(placed), source=None,
        seconds=round(seconds * fps) / fps, size=size, fps=fps, seed=seed,
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, _frames(job), size=size, fps=fps, broken=job.has("broken"))
    if job.has("re-upload"):
        small = (int(0.89 * size[0]) // 2 * 2, int(0.89 * size[1]) // 2 * 2)
        write_video(path, list(reupload_frames(path, small, 0.02)), size=small, fps=fps, crf=29)
    return DemoVideo(name=job.name, path=path, kind=kind, faults=job.faults, seconds=job.seconds)


__all__ = ["FAULTS", "DemoVideo", "Fault", "render_all", "render_clip"]
