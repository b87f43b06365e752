"""Clips of a split as a generator is shown them: what it is given, and what really follows.

Letters: k context frames, T time, R side of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modeling.data.windows import ClipSet
from modeling.options.generator import GeneratorConfig


@dataclass(frozen=True, kw_only=True)
class Example:
    """One window of a clip."""

    real: NDArray[np.uint8]  #            (T, R, R, 3)
    given: int  #                         k: the first frames, which the generator is given
    labels: NDArray[np.uint8] | None  #   (R, R), the label map of frame 0, where the generator takes one

    @property
    def context(self) -> NDArray[np.uint8]:
        """(k, R, R, 3)"""
        return self.real[: self.given]

    @property
    def copied(self) -> NDArray[np.uint8]:
        """(T, R, R, 3): the context, and its last frame from there on. Needs k of 1 or more."""
        clip = self.real.copy()
        clip[self.given :] = self.real[self.given - 1]
        return clip


def example(clips: ClipSet, index: int, generator: GeneratorConfig, frames: int) -> Example:
    """The first window of `frames` of a clip; the first that starts at a label map, where the generator takes masks.

    `clips` must be those that `conditions.open_for` gives for this generator and `frames`.
    """
    masked = generator.mask_classes > 0
    start = clips.masked_starts(index, frames)[0] if masked else 0
    return Example(
        real=clips.window(index, start, frames),
        given=generator.context_frames,
        labels=clips.labels(index, start) if masked else None,
    )
