"""`curate status`: where every video and clip stands."""

from __future__ import annotations

import json

import click

from curation.commands.common import Dataset, dataset_options
from curation.status import counts, failures, listing

LISTED = 20


@click.command()
@dataset_options
def status(dataset: Dataset) -> None:
    """Say where everything stands: counts by state and what failed. With --json, every video and clip."""
    with dataset.open() as catalogue, catalogue.reading() as session:
        if dataset.json:
            click.echo(json.dumps(listing(session), ensure_ascii=False))
            return
        found = counts(session)
        failed = failures(session)
    for name, states in found.items():
        total = sum(states.values())
        listed = ", ".join(f"{number:,} {state}" for state, number in states.items())
        click.echo(f"{name}: {total:,}" + (f" ({listed})" if listed else ""))
    for video, source, error in failed[:LISTED]:
        click.echo(f"  failed: {video} ({source}): {error}")
    if len(failed) > LISTED:
        click.echo(f"  and {len(failed) - LISTED:,} more failed videos; all with --json")
