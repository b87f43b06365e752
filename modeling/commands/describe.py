"""`modeling describe`: what a preset is made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from modeling.commands.common import json_option
from modeling.config import apply_overrides
from modeling.describe import describe as describe_config
from modeling.presets import PRESETS, get


@click.command()
@click.option("--preset", required=True, metavar="NAME", help=f"One of {', '.join(PRESETS)}.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an option of the preset; repeatable."
)
@json_option
def describe(preset: str, overrides: tuple[str, ...], as_json: bool) -> None:
    """Print the parameters of a preset's networks, a block at a time."""
    config = apply_overrides(get(preset), overrides)
    about = describe_config(config)
    if as_json:
        click.echo(json.dumps(about))
        return
    click.echo(
        f"{preset}: {config.resolution}x{config.resolution} pixels, {config.frames} frames, batches of "
        f"{config.training.batch} clips, {config.training.steps:,} steps"
    )
    table = Table("network", "part", "parameters")
    table.columns[2].justify = "right"
    for network, title in (("generator", "generator"), ("d_s", "D_S (frames)"), ("d_t", "D_T (clips)")):
        table.add_row(title, "total", f"{about[network]['total']:,}", style="bold")
        for part, count in _parts(about[network]):
            table.add_row("", part, f"{count:,}")
    Console().print(table)
    click.echo(f"next: modeling train --data DIR/shards --preset {preset} --run runs/{preset}")


def _parts(network: dict[str, Any], indent: str = "") -> Iterator[tuple[str, int]]:
    """(name, parameters) of each part; parts of parts are indented under the part that they make up."""
    for name, value in network.items():
        if isinstance(value, dict):
            yield from _parts(value, indent + "  ")
        elif name != "total":
            yield indent + name, value
