"""The thresholds that the scorers publish, as a rule."""

from __future__ import annotations

import sys

from curation.filtering.rules import DEFAULT_MIN_VARIANCE, Rule
from curation.scores.stage import SCORERS


def recommended() -> Rule:
    """The published bound of every score: a clip beyond it is told to have a fault. Of the variance, the thesis's."""
    maximum: dict[str, float] = {}
    for scorer in SCORERS:
        maximum.update(getattr(sys.modules[scorer.__module__], "THRESHOLDS", {}))
    minimum = {"variance": maximum.pop("variance", DEFAULT_MIN_VARIANCE)}
    return Rule(minimum=minimum, maximum=maximum)


def known_names() -> set[str]:
    """The names of all scores that `curate score` measures."""
    return {name for scorer in SCORERS for name in scorer.names}
