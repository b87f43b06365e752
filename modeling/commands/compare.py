"""`modeling compare`: the evaluations of runs as one table, their curves and clips side by side, and a page."""

from __future__ import annotations

import re
from pathlib import Path

import click

from modeling.commands.common import device_option, json_option, report, say
from modeling.comparison import curves
from modeling.comparison.clips import Scene, make_scenes, strip
from modeling.comparison.differences import groups, require_comparable
from modeling.comparison.evaluations import read_evaluations
from modeling.comparison.page import png, render
from modeling.comparison.table import as_csv, as_markdown, as_values, build
from modeling.errors import UsageError
from modeling.evaluation.picture import TITLES
from modeling.files import atomic_folder, write_json
from modeling.inference import choose_device

OURS = re.compile(r"comparison\.(json|md|csv)|index\.html|curves(-\d+)?\.png|strip-\d+-\d+\.png")
LAST_FRAME = 149


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="For the page and its files."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="SHARDS",
    help="The evaluated shards: also show clips; repeatable, where runs are of different data.",
)
@click.option(
    "--frames", default="1,5,10,15,20", show_default=True, metavar="LIST", help="Of the strips; 0: the input."
)
@click.option("--clips", type=click.IntRange(min=1), default=4, show_default=True, help="To show, of each --data.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Chooses the clips.")
@click.option("--names", metavar="A,B", help="What the runs are called.  [default: their folders' names]")
@click.option("--split", type=click.Choice(["test", "val", "train"]), help="Of the evaluations.  [default: the newest]")
@click.option("--step", type=click.IntRange(min=0), help="Of the evaluations.  [default: the newest]")
@click.option(
    "--protocol", type=click.Choice(["standard", "as-published"]), help="Of the evaluations.  [default: the newest]"
)
@click.option("--force", is_flag=True, help="Set numbers of different protocols side by side, with marks.")
@device_option
@json_option
def compare(
    runs: tuple[Path, ...],
    out: Path,
    data: tuple[Path, ...],
    frames: str,
    clips: int,
    seed: int,
    names: str | None,
    split: str | None,
    step: int | None,
    protocol: str | None,
    force: bool,
    device: str,
    as_json: bool,
) -> None:
    """Set evaluations side by side: tables, curves and, with --data, frames and videos of their clips.

    RUN is a run folder, or the folder or file of reports that `modeling evaluate` wrote of --samples. Runs on different
    data have a table for each data set.
    """
    chosen = _frames(frames)
    _require_ours(out)
    called = None if names is None else [name.strip() for name in names.split(",")]
    evaluations = read_evaluations(runs, called, split=split, step=step, protocol=protocol, say=say)
    differences = require_comparable(evaluations, force=force)
    for line in differences:
        say(f"different protocols: {line}")
    table, sets = build(evaluations), groups(evaluations)
    if len(sets) > 1:
        told = " | ".join(", ".join(one.name for one in group) for group in sets)
        say(f"{len(sets)} data sets, each with a table of its own: {told}")
    scenes: list[Scene] = []
    remarks: list[str] = []

    def tell(line: str) -> None:
        say(line)
        remarks.append(line)

    if data:
        where = choose_device(device)
        scenes = make_scenes(
            evaluations, data, chosen=chosen, count=clips, seed=seed, device=where, force=force, say=tell
        )
    drawn = [(part.about, curves.draw(group)) for part, group in zip(table.parts, sets, strict=True)]
    pictures = [(about, picture) for about, picture in drawn if picture is not None]
    found = {one.name: {name: curves.returns(one, name) for name in curves.there([one])} for one in evaluations}
    returns = [
        f"{name}: {TITLES[curve]} at frame {', '.join(map(str, at))}"
        for name, of in found.items()
        for curve, at in of.items()
        if at
    ]
    page = render(table, differences, pictures, scenes, chosen, returns=returns, remarks=remarks)
    content = {
        "format": 2,
        "runs": {
            one.name: {"run": None if one.run is None else str(one.run), "evaluation": str(one.file)}
            for one in evaluations
        },
        "protocols": {one.name: dict(one.protocol) for one in evaluations},
        "differences": differences,
        "rows": as_values(table),
        "returns": found,
        "clips": [scene.id for scene in scenes],
    }
    with atomic_folder(out) as folder:
        write_json(folder / "comparison.json", content)
        (folder / "comparison.md").write_text(as_markdown(table, differences), encoding="utf-8")
        (folder / "comparison.csv").write_text(as_csv(table), encoding="utf-8")
        (folder / "index.html").write_text(page, encoding="utf-8")
        for number, (_, picture) in enumerate(pictures, 1):
            (folder / ("curves.png" if number == 1 else f"curves-{number}.png")).write_bytes(picture)
        for number, scene in enumerate(scenes, 1):
            masked = any(row.labels is not None for row in scene.rows)
            for place, row in enumerate(scene.rows):
                (folder / f"strip-{number}-{place}.png").write_bytes(png(strip(row, chosen, masked=masked)))
    lines = []
    for part in table.parts:
        lines += [f"{part.about}:"] if len(table.parts) > 1 else []
        lines += [
            f"{row.title:28} "
            + "  ".join(f"{metric} {row.text(metric)}" for metric in table.metrics if metric in row.entries)
            for row in part.rows
        ]
        lines += [f"protocol of {text}" for text in part.protocols]
    lines.append(f"written: {out / 'index.html'} ({len(page) / 1e6:.1f} MB), comparison.md, .csv and .json")
    report(as_json, {**content, "page": str(out / "index.html")}, lines, next_command=None)


def _frames(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and int(part) <= LAST_FRAME for part in parts):
        raise UsageError(f"--frames takes numbers of 0 to {LAST_FRAME} with commas, such as 1,5,10,15,20, not {text!r}")
    return sorted({int(part) for part in parts})


def _require_ours(out: Path) -> None:
    """What is there is replaced as a whole: only an earlier comparison may be."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; name a folder")
    others = [file.name for file in out.iterdir() if not OURS.fullmatch(file.name)] if out.is_dir() else []
    if others:
        raise UsageError(f"--out {out} holds other files ({sorted(others)[0]}); name a new folder")
