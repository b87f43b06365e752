"""`modeling describe`: the presets there are, or what one of them is made of and needs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from modeling.commands.common import json_option
from modeling.config import Config, apply_overrides
from modeling.measuring.describe import describe as describe_config
from modeling.measuring.memory import MemoryEstimate, estimate
from modeling.presets import ABOUT, PRESETS, get, summary

NETWORKS = {"generator": "generator", "d_s": "D_S (frames)", "d_t": "D_T (clips)", "d_v": "D_V (whole small clip)"}


@click.command()
@click.option("--preset", metavar="NAME", help="What to describe.  [default: a list of the presets]")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an option of the preset; repeatable."
)
@json_option
def describe(preset: str | None, overrides: tuple[str, ...], as_json: bool) -> None:
    """List the presets, or print the parameters of one's networks, a block at a time, and the memory that it needs."""
    if preset is None:
        if overrides:
            raise click.UsageError("--set changes an option of a preset: give --preset NAME as well")
        _list_presets(as_json)
        return
    config = apply_overrides(get(preset), overrides)
    about = describe_config(config)
    memory = estimate(config)
    if as_json:
        click.echo(json.dumps({**about, "memory": {**asdict(memory), "total": memory.total}}))
        return
    click.echo(ABOUT[preset] + "\n")
    changed = f" with {', '.join(overrides)}" if overrides else ""
    click.echo(
        f"{preset}{changed}: {config.resolution}x{config.resolution} pixels, {config.frames} frames, batches of "
        f"{config.training.batch} clips, {config.training.steps:,} steps"
    )
    table = Table("network", "part", "parameters")
    table.columns[2].justify = "right"
    for network, title in NETWORKS.items():
        if network in about:
            table.add_row(title, "total", f"{about[network]['total']:,}", style="bold")
            for part, count in _parts(about[network]):
                table.add_row("", part, f"{count:,}")
    Console().print(table)
    Console().print(_memory_table(memory))
    click.echo(
        "estimated in fp32, without what CUDA and cuDNN take for themselves; --set micro_batch=N for another size"
    )
    click.echo(f"next: modeling train --data DIR/shards --preset {preset} --run runs/{preset}")


def _list_presets(as_json: bool) -> None:
    if as_json:
        content = [{"preset": name, "about": summary(name), **_outline(config)} for name, config in PRESETS.items()]
        click.echo(json.dumps({"presets": content}))
        return
    for name in PRESETS:
        click.echo(f"{name:27} {summary(name)}")
    click.echo("next: modeling describe --preset NAME")


def _outline(config: Config) -> dict[str, Any]:
    training = config.training
    return {
        "generator": config.generator.kind,
        "resolution": config.resolution,
        "frames": config.frames,
        "batch": training.batch,
        "steps": training.steps,
    }


def _memory_table(memory: MemoryEstimate) -> Table:
    table = Table(f"memory at micro_batch {memory.micro_batch}", "MiB")
    table.columns[1].justify = "right"
    rows = {
        "weights of all networks": "weights",
        "gradients": "gradients",
        "Adam's moments": "optimiser",
        "moving average": "average",
        "held by a D pass at its fullest": "discriminator_pass",
        "held by a G pass at its fullest": "generator_pass",
        "together (the larger pass)": "total",
    }
    for title, name in rows.items():
        style = "bold" if name == "total" else None
        table.add_row(title, f"{getattr(memory, name) / 2**20:,.0f}", style=style)
    return table


def _parts(network: dict[str, Any], indent: str = "") -> Iterator[tuple[str, int]]:
    """(name, parameters) of each part; parts of parts are indented under the part that they make up."""
    for name, value in network.items():
        if isinstance(value, dict):
            yield from _parts(value, indent + "  ")
        elif name != "total":
            yield indent + name, value
