"""`curate status`: where every video and clip stands."""

from __future__ import annotations

import click

from curation.commands.common import Dataset, dataset_options
from curation.status import counts, failures, listing_json
from db.states import VideoState

LISTED = 20


@click.command()
@dataset_options
def status(dataset: Dataset) -> None:
    """Say where everything stands: counts by state and what failed. With --json, every video and clip."""
    with dataset.open() as catalogue, catalogue.reading() as session:
        if dataset.json:
            for piece in listing_json(session):
                click.echo(piece, nl=False)
            click.echo()
            return
        found = counts(session)
        failed = failures(session, LISTED)
    for name, states in found.items():
        total = sum(states.values())
        listed = ", ".join(f"{number:,} {state}" for state, number in states.items())
        click.echo(f"{name}: {total:,}" + (f" ({listed})" if listed else ""))
    for video, source, error in failed:
        click.echo(f"  failed: {video} ({source}): {error}")
    unlisted = found["videos"].get(VideoState.FAILED, 0) - len(failed)
    if unlisted > 0:
        click.echo(f"  and {unlisted:,} more failed videos; all with --json")
