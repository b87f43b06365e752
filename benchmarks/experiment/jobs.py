"""Runs as processes of one thread each, so many at a time; stopped, they save what they have and go on another time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
POLL = 0.5  # seconds


def run_all(
    commands: Mapping[str, Sequence[str]], logs: Mapping[str, Path], jobs: int, say: Callable[[str], None]
) -> dict[str, int]:
    """Run the commands in their order, `jobs` at a time, output to their logs; the exit status of each by its name."""
    waiting, running, status = list(commands), dict[str, subprocess.Popen[bytes]](), dict[str, int]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                logs[name].parent.mkdir(parents=True, exist_ok=True)
                with logs[name].open("ab") as log:
                    running[name] = subprocess.Popen(
                        commands[name], stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD}
                    )
                say(f"{name}: begun")
            for name, process in list(running.items()):
                if process.poll() is not None:
                    status[name] = process.returncode
                    del running[name]
                    say(f"{name}: {'done' if not process.returncode else _last_line(logs[name])}")
            time.sleep(POLL)
    finally:  # also at Ctrl-C: the runs finish their step and save it
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    return status


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return f"failed ({lines[-1] if lines else 'no output'}), see {log}"


def python(script: Path, *arguments: object) -> list[str]:
    return [sys.executable, str(script), *map(str, arguments)]
