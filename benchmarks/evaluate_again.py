"""`modeling evaluate` twice: what the kept features save, and whether the second call says the same.

    python benchmarks/evaluate_again.py [--clips 240] [--preset bair-64] [--frames 25] [--futures 1]

Whole commands, the start of Python included, over drawn water (a fifth of the clips is held out) and a run of one step,
whose clips cost what a trained one's do. Target: the second call at least 10x faster, its report the same to the byte.
Floor of the second call: a Python that imports torch and ends. Exits with 1 where the reports differ.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = 10.0


def seconds(*arguments: str) -> float:
    """Of a Python with these arguments, in the project's folder."""
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(arguments)}: exit status {done.returncode}\n{done.stderr}")
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--preset", default="bair-64", help="of 64x64 frames")
    parser.add_argument("--frames", type=int, default=25, help="of a clip, the input counted")
    parser.add_argument("--futures", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stillflow-evaluate-") as folder:
        data, run = Path(folder) / "shards", Path(folder) / "run"
        sizes = ["--size", "64", "--clips", str(arguments.clips), "--frames", str(arguments.frames)]
        seconds("-m", "benchmarks.water", "--out", str(data), *sizes)
        small = ["--set", "training.batch=1", "--set", "training.micro_batch=1"]
        chosen = ["--preset", arguments.preset, "--steps", "1", *small]
        seconds("-m", "modeling", "train", "--data", str(data), "--run", str(run), *chosen)
        asked = ["--frames", str(arguments.frames), "--futures", str(arguments.futures)]
        command = ["-m", "modeling", "evaluate", "--run", str(run), "--data", str(data), *asked]
        took, digests = [], []
        for call in ("first", "second", "third"):
            took.append(seconds(*command))
            report = next((run / "evaluation").glob("*.json"))
            digests.append(hashlib.sha256(report.read_bytes()).hexdigest())
            print(f"{call} call: {took[-1]:6.2f} s, report {digests[-1][:16]}", flush=True)
        floor = min(seconds("-c", "import torch") for _ in range(3))
    again = min(took[1:])
    print(f"a Python that imports torch: {floor:.2f} s; the second call is {again / floor:.1f} times that")
    print(f"first / second: {took[0] / again:.1f} (target: at least {TARGET:g})")
    print(f"the same without that Python: {(took[0] - floor) / (again - floor):.0f}")
    if len(set(digests)) != 1:
        sys.exit("the reports differ")


if __name__ == "__main__":
    main()
