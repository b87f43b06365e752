"""Measures of how clips move, blur and loop; a row a clip.

Letters: N clips of a chunk, K futures of a clip, T frames, R side of the frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from modeling.evaluation.measures import U8, Array, Span
from modeling.evaluation.store import Spec
from modeling.metrics.diversity import diversity
from modeling.metrics.loops import SHORTEST, looping, similarity_to_start
from modeling.metrics.motion import flicker, motion_amount, static_error
from modeling.metrics.sharpness import blur_spread

SHORTEST_MOTION = 3  # frames, of which flicker needs so many
SHORTEST_LOOP = SHORTEST
AMOUNT, REAL_AMOUNT, FLICKER, REAL_FLICKER, STATIC, BLUR = range(6)  # columns of MotionScores


class MotionScores:
    """Of a clip and of its true future: amount of motion and flicker of both, error where nothing moves, blur."""

    finite = False  # a clip without static regions has no error in them

    def __init__(self, span: Span, given: int) -> None:
        self._span = span
        self._from_input = Span(max(0, given - 1), span.stop)  # blur spreads from the last input frame on
        self.name = f"motion.{span}"

    @property
    def specs(self) -> Mapping[str, Spec]:
        return {self.name: Spec((6,), "float64")}

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        rows = []
        for shown, truth in zip(shown_NTHW3, truth_NTHW3, strict=True):  # one by one: float64 takes 8 times the clips
            x, y = (_clips(self._span.of(clip[None])) for clip in (shown, truth))
            values = [motion_amount(x), motion_amount(y), flicker(x), flicker(y), static_error(x, y)]
            values.append(blur_spread(*(_clips(self._from_input.of(clip[None])) for clip in (shown, truth))))
            rows.append(torch.cat(values).numpy())
        return {self.name: np.stack(rows)}


class Loops:
    """Similarity of each frame to the last input frame, and how fully a clip comes back after it has gone away."""

    finite = False  # a clip that does not move has neither

    def __init__(self, span: Span, given: int) -> None:
        self._made = Span(given, span.stop)
        self._from_input = Span(given - 1, span.stop)
        self.similarity, self.score = f"similarity.{self._made}", f"looping.{self._made}"

    @property
    def specs(self) -> Mapping[str, Spec]:
        return {self.similarity: Spec((self._made.length,), "float64"), self.score: Spec((), "float64")}

    def __call__(self, shown_NTHW3: U8, truth_NTHW3: U8) -> dict[str, Array]:
        similar, scores = [], []
        for shown in shown_NTHW3:
            similar.append(similarity_to_start(_clips(self._from_input.of(shown[None])))[0, 1:].numpy())
            scores.append(float(looping(_clips(self._made.of(shown[None])))[0]))
        return {self.similarity: np.stack(similar), self.score: np.array(scores)}


class Diversity:
    """Mean pairwise root-mean-square difference of a clip's futures, in grey levels: a measure of all of them."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.name = f"diversity.{span}"

    @property
    def specs(self) -> Mapping[str, Spec]:
        return {self.name: Spec((), "float64")}

    def __call__(self, futures_KNTHW3: Sequence[U8]) -> dict[str, Array]:
        clips = zip(*(self._span.of(future) for future in futures_KNTHW3), strict=True)
        return {self.name: np.array([float(diversity(_clips(np.stack(futures)))) for futures in clips])}


def _clips(clips: U8) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(clips))
