"""Filter rules: decisions by stored scores. A rule is a query; it decodes nothing, deletes nothing, and can change.

Clips that a person has judged keep their verdict whatever the rule says.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from curation.recipes import keep_recipe
from db.models import Clip, Score
from db.states import ClipState, move_clips_each

UNDECIDED = (ClipState.SCORED, ClipState.FILTERED, ClipState.PENDING)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Keep a clip if its variance (Eq. 3.19) is at least `min_variance`."""

    min_variance: float = 0.001

    def __post_init__(self) -> None:
        if not 0 <= self.min_variance < 1:
            raise ValueError(f"min-variance is between 0 and 1, not {self.min_variance}")

    def settings(self) -> dict[str, Any]:
        """As stored and hashed."""
        return {"kind": "filter", "version": 1, **asdict(self)}


@dataclass(kw_only=True)
class Verdicts:
    """What a rule says about the undecided clips, and how that differs from now."""

    kept: int = 0
    filtered: int = 0
    newly_kept: list[tuple[str, float]] = field(default_factory=list)  # (clip, variance)
    newly_filtered: list[tuple[str, float]] = field(default_factory=list)
    decided: int = 0  # by a person: left as they are
    histogram: list[tuple[float, float, int]] = field(default_factory=list)  # (from, to, clips), of the variance


def judge(session: Session, rule: Rule) -> Verdicts:
    """Apply a rule to the stored scores, changing nothing."""
    rows = session.execute(
        select(Clip.id, Clip.state, Score.value)
        .join(Score, Score.clip_id == Clip.id)
        .where(Score.name == "variance", Clip.state.in_(UNDECIDED))
    ).all()
    verdicts = Verdicts()
    for clip_id, state, value in rows:
        keep = value >= rule.min_variance
        verdicts.kept += keep
        verdicts.filtered += not keep
        if keep and state != ClipState.PENDING:
            verdicts.newly_kept.append((clip_id, value))
        elif not keep and state != ClipState.FILTERED:
            verdicts.newly_filtered.append((clip_id, value))
    verdicts.decided = (
        session.scalar(select(func.count()).where(Clip.state.in_((ClipState.ACCEPTED, ClipState.REJECTED)))) or 0
    )
    verdicts.histogram = histogram([value for _, _, value in rows])
    return verdicts


def apply(session: Session, rule: Rule, verdicts: Verdicts) -> None:
    """Make the verdicts true; the rule is stored as a recipe."""
    keep_recipe(session, "filter", rule.settings())
    move_clips_each(session, {clip: None for clip, _ in verdicts.newly_kept}, ClipState.PENDING)
    filtered = {clip: f"variance {value:.3g} < {rule.min_variance:g}" for clip, value in verdicts.newly_filtered}
    move_clips_each(session, filtered, ClipState.FILTERED)


def histogram(values: list[float]) -> list[tuple[float, float, int]]:
    """Counts in half-decade bins from 1e-6 on; smaller values stand in the first bin."""
    if not values:
        return []
    edges = np.array([0.0, *10.0 ** np.arange(-6, 0.01, 0.5)])
    edges[-1] = np.inf
    counts, _ = np.histogram(np.array(values), edges)
    return [(float(low), float(high), int(count)) for low, high, count in zip(edges, edges[1:], counts, strict=False)]
