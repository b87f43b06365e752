"""`curate filter`: decide by the stored scores which clips go on to review."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, Outcome, UsageFault, dataset_options, finish, next_command
from curation.rules import Rule, Verdicts, apply, judge
from db.engine import Catalogue

DEFAULT = Rule()


@click.command("filter")
@click.option(
    "--min-variance",
    type=float,
    default=DEFAULT.min_variance,
    show_default=True,
    help="Filter clips out whose variance (Eq. 3.19, RGB in [0, 1]) is below this.",
)
@click.option("--dry-run", is_flag=True, help="Say what would happen, with a histogram; change nothing.")
@dataset_options
def filter_(dataset: Dataset, min_variance: float, dry_run: bool) -> None:
    """Filter out clips that hardly move. Answers from the stored scores; decodes and deletes nothing.

    A changed threshold brings clips back. Clips that a person has judged keep their verdict.
    """
    try:
        rule = Rule(min_variance=min_variance)
    except ValueError as error:
        raise UsageFault(str(error)) from None
    with dataset.open() as catalogue:
        finish(dataset, perform(catalogue, dataset, rule, dry_run=dry_run))


def perform(catalogue: Catalogue, dataset: Dataset, rule: Rule, *, dry_run: bool = False) -> Outcome:
    """Apply a rule, or say what it would do."""
    if dry_run:
        with catalogue.reading() as session:
            verdicts = judge(session, rule)
    else:
        with catalogue.writing() as session:
            verdicts = judge(session, rule)
            apply(session, rule, verdicts)
    told = Outcome(
        command="filter",
        counts={
            "kept": verdicts.kept,
            "filtered": verdicts.filtered,
            "newly_kept": len(verdicts.newly_kept),
            "newly_filtered": len(verdicts.newly_filtered),
        },
        details={
            "dry_run": dry_run,
            "rule": rule.settings(),
            "decided": verdicts.decided,
            "histogram": [{"from": low, "to": high, "clips": clips} for low, high, clips in verdicts.histogram],
        },
        next=next_command(dataset, "filter" if dry_run else "preview"),
    )
    if dry_run:
        told.remarks.append("dry run: nothing was changed")
        told.remarks.extend(bars(verdicts, rule))
    if verdicts.decided:
        told.remarks.append(f"{verdicts.decided} clips that were judged keep their verdict")
    return told


def bars(verdicts: Verdicts, rule: Rule) -> list[str]:
    """The histogram of the variance as lines of text."""
    used = [row for row in verdicts.histogram if row[2]]
    if not used:
        return ["no scored clips"]
    first, last = verdicts.histogram.index(used[0]), verdicts.histogram.index(used[-1])
    most = max(clips for _, _, clips in used)
    lines = ["variance   clips"]
    for low, high, clips in verdicts.histogram[first : last + 1]:
        mark = " <- threshold" if low <= rule.min_variance < high else ""
        lines.append(f"{low:8.1e}   {clips:5,} {'#' * round(40 * clips / most)}{mark}")
    return lines
