"""A trained generator for use elsewhere: weights with all that describes them, and ONNX graphs of one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modeling.errors import UsageError
from modeling.exporting.onnx_graphs import (
    OPSET,
    Begin,
    ExportError,
    Signature,
    Step,
    inspect,
    largest_difference,
    require_packages,
    to_onnx,
)
from modeling.files import atomic_folder, read_json, write_json
from modeling.inference import Trained
from modeling.runs.folder import MODEL_FORMAT, RunFolder

ExportFormat = Literal["safetensors", "onnx", "all"]

OWN_FILES = frozenset(("model.safetensors", "model.json", "begin.onnx", "step.onnx", "onnx.json"))
TOLERANCE = 1e-3  #      of a frame in [-1, 1]: an eighth of a level of 255
CLIP_COUNTS = (1, 3)  #  clips at once in the check: the graphs must take any number
VALUES = "float32 RGB in [-1, 1]: uint8 / 127.5 - 1; frames are stored sRGB values, channels first"
CODE_LICENCE = "Apache-2.0"
WEIGHTS_LICENCE = "that of the training data applies to what is made of them; `data` names the shards"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an export wrote, and how far the graphs are from the network."""

    folder: Path
    files: list[Path]
    difference: float | None = None  # largest, over the clips of the check, in [-1, 1]


def export(
    trained: Trained, run: Path, folder: Path, form: ExportFormat, say: Callable[[str], None] = lambda line: None
) -> Exported:
    """Write `folder`, whole or not at all; an earlier export in it is replaced.

    UsageError where the folder holds anything else or packages are missing; ExportError where the generator cannot
    become a graph, or its graphs differ from it by more than 1e-3.
    """
    if folder.exists() and (not folder.is_dir() or any(file.name not in OWN_FILES for file in folder.iterdir())):
        raise UsageError(f"{folder} holds other files than an export, and would be replaced: choose another --out")
    if form != "safetensors":
        require_packages()
    difference = None
    with atomic_folder(folder) as temporary:
        if form != "onnx":
            write_weights(trained, run, temporary)
        if form != "safetensors":
            difference = write_graphs(trained, run, temporary, say)
    return Exported(folder=folder, files=sorted(folder.iterdir()), difference=difference)


def description(trained: Trained, run: Path) -> dict[str, Any]:
    """What both kinds of export say about the model."""
    environment = run / "environment.json"
    data = read_json(environment, "remove it, or restore it").get("data") if environment.exists() else None
    config = trained.config
    return {
        "step": trained.step,
        "data": data,
        "values": VALUES,
        "resolution": config.resolution,
        "frames_trained": config.frames,
        "deterministic": trained.deterministic,
        "licence": {"code": CODE_LICENCE, "weights": WEIGHTS_LICENCE},
    }


def write_weights(trained: Trained, run: Path, folder: Path) -> None:
    """model.safetensors and model.json in the form of a run folder, so that `modeling animate --run` takes it."""
    target = RunFolder(folder)
    averaged = trained.config.training.ema_decay is not None
    target.write_model(trained.generator.state_dict(), config=trained.config, step=trained.step, averaged=averaged)
    about = read_json(folder / "model.json", "export again")
    usage = {
        "animate": "modeling animate --run THIS_FOLDER IMAGE... --out DIR",
        "python": "from modeling.inference import load_trained; "
        "trained = load_trained(Path('THIS_FOLDER'), torch.device('cpu'))",
    }
    write_json(folder / "model.json", {**about, **description(trained, run), "usage": usage})


def write_graphs(trained: Trained, run: Path, folder: Path, say: Callable[[str], None]) -> float:
    """begin.onnx, step.onnx and onnx.json; how far the graphs are from the network, in [-1, 1]."""
    generator = trained.generator
    signature = inspect(generator)
    graphs: dict[str, Begin | Step] = {"begin": Begin(generator, signature), "step": Step(generator, signature)}
    for name, graph in graphs.items():
        say(f"tracing {name}.onnx")
        model = to_onnx(graph, name)
        (folder / f"{name}.onnx").write_bytes(model.SerializeToString(deterministic=True))
    frames = trained.config.generated_frames
    difference = max(
        largest_difference(generator, signature, folder, clips=clips, frames=frames) for clips in CLIP_COUNTS
    )
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the ONNX graphs differ from the network by {difference:.1e} in [-1, 1] over {frames} frames, "
            f"more than {TOLERANCE:.0e}: nothing was written; give --format safetensors"
        )
    about = {
        "format": MODEL_FORMAT,
        "preset": trained.config.preset,
        **description(trained, run),
        "opset": OPSET,
        "graphs": {name: _tensors(graph) for name, graph in graphs.items()},
        "loop": _loop(signature),
        "check": {
            "against": "the network in torch, float32, CPU",
            "largest_difference": difference,
            "tolerance": TOLERANCE,
            "frames": frames,
            "clips": list(CLIP_COUNTS),
        },
        "config": trained.config.to_dict(),
    }
    write_json(folder / "onnx.json", about)
    return difference


def _tensors(graph: Begin | Step) -> dict[str, Any]:
    return {
        "inputs": {name: ["clips", *tensor.shape[1:]] for name, tensor in graph.inputs.items()},
        "outputs": graph.outputs,
    }


def _loop(signature: Signature) -> list[str]:
    """How to use the graphs, a line each."""
    kept = [name for name in signature.carried if name not in signature.changing]
    return [
        "state = begin(inputs), by the names of its outputs",
        "for each frame: frame, next_* = step(state and the other inputs of step); then state[NAME] = next_NAME",
        f"what begin alone makes stays as it is: {', '.join(kept) or 'nothing'}",
        "noise_* are standard normal, drawn anew at each call of the graph that takes them; zeros switch them off",
    ]
