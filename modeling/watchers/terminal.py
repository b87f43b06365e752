"""The run on the terminal: a bar with rate and time left, or a line now and then where there is no terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from modeling.watchers import RunStart

SMOOTHED = 20  #        steps whose mean time gives the rate
BETWEEN_LINES = 15.0  # seconds, where there is no terminal
NOTICEABLE = 0.02  #     share of a step that the loader is not to take


class TerminalWatcher:
    """Shows steps done of `steps`, seconds a step, clips a second, memory and the time left, on stderr.

    The wait for the loader is shown where it is a noticeable share of a step.
    """

    def __init__(self, steps: int, console: Console) -> None:
        self._steps, self._console = steps, console
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=SMOOTHED)  # seconds, clips a second, wait
        self._line_at = time.monotonic() + BETWEEN_LINES
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
            self._bar = Progress(*columns, console=console, transient=True)
            self._task = self._bar.add_task("training", total=steps, rate="")
            self._bar.start()

    def begin(self, start: RunStart) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=start.first_step)

    def step(self, record: Mapping[str, float]) -> None:
        self._recent.append((record["seconds"], record["clips_per_second"], record.get("wait", 0.0)))
        seconds, clips, wait = (sum(column) / len(self._recent) for column in zip(*self._recent, strict=True))
        left = duration((self._steps - record["step"]) * seconds)
        parts = [f"{seconds:.2f} s/step", f"{clips:.1f} clips/s"]
        if wait > NOTICEABLE * seconds:
            parts.append(f"{wait / seconds:.0%} of it waiting for the loader")
        if "memory_mb" in record:
            parts.append(f"{record['memory_mb'] / 1024:.1f} GB")
        rate = ", ".join([*parts, f"{left} left"])
        if self._bar is not None:
            self._bar.update(self._task, completed=record["step"], rate=rate)
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + BETWEEN_LINES
            self.say(f"step {record['step']:.0f} of {self._steps}: {rate}")

    def sample(self, step: int, video: Path) -> None:
        """Samples are for the eye: the closing summary says where they are."""

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        """A line of text, above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """Seconds as people say them: 42 s, 3 min 5 s, 2 h 10 min, 3 d 4 h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
