"""`curate decisions`: the whole history of what annotators decided."""

from __future__ import annotations

import json
from typing import Any

import click
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from curation.commands.common import Dataset, UsageFault, dataset_options
from curation.ranking.agreement import Agreement, agreements
from db.models import Clip, Decision
from db.verdicts import Standing, disputed

LISTED = 20


@click.command()
@click.option("--clip", "clips", multiple=True, metavar="CLIP", help="Only decisions on this clip; may be repeated.")
@click.option("--annotator", metavar="NAME", help="Only this annotator's decisions.")
@dataset_options
def decisions(dataset: Dataset, clips: tuple[str, ...], annotator: str | None) -> None:
    """List the decisions, newest last: who, when, verdict, reason, review, how long the clip was seen.

    Decisions are never changed: taking one back is a row of its own. Also tells how far annotators agree (Cohen's
    kappa over the clips that two of them looked at) and which clips are in dispute. Text shows the newest 20 rows;
    --json has them all.
    """
    with dataset.open() as catalogue, catalogue.reading() as session:
        unknown = sorted(set(clips) - set(session.scalars(select(Clip.id).where(Clip.id.in_(clips)))))
        if unknown:
            raise UsageFault(f"no such clip: {', '.join(unknown)} (curate status --json lists them)")
        wanted = select(Decision).order_by(Decision.id)
        if clips:
            wanted = wanted.where(Decision.clip_id.in_(clips))
        if annotator is not None:
            wanted = wanted.where(Decision.annotator == annotator)
        pairs, open_disputes = agreements(session), disputed(session)
        if dataset.json:
            _print_json(session, wanted, pairs, open_disputes)
        else:
            _print_text(session, wanted, pairs, open_disputes)


def row(decision: Decision) -> dict[str, Any]:
    """A decision as machines get it."""
    return {
        "id": decision.id,
        "clip": decision.clip_id,
        "annotator": decision.annotator,
        "verdict": decision.verdict,
        "reason": decision.reason,
        "review": decision.review,
        "batch": decision.batch_id,
        "seconds": decision.seconds,
        "share_seen": decision.share_seen,
        "at": decision.created_at.isoformat(),
    }


def pair_row(pair: Agreement) -> dict[str, Any]:
    """Two annotators' agreement as machines get it."""
    return {**vars(pair), "clips": pair.clips, "observed": pair.observed, "kappa": pair.kappa}


def _print_json(
    session: Session, wanted: Select[Decision], pairs: list[Agreement], disputes: dict[str, Standing]
) -> None:
    # Row by row: a long history need not fit into memory twice.
    click.echo('{"decisions": [', nl=False)
    rows = session.scalars(wanted.execution_options(yield_per=1000))
    for number, decision in enumerate(rows):
        click.echo(("," if number else "") + "\n" + json.dumps(row(decision), ensure_ascii=False), nl=False)
    rest = {"agreement": [pair_row(pair) for pair in pairs], "disputed": sorted(disputes)}
    click.echo("],\n" + json.dumps(rest, ensure_ascii=False)[1:])


def _print_text(
    session: Session, wanted: Select[Decision], pairs: list[Agreement], disputes: dict[str, Standing]
) -> None:
    newest = list(session.scalars(wanted.order_by(None).order_by(Decision.id.desc()).limit(LISTED + 1)))
    if not newest:
        click.echo("decisions: none")
    elif len(newest) > LISTED:
        click.echo(f"the newest {LISTED} decisions (all with --json):")
    for decision in reversed(newest[:LISTED]):
        why = f" ({decision.reason})" if decision.reason else ""
        when = f"{decision.created_at:%Y-%m-%d %H:%M:%S} UTC"
        click.echo(
            f"  {decision.id}  {when}  {decision.annotator}: {decision.verdict}{why}  {decision.clip_id}"
            f"  [{decision.review}]"
        )
    for pair in pairs:
        kappa = "undefined (both gave one verdict only)" if pair.kappa is None else f"{pair.kappa:.2f}"
        click.echo(
            f"{pair.first} and {pair.second} looked at {pair.clips:,} clips: they agree on {pair.observed:.0%}, "
            f"Cohen's kappa {kappa}"
        )
    if disputes:
        click.echo(f"{len(disputes):,} clips are in dispute; rule on them with: curate annotate --state disputed")
