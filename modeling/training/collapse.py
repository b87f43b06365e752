"""A warning when the samples stop moving against the data: the collapse that the thesis met with clips
that were too short ("it only generates constant videos", section 3.8).

How much a clip moves is the standard deviation of each pixel over its generated frames, averaged over pixels and
colours. At each sample the generated clips' is compared with that of the real ones beside them: `motion_ratio`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from modeling.options.training import TrainingConfig

STILL = 0.2  #        share of the data's motion below which a sample counts as still
SAMPLES = 3  #        still samples in a row before it is said
EARLIEST = 1000  #    steps that a generator has to learn to move; or this share of its schedule, where that is longer
EARLIEST_SHARE = 0.05
RATIO = "motion_ratio"

Clip = NDArray[np.uint8]  # (T, R, R, 3)


def temporal_deviation(clip_THW3: Clip, given: int) -> float:
    """Standard deviation of each value over time, averaged; the first `given` frames, which are not made, left out."""
    made = clip_THW3[given:]
    return float(made.std(axis=0, dtype=np.float64).mean()) if len(made) else 0.0


def motion_ratio(generated: Sequence[Clip], real: Sequence[Clip], given: int) -> float | None:
    """How much generated clips move against the real ones; None where the real ones stand still."""
    ours, theirs = (np.mean([temporal_deviation(clip, given) for clip in clips]) for clips in (generated, real))
    return float(ours / theirs) if theirs > 0 else None


class CollapseWatch:
    """Follows the records of a run; what it says at a step follows from the records up to there.

    It says nothing before step EARLIEST, as an untrained generator may stand still and one that learns to copy its
    input first does. After that it speaks once each time the samples come to rest, and again only when they have moved
    in between.
    """

    def __init__(self, training: TrainingConfig, before: Iterable[Mapping[str, float]] = ()) -> None:
        self._earliest = max(EARLIEST, round(EARLIEST_SHARE * training.schedule_steps))
        self._still = 0
        self._said = False
        for record in before:
            self.add(record)

    def add(self, record: Mapping[str, float]) -> str | None:
        """Take in a step's line of metrics.jsonl; the warning, at the step where there is reason for it."""
        ratio = record.get(RATIO)
        if ratio is None:
            return None
        if ratio >= STILL:
            self._still, self._said = 0, False
            return None
        self._still += 1
        if self._said or self._still < SAMPLES or record["step"] < self._earliest:
            return None
        self._said = True
        return (
            f"the last {self._still} samples hardly move: at step {record['step']:.0f} by {100 * ratio:.0f}% of what "
            f"the data do (less than {100 * STILL:g}% is a collapse). Look at the samples; go back to an older "
            "checkpoint, or try a lower training.lr, a larger training.lambda_t or longer frames"
        )
