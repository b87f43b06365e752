"""Runs a `curate` command in a process that kills itself with SIGKILL at a chosen call of a chosen function.

The process is forked from one that has imported the libraries, but nothing of ours: a start costs little, and whatever
imports the chosen function gets the one that kills.
"""

from __future__ import annotations

import importlib
import itertools
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Target = tuple[str, str, str, int]
LIBRARIES = ["av", "click", "cv2", "h5py", "numpy", "sqlalchemy.dialects.sqlite", "sqlalchemy.orm", "yt_dlp"]
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(LIBRARIES)


def _run(target: Target, arguments: list[str], environment: dict[str, str], said: str) -> None:
    os.environ.clear()
    os.environ.update(environment)
    with Path(said).open("wb") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    assert not any(name.split(".")[0] == "curation" for name in sys.modules), "what it imported has no wrapper"
    owner, name, when, number = target
    module, _, kind = owner.partition(":")
    place: Any = importlib.import_module(module)
    place = getattr(place, kind) if kind else place
    real, calls = getattr(place, name), itertools.count(1)

    def wrapper(*given: Any, **options: Any) -> Any:
        call = next(calls)  # threads call it too
        if call == number and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*given, **options)
        if call == number and when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(place, name, wrapper)
    from curation.commands import main

    main(arguments)


def run_killed(target: Target, arguments: Sequence[str]) -> None:
    """Run `curate` until it dies at `target`: (module[:class], function, "before" or "after", number of the call)."""
    with tempfile.NamedTemporaryFile() as said:
        process = PROCESSES.Process(target=_run, args=(target, list(arguments), dict(os.environ), said.name))
        process.start()
        process.join(timeout=120)
        late = process.is_alive()
        process.kill()
        assert not late, "it did not end"
        assert process.exitcode == -signal.SIGKILL, Path(said.name).read_text(errors="replace")
