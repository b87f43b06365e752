"""Which numbers of several evaluations compare: those of one data set whose own facts agree.

A number rests on the facts of its clips and of its own network alone: two runs that were evaluated with different
--metrics compare in those that both have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from modeling.comparison.evaluations import Evaluation
from modeling.errors import UsageError
from modeling.evaluation.names import NUMBERS
from modeling.evaluation.picture import TITLES
from modeling.evaluation.protocol import rests_on

LONGEST = 90  # characters of a fact in an error


def groups(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """The evaluations by their data set and split, in the order of their first ones."""
    found: list[list[Evaluation]] = []
    for one in evaluations:
        group = next((group for group in found if _of_one_data(one, group[0])), None)
        if group is None:
            found.append(group := [])
        group.append(one)
    return found


def _of_one_data(one: Evaluation, other: Evaluation) -> bool:
    facts = other.protocol
    same = one.is_of(facts.get("data_recipe_hash"), facts.get("data_hash"))
    return same and one.protocol["split"] == facts["split"]


def numbers_of(one: Evaluation) -> list[str]:
    """The numbers and curves that a report has values of."""
    metrics, curves = one.report["metrics"].values(), one.report["curves"].values()
    return [
        *(name for name in NUMBERS if any(name in entries for entries in metrics)),
        *(name for name in TITLES if any(row.get(name) for row in curves)),
    ]


def key_of(one: Evaluation, number: str) -> str:
    """Equal for two evaluations whose `number` compares."""
    return json.dumps(rests_on(number, one.protocol), sort_keys=True)


def first_with(group: Sequence[Evaluation], number: str) -> Evaluation:
    """The evaluation with which the others' `number` is compared."""
    return next(one for one in group if number in numbers_of(one))


def differences_of(one: Evaluation, group: Sequence[Evaluation]) -> dict[str, list[str]]:
    """The numbers and curves of `one` that do not compare with those of the first in the group that has them, and the
    facts in which they differ."""
    found = {}
    for number in numbers_of(one):
        first = first_with(group, number)
        if key_of(one, number) != key_of(first, number):
            ours, theirs = _flat(rests_on(number, first.protocol)), _flat(rests_on(number, one.protocol))
            found[number] = [
                f"{key}: {_short(ours.get(key))} in {first.name}, {_short(theirs.get(key))} in {one.name}"
                for key in dict.fromkeys([*ours, *theirs])
                if ours.get(key) != theirs.get(key)
            ]
    return found


def differing(group: Sequence[Evaluation]) -> list[str]:
    """A line for each fact in which numbers of a data set differ, with those numbers; empty where all compare."""
    lines = []
    for one in group:
        found: dict[str, list[str]] = {}
        for number, facts in differences_of(one, group).items():
            for told in facts:
                found.setdefault(told, []).append(number)
        # Curves rest on what the numbers rest on: they are named only where they differ alone.
        everything = [number for number in numbers_of(one) if number in NUMBERS]
        for told, numbers in found.items():
            named = [NUMBERS[number].title for number in numbers if number in NUMBERS]
            named = named or [TITLES[number] for number in numbers]
            whole = [number for number in numbers if number in NUMBERS] == everything
            lines.append(told if whole else f"{told} ({', '.join(named)})")
    return lines


def require_comparable(evaluations: Sequence[Evaluation], *, force: bool) -> list[str]:
    """What differs, where `force` lets it pass; UsageError with the differing facts where not."""
    lines = [line for group in groups(evaluations) for line in differing(group)]
    if lines and not force:
        raise UsageError(
            f"these evaluations have different protocols, so that their numbers do not compare: {'; '.join(lines)}; "
            "evaluate the runs alike, or give --force to set them side by side with marks"
        )
    return lines


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Facts inside others with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value})
    return flat


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
