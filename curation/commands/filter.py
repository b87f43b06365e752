"""`curate filter`: decide by the stored scores which clips go on to review."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from curation.commands.common import Dataset, Outcome, UsageFault, dataset_options, finish, next_command
from curation.filtering.histograms import Histogram, histogram, score_names, text_bars
from curation.filtering.judging import Verdicts, apply, judge
from curation.filtering.rules import (
    DEFAULT,
    DEFAULT_NAME,
    Rule,
    SavedRule,
    active_rules,
    bounds,
    proposed,
    saved_rules,
    store,
    without,
)
from db.engine import Catalogue

RECOMMENDED_NAME = "recommended"


def parse_bounds(ctx: click.Context, param: click.Parameter, values: Sequence[str]) -> dict[str, float]:
    """Bounds such as `letterbox=0.1`, by score; each score once."""
    bounds: dict[str, float] = {}
    for text in values:
        name, equals, number = text.partition("=")
        name = name.strip()
        try:
            value = float(number)
        except ValueError:
            equals = ""
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=NUMBER, such as letterbox=0.1")
        if name in bounds:
            raise click.BadParameter(f"{name} is given twice")
        bounds[name] = value
    return bounds


@click.command("filter")
@click.option("--rule", "name", metavar="NAME", help="Save the conditions under this name.  [default: default]")
@click.option("--min-variance", type=float, help="The same as --min variance=NUMBER (Eq. 3.19, RGB in [0, 1]).")
@click.option(
    "--min", "minimum", callback=parse_bounds, multiple=True, metavar="NAME=NUMBER", help="The least to keep."
)
@click.option("--max", "maximum", callback=parse_bounds, multiple=True, metavar="NAME=NUMBER", help="The most to keep.")
@click.option("--max-per-scene", type=click.IntRange(1), metavar="N", help="Keep the N best of near-duplicates.")
@click.option("--keep-short/--drop-short", "keep_short", default=None, help="Clips of videos shorter than a clip.")
@click.option("--recommended", is_flag=True, help="Use the published thresholds of all scores; others given win.")
@click.option("--remove", metavar="NAME", help="Make a saved rule inactive.")
@click.option("--list", "listed", is_flag=True, help="Show the saved rules and what each filters; change nothing.")
@click.option("--dry-run", is_flag=True, help="Say what would happen, with histograms; change nothing.")
@click.option("--histogram", "png", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the scores used.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Draw every score, a PNG each.")
@dataset_options
def filter_(
    dataset: Dataset, name: str | None, min_variance: float | None, minimum: dict[str, float],
    maximum: dict[str, float], max_per_scene: int | None, keep_short: bool | None, recommended: bool,
    remove: str | None, listed: bool, dry_run: bool, png: Path | None, plots: Path | None,
) -> None:  # fmt: skip
    """Filter clips out by saved rules over their scores. Decodes and deletes nothing.

    A rule is all the conditions given in one call; a clip is kept if every active rule keeps it. The same name again
    replaces a rule by a new version. Without conditions the active rules are applied once more, and where none was
    ever saved, rule 'default' is: --min-variance 0.001, as in the thesis.

    A changed or removed rule brings clips back. Clips that a person has judged keep their verdict; clips that lack a
    score stay undecided.
    """
    if min_variance is not None:
        if "variance" in minimum:
            raise UsageFault("--min-variance and --min variance=... say the same; give one")
        minimum = {**minimum, "variance": min_variance}
    wanted = Wanted(
        name=name,
        minimum=minimum,
        maximum=maximum,
        max_per_scene=max_per_scene,
        keep_short=keep_short,
        recommended=recommended,
        remove=remove,
    )
    if (remove or listed) and (wanted.asks or name or (remove and listed)):
        raise UsageFault("--list and --remove stand alone: no --rule and no conditions with them")
    with dataset.open() as catalogue:
        outcome = perform(catalogue, dataset, wanted, dry_run=dry_run or listed, listed=listed, png=png, plots=plots)
    finish(dataset, outcome)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command was asked to change about the rules."""

    name: str | None
    minimum: dict[str, float]
    maximum: dict[str, float]
    max_per_scene: int | None
    keep_short: bool | None
    recommended: bool
    remove: str | None

    @property
    def asks(self) -> bool:
        """Whether it holds a condition."""
        given = (self.minimum, self.maximum, self.max_per_scene, self.recommended)
        return any(given) or self.keep_short is not None

    def rules(self, session: Session) -> list[SavedRule]:
        """All rules as they shall be. Raises `UsageFault`."""
        rules = saved_rules(session)
        try:
            if self.remove is not None:
                return without(rules, self.remove)
            if self.asks:
                rule = self._rule()
                _refuse_unknown(session, rule)
                return proposed(rules, self.name or (RECOMMENDED_NAME if self.recommended else DEFAULT_NAME), rule)
            if self.name is not None:
                saved = next((saved for saved in rules if saved.name == self.name), None)
                if saved is None:
                    raise LookupError(self.name)
                return proposed(rules, saved.name, saved.rule)
        except LookupError as error:
            known = ", ".join(saved.name for saved in rules) or "none"
            raise UsageFault(f"no rule is called {error.args[0]!r} (saved: {known}); give it conditions") from None
        except ValueError as error:
            raise UsageFault(str(error)) from None
        return rules or proposed([], DEFAULT_NAME, DEFAULT)

    def _rule(self) -> Rule:
        minimum, maximum = dict(self.minimum), dict(self.maximum)
        if self.recommended:
            from curation.filtering.recommended import recommended  # late: brings all scorers

            published = recommended()
            minimum, maximum = {**published.minimum, **minimum}, {**published.maximum, **maximum}
        return Rule(
            minimum=minimum,
            maximum=maximum,
            max_per_scene=self.max_per_scene,
            drop_short=self.keep_short is False,
        )


def _refuse_unknown(session: Session, rule: Rule) -> None:
    stored = set(score_names(session))
    if rule.scores <= stored:
        return
    from curation.filtering.recommended import known_names  # late: brings all scorers

    known = stored | known_names()
    if unknown := sorted(rule.scores - known):
        raise UsageFault(f"no score is called {', '.join(unknown)}; there are {', '.join(sorted(known))}")


def perform(
    catalogue: Catalogue,
    dataset: Dataset,
    wanted: Wanted,
    *,
    dry_run: bool = False,
    listed: bool = False,
    png: Path | None = None,
    plots: Path | None = None,
) -> Outcome:
    """Save what was asked and apply all active rules, or say what that would do."""
    with catalogue.reading() if dry_run else catalogue.writing() as session:
        rules = wanted.rules(session)
        active = active_rules(rules)
        used = sorted({score for saved in active for score in saved.rule.scores})
        drawn = [histogram(session, score, _bounds(active, score)) for score in used] if dry_run or png else []
        verdicts = judge(session, active, {one.score: one.clips for one in drawn})
        if not dry_run:
            store(session, rules)
            apply(session, verdicts)
    with catalogue.reading() as session:
        names = score_names(session) if plots else []
        plotted = [histogram(session, score, _bounds(active, score)) for score in names]
    told = _outcome(dataset, verdicts, rules, drawn, dry_run=dry_run)
    if listed:
        told.remarks = _listed(rules, verdicts) or ["no rule is saved yet; the first call saves 'default'"]
    elif dry_run:
        told.remarks += ["dry run: nothing was changed", *_conditions(verdicts)]
        for one in drawn:
            told.remarks += text_bars(one, _bounds(active, one.score))
    told.remarks += _draw(active, drawn if png else [], png, plotted, plots)
    if verdicts.decided:
        told.remarks.append(f"{verdicts.decided:,} clips that were judged keep their verdict")
    return told


def _outcome(
    dataset: Dataset, verdicts: Verdicts, rules: Sequence[SavedRule], drawn: Sequence[Histogram], *, dry_run: bool
) -> Outcome:
    remarks = []
    if not active_rules(list(rules)):
        remarks.append("no rule is active: every scored clip is kept")
    undecided = verdicts.undecided
    if undecided:
        lacking = ", ".join(f"{score} ({number:,})" for score, number in verdicts.unjudged.items())
        remarks.append(f"{undecided:,} clips lack a score and stay undecided: {lacking}; run: curate score")
    return Outcome(
        command="filter",
        counts={
            "kept": verdicts.kept,
            "filtered": verdicts.filtered,
            "newly_kept": len(verdicts.newly_kept),
            "newly_filtered": len(verdicts.newly_filtered),
        },
        remarks=remarks,
        details={
            "dry_run": dry_run,
            "undecided": undecided,
            "decided": verdicts.decided,
            "rules": [_rule_json(saved, verdicts) for saved in rules],
            "conditions": [
                {
                    "rule": one.rule.name,
                    "version": one.rule.version,
                    "condition": str(one.condition),
                    "filters": len(one.clips),
                }
                for one in verdicts.broken
            ],
            "histograms": {
                one.score: [{"from": _finite(b.low), "to": _finite(b.high), "clips": b.clips} for b in one.bins]
                for one in drawn
            },
        },
        next=next_command(dataset, "filter" if dry_run else "preview"),
    )


def _finite(edge: float) -> float | None:
    """JSON knows no infinity: the outermost bins are open."""
    return edge if abs(edge) != float("inf") else None


def _rule_json(saved: SavedRule, verdicts: Verdicts) -> dict[str, Any]:
    return {
        "name": saved.name,
        "version": saved.version,
        "active": saved.active,
        "saved": saved.created_at and saved.created_at.isoformat(),
        "settings": saved.rule.settings(),
        "filters": verdicts.filtered_by(saved) if saved.active else None,
    }


def _conditions(verdicts: Verdicts) -> list[str]:
    return [f"{len(one.clips):,} clips break {one.condition} ({one.rule})" for one in verdicts.broken]


def _listed(rules: Sequence[SavedRule], verdicts: Verdicts) -> list[str]:
    lines = []
    for saved in rules:
        if saved.created_at is None:  # what the first call would save
            continue
        asked = ", ".join(str(condition) for condition in saved.rule.conditions())
        effect = f"filters {verdicts.filtered_by(saved):,} clips" if saved.active else "inactive"
        lines.append(f"{saved.name}, version {saved.version} of {saved.created_at:%Y-%m-%d}: {asked}: {effect}")
    return lines


def _bounds(rules: Sequence[SavedRule], score: str) -> list[float]:
    lower, upper = bounds(rules, score)
    return [*lower, *upper]


def _draw(
    active: Sequence[SavedRule],
    drawn: Sequence[Histogram],
    png: Path | None,
    plotted: Sequence[Histogram],
    plots: Path | None,
) -> list[str]:
    """Draw what was asked for; returns what to say of it."""
    if png is None and plots is None:
        return []
    from curation.filtering.plots import draw  # late: matplotlib takes a second to load

    remarks = []
    if png is not None:
        panels = [(one, _bounds(active, one.score)) for one in drawn if one.clips]
        if panels:
            draw(png, panels)
        remarks.append(f"histograms: {png}" if panels else "no score to draw")
    if plots is not None:
        measured = [one for one in plotted if one.clips]
        for one in measured:
            draw(plots / f"{one.score}.png", [(one, _bounds(active, one.score))])
        remarks.append(f"{len(measured)} histograms in {plots}" if measured else "no score to draw")
    return remarks
