"""How far annotators agree on the clips that two of them looked at: Cohen's kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.verdicts import Standing, seen_twice


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Two annotators' verdicts on the clips that both looked at. `first` comes before `second` in the alphabet."""

    first: str
    second: str
    both_accept: int
    both_reject: int
    first_alone_rejects: int
    second_alone_rejects: int

    @property
    def clips(self) -> int:
        return self.both_accept + self.both_reject + self.first_alone_rejects + self.second_alone_rejects

    @property
    def observed(self) -> float:
        """Share of the clips on which they agree."""
        return (self.both_accept + self.both_reject) / self.clips

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (1960), (p_o - p_e) / (1 - p_e); None where chance alone would agree on every clip."""
        n = self.clips
        first_rejects = (self.both_reject + self.first_alone_rejects) / n
        second_rejects = (self.both_reject + self.second_alone_rejects) / n
        expected = first_rejects * second_rejects + (1 - first_rejects) * (1 - second_rejects)
        return None if expected == 1 else (self.observed - expected) / (1 - expected)


def agreements(session: Session) -> list[Agreement]:
    """Each pair of annotators who looked at the same clips, by name. Later rulings change nothing in it."""
    return tally(seen_twice(session).values())


def tally(clips: Iterable[Standing]) -> list[Agreement]:
    """Count the verdicts of each pair."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for each in clips:
        one, other = sorted(each.looks, key=lambda said: said.annotator)
        counts[one.annotator, other.annotator, one.verdict, other.verdict] += 1
    pairs = sorted({(first, second) for first, second, _, _ in counts})
    return [
        Agreement(
            first=first,
            second=second,
            both_accept=counts[first, second, "accept", "accept"],
            both_reject=counts[first, second, "reject", "reject"],
            first_alone_rejects=counts[first, second, "reject", "accept"],
            second_alone_rejects=counts[first, second, "accept", "reject"],
        )
        for first, second in pairs
    ]
