"""Runs a `curate` command in a process that kills itself with SIGKILL at a chosen call of a chosen function."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
# A command, in a process that kills itself before or after the n-th call of a function.
KILLED = """
import importlib, itertools, os, sys
sys.path.insert(0, {root!r})
owner, name, when, number = {target!r}
module, _, kind = owner.partition(":")
place = importlib.import_module(module)
place = getattr(place, kind) if kind else place
real, calls = getattr(place, name), itertools.count(1)

def wrapper(*arguments, **options):
    call = next(calls)  # threads call it too
    if call == number and when == "before":
        os.kill(os.getpid(), 9)
    result = real(*arguments, **options)
    if call == number and when == "after":
        os.kill(os.getpid(), 9)
    return result

setattr(place, name, wrapper)
from curation.commands import main
main({arguments!r})
"""


def run_killed(target: tuple[str, str, str, int], arguments: Sequence[str]) -> None:
    """Run `curate` until it dies at `target`: (module[:class], function, "before" or "after", number of the call)."""
    script = KILLED.format(root=str(ROOT), target=target, arguments=list(arguments))
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
