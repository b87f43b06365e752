"""Scores: numbers measured on a clip's frames in one decode pass, apart from what is decided by them.

A scorer is fed frames and asked for its values at the end; `measure` feeds all scorers at once. A module of scorers
publishes `THRESHOLDS`: for each score, the bound beyond which a clip is told to have the fault it measures.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from curation.scores.frame import ArrayFrame, DecodedFrame, Frame

# A frame this much before its turn is taken all the same: frame times are rounded to the stream's time base.
EARLY_SECONDS = 2e-3


class Scorer(ABC):
    """Measures one or more numbers, and at will a fingerprint, of a clip.

    `names` are those of all its scores; `settings` all that they depend on beside the frames. `interval` is the least
    time in seconds between the frames it wants; 0 stands for all frames. `fingerprints` says whether it has one.
    """

    names: ClassVar[tuple[str, ...]]
    settings: ClassVar[Mapping[str, Any]]
    interval: ClassVar[float] = 0.0
    fingerprints: ClassVar[bool] = False

    @abstractmethod
    def push(self, frame: Frame) -> None:
        """Take the next frame; its pictures are valid during the call only."""

    @abstractmethod
    def values(self) -> dict[str, float]:
        """The scores of all frames pushed, one for each of `names`, all finite."""

    def fingerprint(self) -> bytes | None:
        """What `Fingerprint.hashes` keeps of the clip."""
        return None


def measure(frames: Iterable[Frame], scorers: Iterable[Scorer]) -> int:
    """Push every frame into every scorer that wants it. Returns the number of frames."""
    wanted = list(scorers)
    turns = [0.0] * len(wanted)
    count = 0
    for frame in frames:
        for index, scorer in enumerate(wanted):
            if scorer.interval:
                if frame.time < turns[index] - EARLY_SECONDS:
                    continue
                # On a grid from the clip's start: a late frame does not put off those after it.
                turns[index] = (math.floor((frame.time + EARLY_SECONDS) / scorer.interval) + 1) * scorer.interval
            scorer.push(frame)
        count += 1
    return count


__all__ = ["ArrayFrame", "DecodedFrame", "Frame", "Scorer", "measure"]
