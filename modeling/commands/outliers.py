"""`modeling outliers`: the clips that stood in batches with extreme gradients."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from modeling.commands.common import json_option, report, run_option
from modeling.runs.folder import RunFolder
from modeling.training.outliers import OUTLIERS_FILE, Suspect, rank


@click.command()
@run_option
@click.option("--top", type=click.IntRange(min=1), default=25, show_default=True, metavar="CLIPS", help="How many.")
@json_option
def outliers(run: Path, top: int, as_json: bool) -> None:
    """Name the clips that upset training.

    They stood in batches whose gradient norm was extreme (section 3.9), and are ranked by the sum, over those
    batches, of how many doublings the norm lay above its network's median.
    """
    ranking = rank(RunFolder(run))
    shown = ranking.suspects[:top]
    content = {
        "run": str(run),
        "steps": ranking.steps,
        "extreme_passes": ranking.passes,
        "last_extreme_step": ranking.last_step,
        "clips": [_plain(suspect) for suspect in shown],
        "more": len(ranking.suspects) - len(shown),
    }
    if not shown:
        report(as_json, content, [f"no extreme gradient norm in {ranking.steps} steps of {run}"], next_command=None)
        return
    if not as_json:
        table = Table("clip", "batches", "doublings", "largest", "networks", "windows begin at frame")
        for column in table.columns[1:4]:
            column.justify = "right"
        for suspect in shown:
            table.add_row(
                suspect.clip,
                str(suspect.times),
                f"{suspect.doublings:.1f}",
                f"{suspect.largest:.1f} x",
                ", ".join(sorted(suspect.networks)),
                _few(sorted(suspect.starts)),
            )
        Console().print(table)
    lines = [f"{ranking.passes} extreme passes in {ranking.steps} steps; the last in step {ranking.last_step}"]
    if content["more"]:
        lines.append(f"{content['more']} more clips stood in such batches (--top)")
    lines.append(f"each batch with its clips: {run / OUTLIERS_FILE}")
    clips = shlex.join(suspect.clip for suspect in shown)
    report(as_json, content, lines, next_command=f"curate review {clips}")


def _few(starts: list[int], most: int = 6) -> str:
    return ", ".join(map(str, starts[:most])) + (", ..." if len(starts) > most else "")


def _plain(suspect: Suspect) -> dict[str, Any]:
    return {
        "id": suspect.clip,
        "batches": suspect.times,
        "doublings": round(suspect.doublings, 4),
        "largest": round(suspect.largest, 4),
        "networks": sorted(suspect.networks),
        "starts": sorted(suspect.starts),
        "steps": suspect.steps,
    }
