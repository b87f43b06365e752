"""What an import came to: numbers by split and label, and recordings that its makers put on both sides of a split."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from curation.providers.found import Found

LISTED = 5


@dataclass(kw_only=True)
class Census:
    """Counts the items of a data set, new and known ones alike."""

    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    _groups: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def count(self, found: Found) -> None:
        """Count one more."""
        self.splits[found.official_split or "none"] += 1
        if found.label is not None:
            self.labels[found.label] += 1
        if found.group_key is not None and found.official_split is not None:
            self._groups[found.group_key][found.official_split] += 1

    @property
    def groups(self) -> int:
        """How many recordings with an official split there are."""
        return len(self._groups)

    def leaks(self) -> dict[str, dict[str, int]]:
        """Recordings that are on more than one side: group key -> videos by split."""
        return {key: dict(sorted(sides.items())) for key, sides in sorted(self._groups.items()) if len(sides) > 1}

    def details(self) -> dict[str, object]:
        """For machines."""
        return {
            "splits": dict(sorted(self.splits.items())),
            "labels": dict(sorted(self.labels.items())),
            "groups": self.groups,
            "leaks": self.leaks(),
        }

    def remarks(self) -> Iterator[str]:
        """For people."""
        if set(self.splits) - {"none"}:
            named = ", ".join(f"{name} {number:,}" for name, number in sorted(self.splits.items()))
            yield f"official split: {named}"
        if self.labels:
            least, most = min(self.labels.values()), max(self.labels.values())
            spread = f"{least:,}" if least == most else f"{least:,} to {most:,}"
            yield f"labels: {len(self.labels):,}, with {spread} videos each"
        if any(sides.total() > 1 for sides in self._groups.values()):
            leaks = self.leaks()
            if not leaks:
                yield f"leaks: none of {self.groups:,} recordings is on two sides of the official split"
                return
            named = "; ".join(f"{key} ({_sides(sides)})" for key, sides in list(leaks.items())[:LISTED])
            more = f"; and {len(leaks) - LISTED:,} more" if len(leaks) > LISTED else ""
            yield f"leaks: {len(leaks):,} of {self.groups:,} recordings are on two sides: {named}{more}"


def _sides(sides: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sides.items())
