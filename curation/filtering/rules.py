"""Filter rules: what a clip's stored scores must be for it to go on to review. A rule is named, saved and versioned.

A rule decodes nothing, deletes nothing, and can change; `curation.filtering.judging` applies all active ones together.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from curation.recipes import keep_recipe
from db.models import Recipe
from db.models import Rule as RuleRow

DEFAULT_NAME = "default"
DEFAULT_MIN_VARIANCE = 0.001  # of Eq. 3.19, as in the thesis
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One thing that a rule asks of a clip. `score` is None where it asks for something else than a score."""

    score: str | None = None
    least: float | None = None
    most: float | None = None
    per_scene: int | None = None

    def __str__(self) -> str:
        """What is asked, as people read it."""
        if self.per_scene is not None:
            return f"at most {self.per_scene} of a scene"
        if self.score is None:
            return "not short"
        return f"{self.score} >= {self.least:g}" if self.least is not None else f"{self.score} <= {self.most:g}"

    def broken_by(self, value: float | None) -> str:
        """Why a clip breaks it, as its `reason` begins; `value`: of the score, where it asks for one."""
        if self.per_scene is not None:
            return f"more than {self.per_scene} of its scene"
        if self.score is None or value is None:
            return "short"
        # As many digits as it takes to tell the value from the bound.
        sign, bound = ("<", self.least) if self.least is not None else (">", self.most)
        digits = next((d for d in range(3, 17) if float(f"{value:.{d}g}") != bound), 17)
        return f"{self.score} {value:.{digits}g} {sign} {bound:g}"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Keep a clip if each score named in `minimum` is at least, and each in `maximum` at most, the number there;
    of a scene (a cluster of near-duplicates), only the `max_per_scene` best; with `drop_short`, no short clips.

    Raises ValueError for numbers that cannot be.
    """

    minimum: Mapping[str, float] = field(default_factory=dict)
    maximum: Mapping[str, float] = field(default_factory=dict)
    max_per_scene: int | None = None
    drop_short: bool = False

    def __post_init__(self) -> None:
        for name, value in [*self.minimum.items(), *self.maximum.items()]:
            if not math.isfinite(value):
                raise ValueError(f"the bound of {name} must be a finite number, not {value}")
        variance = self.minimum.get("variance", 0.0)
        if not 0 <= variance < 1:
            raise ValueError(f"min-variance is between 0 and 1, not {variance}")
        for name in sorted(self.minimum.keys() & self.maximum.keys()):
            if self.minimum[name] > self.maximum[name]:
                raise ValueError(
                    f"no {name} is both at least {self.minimum[name]:g} and at most {self.maximum[name]:g}"
                )
        if self.max_per_scene is not None and self.max_per_scene < 1:
            raise ValueError(f"at least one clip of a scene must stay, not {self.max_per_scene}")
        if not self.conditions():
            raise ValueError("a rule needs a condition")

    def conditions(self) -> list[Condition]:
        """All that it asks, scores by name, then the rest."""
        asked = [Condition(score=name, least=value) for name, value in sorted(self.minimum.items())]
        asked += [Condition(score=name, most=value) for name, value in sorted(self.maximum.items())]
        asked += [Condition()] if self.drop_short else []
        return asked + ([Condition(per_scene=self.max_per_scene)] if self.max_per_scene is not None else [])

    @property
    def scores(self) -> set[str]:
        """The scores that a clip needs to be judged."""
        return {*self.minimum, *self.maximum}

    def settings(self) -> dict[str, Any]:
        """As stored and hashed."""
        return {
            "kind": "filter",
            "version": 2,
            "min": {name: float(value) for name, value in self.minimum.items()},
            "max": {name: float(value) for name, value in self.maximum.items()},
            "max_per_scene": self.max_per_scene,
            "drop_short": self.drop_short,
        }


DEFAULT = Rule(minimum={"variance": DEFAULT_MIN_VARIANCE})


def rule_of(settings: Mapping[str, Any]) -> Rule:
    """The rule that `Rule.settings` came from."""
    return Rule(
        minimum=settings["min"],
        maximum=settings["max"],
        max_per_scene=settings["max_per_scene"],
        drop_short=settings["drop_short"],
    )


@dataclass(frozen=True, kw_only=True)
class SavedRule:
    """A version of a named rule."""

    name: str
    version: int
    rule: Rule
    active: bool = True
    created_at: datetime | None = None  # None: not saved yet

    def __str__(self) -> str:
        return f"rule {self.name}, version {self.version}"


def saved_rules(session: Session) -> list[SavedRule]:
    """The newest version of every rule, in the order in which the rules were first made; inactive ones too."""
    rules, recipes = RuleRow.__table__, Recipe.__table__
    newest = select(rules.c.name, func.max(rules.c.version)).group_by(rules.c.name)
    first = select(func.min(rules.c.created_at)).where(rules.c.name == (of := rules.alias()).c.name).scalar_subquery()
    rows = session.execute(
        select(of.c.name, of.c.version, of.c.active, of.c.created_at, recipes.c.settings)
        .join(recipes, recipes.c.hash == of.c.recipe_hash)
        .where(tuple_(of.c.name, of.c.version).in_(newest))
        .order_by(first, of.c.name)
    )
    return [
        SavedRule(name=name, version=version, rule=rule_of(settings), active=active, created_at=created_at)
        for name, version, active, created_at, settings in rows
    ]


def active_rules(rules: list[SavedRule]) -> list[SavedRule]:
    """The rules that count."""
    return [rule for rule in rules if rule.active]


def bounds(rules: Iterable[SavedRule], score: str) -> tuple[list[float], list[float]]:
    """All lower and all upper bounds that these rules set for a score, each in order."""
    lower = {saved.rule.minimum[score] for saved in rules if score in saved.rule.minimum}
    upper = {saved.rule.maximum[score] for saved in rules if score in saved.rule.maximum}
    return sorted(lower), sorted(upper)


def proposed(rules: list[SavedRule], name: str, rule: Rule) -> list[SavedRule]:
    """All rules as they would be with `rule` saved under `name`: the same settings again are no new version."""
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a rule: letters, digits, '.', '_' and '-', at most 64")
    before = next((saved for saved in rules if saved.name == name), None)
    if before is None:
        return [*rules, SavedRule(name=name, version=1, rule=rule)]
    if before.rule.settings() == rule.settings():
        new = SavedRule(name=name, version=before.version, rule=rule, created_at=before.created_at)
    else:
        new = SavedRule(name=name, version=before.version + 1, rule=rule)
    return [new if saved is before else saved for saved in rules]


def without(rules: list[SavedRule], name: str) -> list[SavedRule]:
    """All rules as they would be with `name` inactive. Raises LookupError if there is none of that name."""
    if name not in {saved.name for saved in rules}:
        raise LookupError(name)
    return [
        SavedRule(name=saved.name, version=saved.version, rule=saved.rule, active=False, created_at=saved.created_at)
        if saved.name == name
        else saved
        for saved in rules
    ]


def store(session: Session, rules: list[SavedRule]) -> None:
    """Make the catalogue's rules these: new versions are added, and what is active is set."""
    for saved in rules:
        row = session.get(RuleRow, (saved.name, saved.version))
        if row is None:
            key = keep_recipe(session, "filter", saved.rule.settings())
            session.add(RuleRow(name=saved.name, version=saved.version, recipe_hash=key, active=saved.active))
        else:
            row.active = saved.active
    session.flush()
