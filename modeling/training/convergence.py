"""`--until-converged`: training ends when the smoothed Wasserstein estimate stops changing (section 3.8, Fig. 3.2).

The thesis trained "until the Wasserstein estimate converges" and says no more. Here that is: a straight line is fitted
to the last `window` steps of each discriminator's estimate (real - fake); its rise or fall over that window is compared
with the largest mean that any window of the run had. Where it is below `tolerance` of that for every discriminator the
estimate is flat, and when it was so at each of the last CHECKS looks, spread over one more window, training ends.

A least-squares line averages noise of standard deviation s down to s * sqrt(12 / window) over the window: 0.08 s at
2,000 steps, so an estimate whose noise is half its size is still judged to 4% of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modeling.config import Config
from modeling.errors import UsageError

ESTIMATE = "wasserstein_"  # prefix of the estimates' names in metrics.jsonl
CHECKS = 20  #               looks in a row that must find the estimate flat, spread over one window
LOSSES = ("wgan-gp", "wgan-clip")  # whose D estimates a Wasserstein distance


@dataclass(frozen=True, kw_only=True)
class Convergence:
    """When a run counts as converged."""

    window: int = 2000  #       steps of the fitted line
    tolerance: float = 0.05  #  largest rise or fall over the window, as a share of the largest window mean so far

    def __post_init__(self) -> None:
        if self.window < CHECKS:
            raise UsageError(f"--convergence-window takes {CHECKS} steps or more, not {self.window}")
        if not 0 < self.tolerance < 1:
            raise UsageError(f"--convergence-tolerance takes a share between 0 and 1, not {self.tolerance}")

    @property
    def every(self) -> int:
        """Steps between two looks."""
        return max(1, self.window // CHECKS)


def require_estimate(config: Config) -> None:
    """UsageError for a loss that estimates no distance."""
    if config.training.loss not in LOSSES:
        raise UsageError(
            f"--until-converged follows the Wasserstein estimate, which training.loss={config.training.loss} does not "
            f"have: take {' or '.join(LOSSES)}, or give --steps"
        )


def change(values: NDArray[np.float64]) -> float:
    """Rise (or fall, negative) of the least-squares line through equally spaced values, from one end to the other."""
    places = np.arange(len(values)) - (len(values) - 1) / 2
    return float(places @ values / (places @ places)) * (len(values) - 1)


def largest_mean(values: NDArray[np.float64], window: int) -> float:
    """The largest absolute mean of `window` neighbouring values."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    return float(np.abs(sums[window:] - sums[:-window]).max()) / window


class ConvergenceWatch:
    """Follows a run's estimates, a record a step: what it says at a step follows from the records up to there."""

    def __init__(self, rule: Convergence, before: Iterable[Mapping[str, float]] = ()) -> None:
        self.rule = rule
        self._values: dict[str, list[float]] = {}
        self._step = 0
        self._flat: list[bool] = []  # of the looks so far
        for record in before:
            self.add(record)

    def add(self, record: Mapping[str, float]) -> None:
        """Take in the next step's line of metrics.jsonl."""
        for name, value in record.items():
            if name.startswith(ESTIMATE):
                self._values.setdefault(name, []).append(value)
        self._step = int(record["step"])
        if self._step % self.rule.every == 0 and self._step >= self.rule.window:
            self._flat.append(all(self._share(name) < self.rule.tolerance for name in self._values))

    def verdict(self) -> str | None:
        """Why training is to end after the last step that was added; None while it is not."""
        recent = self._flat[-CHECKS:]
        if self._step % self.rule.every or len(recent) < CHECKS or not all(recent):
            return None
        changes = ", ".join(
            f"{name.removeprefix(ESTIMATE).upper()} {100 * self._share(name):.1f}%" for name in sorted(self._values)
        )
        return (
            f"converged at step {self._step}: over the last {self.rule.window} steps the lines of the Wasserstein "
            f"estimates moved by less than {100 * self.rule.tolerance:g}% of their largest value (now: {changes}), "
            f"at each of the last {CHECKS} looks"
        )

    def _share(self, name: str) -> float:
        values = np.asarray(self._values[name])
        largest = largest_mean(values, self.rule.window)
        return abs(change(values[-self.rule.window :])) / largest if largest > 0 else 0.0
