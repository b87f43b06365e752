"""Our Frechet term against scipy.linalg.sqrtm of the covariances' product, in one run, and what an interval costs.

    python benchmarks/frechet.py [--n 2048] [--d 2048] [--rounds 1] [--threads N]

The peer is the term as published code has it: covariances by numpy, the real part of sqrtm's trace. Ours twice: from
features at once and from batches, as the pipeline takes them. Then both from twice the rows, where of the batches only
the covariances are left.
scipy comes with the extra `learn`. Features fall off in spread as networks' do (eigenvalues about 1 / rank).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from modeling.metrics.bootstrap import frechet_interval  # noqa: E402
from modeling.metrics.frechet import Moments, frechet_distance, frechet_of_moments  # noqa: E402

TARGET, CLOSE = 5.0, 1e-6


def features(n: int, d: int, seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((d, d)))[0]
    spread = (1 + np.arange(d)) ** -0.5 * random.uniform(0.7, 1.3, d)
    return torch.from_numpy(random.standard_normal((n, d)) * spread @ axes + 0.01 * seed)


def peer(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    shift = x.mean(axis=0) - y.mean(axis=0)
    return float(shift @ shift + np.trace(a) + np.trace(b) - 2 * np.trace(scipy.linalg.sqrtm(a @ b).real))


def by_moments(x: Tensor, y: Tensor) -> float:
    a, b = Moments(x.shape[1]), Moments(y.shape[1])
    for moments, rows in ((a, x), (b, y)):
        for batch in rows.split(64):
            moments.add(batch)
    return frechet_of_moments(a, b)


def timed(run: Callable[[], float]) -> tuple[float, float]:
    begun = time.perf_counter()
    value = run()
    return time.perf_counter() - begun, value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2048)
    parser.add_argument("--d", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=1, help="one takes about two minutes at the defaults")
    parser.add_argument("--threads", type=int, default=None, help="torch's threads (default: its own choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    n, d = arguments.n, arguments.d
    x, y = features(n, d, 1), features(n, d, 2)
    more_x, more_y = features(2 * n, d, 1), features(2 * n, d, 2)
    sides = {
        "features": lambda: frechet_distance(x, y),
        "batches": lambda: by_moments(x, y),
        "sqrtm": lambda: peer(x.numpy(), y.numpy()),
        "batches, 2 n": lambda: by_moments(more_x, more_y),
        "sqrtm, 2 n": lambda: peer(more_x.numpy(), more_y.numpy()),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    values: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for name, run in sides.items():
            seconds, values[name] = timed(run)
            times[name].append(seconds)
    seconds = {name: statistics.median(of) for name, of in times.items()}
    print(
        f"n = {n}, d = {d}, {torch.get_num_threads()} thread(s), scipy {scipy.__version__}, {arguments.rounds} round(s)"
    )
    for name in sides:
        print(f"{name:12} {seconds[name]:8.2f} s   {values[name]:.9f}")
    apart = 0.0
    for ours, theirs in (("features", "sqrtm"), ("batches", "sqrtm"), ("batches, 2 n", "sqrtm, 2 n")):
        target = f" (target at n = d = 2048: at least {TARGET:g})" if theirs == "sqrtm" else ""
        off = abs(values[ours] / values[theirs] - 1)
        print(f"{theirs} / {ours}: {seconds[theirs] / seconds[ours]:.1f}{target}, relative difference {off:.1e}")
        apart = max(apart, off)
    took, _ = timed(lambda: float((frechet_interval(x, y) or (0,))[0]))
    print(f"interval of 1000 draws: {took:.1f} s")
    if apart > CLOSE:
        sys.exit(f"the distances differ by more than {CLOSE:g}")


if __name__ == "__main__":
    main()
