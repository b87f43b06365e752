"""`modeling export`: a trained generator for use elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click
import torch

from modeling.commands.common import checkpoint_option, json_option, report, run_option, say
from modeling.exporting.export import ExportFormat
from modeling.exporting.export import export as export_model
from modeling.inference import load_trained


@click.command()
@run_option
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="DIR", help="A new folder, or an earlier export."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(get_args(ExportFormat)),
    default="safetensors",
    show_default=True,
    help="Weights with their description; ONNX graphs of the first state and of one step (extra `onnx`); or both.",
)
@checkpoint_option
@json_option
def export(run: Path, out: Path, form: ExportFormat, checkpoint: Path | None, as_json: bool) -> None:
    """Write a trained generator with all that is needed to use it.

    The weights' folder is a run to `modeling animate --run`. ONNX graphs are compared with the network over a whole
    clip before they are kept.
    """
    trained = load_trained(run, torch.device("cpu"), checkpoint)
    exported = export_model(trained, run, out, form, say)
    content = {
        "run": str(run),
        "weights": str(trained.source),
        "step": trained.step,
        "out": str(exported.folder),
        "files": {file.name: file.stat().st_size for file in exported.files},
        "largest_difference": exported.difference,
    }
    lines = [f"{file} ({file.stat().st_size:,} bytes)" for file in exported.files]
    if exported.difference is not None:
        lines.append(
            f"the graphs differ from the network by {exported.difference:.1e} at most (in [-1, 1], "
            f"{trained.config.generated_frames} frames, onnxruntime)"
        )
    used = None if form == "onnx" else f"modeling animate --run {out} --out DIR IMAGE..."
    report(as_json, content, [*lines, f"exported {trained.source}, step {trained.step}"], next_command=used)
