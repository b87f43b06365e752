"""`modeling bench`: what a training step takes, and where it goes."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from modeling.commands.common import device_option, json_option, report
from modeling.config import apply_overrides
from modeling.inference import choose_device
from modeling.measuring.bench import bench as measure
from modeling.presets import get
from modeling.watchers.terminal import NOTICEABLE


@click.command()
@click.option("--preset", required=True, metavar="NAME", help="As of `modeling train`.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change an option of the preset; repeatable."
)
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR", help="Also measure the wait for these shards.")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, help="Steps that are measured.")
@device_option
@json_option
def bench(preset: str, overrides: tuple[str, ...], data: Path | None, rounds: int, device: str, as_json: bool) -> None:
    """Measure where the time of a training step goes.

    Seconds of a whole step and of its parts, memory, and operations a second against the machine's ceiling.
    """
    config = apply_overrides(get(preset), overrides)
    chosen = choose_device(device)
    found = measure(config, chosen, data=data, rounds=rounds)
    total = sum(part.seconds for part in found.parts)
    content = {
        "preset": preset,
        "device": str(chosen),
        "batch": config.training.batch,
        "seconds": found.seconds,
        "clips_per_second": found.clips_per_second,
        "memory_mb": found.memory_mb,
        "flops": found.flops,
        "ceiling_flops_per_second": found.ceiling,
        "utilisation": found.utilisation,
        "wait_seconds": found.wait,
        "parts": [
            {"name": part.name, "seconds": part.seconds, "share": part.seconds / total, "flops": part.flops}
            for part in found.parts
        ],
    }
    if not as_json:
        table = Table("part", "s a step", "share", "GFLOP", "share")
        for column in table.columns[1:]:
            column.justify = "right"
        for part in found.parts:
            table.add_row(
                part.name,
                f"{part.seconds:.4f}",
                f"{part.seconds / total:.1%}",
                f"{part.flops / 1e9:,.2f}",
                f"{part.flops / found.flops:.1%}",
            )
        Console().print(table)
    lines = [
        f"{preset} on {chosen}: {found.seconds:.3f} s a step of {config.training.batch} clip(s) a pass, "
        f"{found.clips_per_second:.2f} clips/s, peak memory {found.memory_mb / 1024:.2f} GB",
        f"{found.flops / 1e9:,.1f} GFLOP a step, {found.flops / found.seconds / 1e9:,.1f} GFLOP/s: "
        f"{found.utilisation:.1%} of {found.ceiling / 1e9:,.0f} GFLOP/s, what a matrix product of "
        f"{config.training.precision} reaches here",
    ]
    if found.wait is not None:
        share = found.wait / found.seconds
        aim = "" if share <= NOTICEABLE else f", more than {NOTICEABLE:.0%}: give `modeling train` --workers"
        lines.append(f"waiting for the loader: {found.wait * 1000:.2f} ms a step, {share:.2%} of it{aim}")
    where = f" --data {data}" if data is not None else " --data DIR/shards"
    report(as_json, content, lines, next_command=f"modeling train{where} --preset {preset} --run runs/{preset}")
