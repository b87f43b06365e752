"""A generator as two ONNX graphs: `begin` makes the state from an image, `step` a frame and the next state from it.

Whatever is drawn (noise, latent) is an input, so the caller chooses how to draw it. Any number of clips B at once.
Needs the packages of the extra `onnx`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from modeling.errors import ModelingError, UsageError
from modeling.networks import Generator
from modeling.networks.noise import FIRST_INPUT, LATENT, MOTION, MOTION_START, NoiseStream

OPSET = 18
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# Of what is drawn, as inputs; style blocks' maps are noise_0, noise_1, ... No tensor of a state is called so.
DRAWN_NAMES = {
    LATENT: "noise_latent",
    FIRST_INPUT: "noise_first_input",
    MOTION: "noise_motion",
    MOTION_START: "noise_motion_start",
}


class ExportError(ModelingError):
    """A generator that cannot become a graph, or a graph that does not give what the generator gives."""


def require_packages() -> None:
    """UsageError where the packages of the extra are not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"--format onnx needs {', '.join(missing)}: pip install 'stillflow[onnx]', or give --format safetensors"
        )


class GivenNoise(NoiseStream):
    """Hands out given values instead of drawing: the inputs of a graph."""

    def __init__(self, values: Mapping[int, Tensor]) -> None:
        super().__init__([])
        self._values = values

    def next_values(self, key: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
        return self._values[key]


class RecordedNoise(NoiseStream):
    """Draws, and keeps what was drawn since it was last asked."""

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__(seeds)
        self._kept: dict[int, Tensor] = {}

    def next_values(self, key: int, shape: tuple[int, ...], like: Tensor) -> Tensor:
        if key in self._kept:
            raise ExportError(f"this generator draws stream {key} twice a step, which one graph input cannot give")
        self._kept[key] = super().next_values(key, shape, like)
        return self._kept[key]

    def taken(self) -> dict[int, Tensor]:
        kept, self._kept = self._kept, {}
        return kept


def flattened(state: Any, name: str = "") -> dict[str, Any]:
    """The leaves of a state of named tuples and lists, by their paths: hidden_0_0, style, ..."""
    if not isinstance(state, list | tuple):
        return {name: state}
    leaves: dict[str, Any] = {}
    for key, item in zip(getattr(state, "_fields", range(len(state))), state, strict=True):
        leaves.update(flattened(item, f"{name}_{key}" if name else str(key)))
    return leaves


def rebuilt(template: Any, leaf: Callable[[str, Any], Any], name: str = "") -> Any:
    """`template` with each leaf replaced by `leaf(path, its value)`."""
    if not isinstance(template, list | tuple):
        return leaf(name, template)
    fields = getattr(template, "_fields", None)
    keys = range(len(template)) if fields is None else fields
    parts = [
        rebuilt(item, leaf, f"{name}_{key}" if name else str(key)) for key, item in zip(keys, template, strict=True)
    ]
    return type(template)(parts) if fields is None else type(template)(*parts)


@dataclass(frozen=True, kw_only=True)
class Signature:
    """What goes in and out of the graphs of one generator, found by running it once."""

    given: dict[str, Tensor]  #       of begin: image or frames, mask; an example each, of two clips
    drawn_first: dict[int, Tensor]  # of begin: what is drawn once a clip
    drawn: dict[int, Tensor]  #       of step: what is drawn a frame
    state: Any  #                     a state, as a template
    source: dict[
        str, str
    ]  #         path of each tensor of a state: the path that stands for it, where two are the same
    changing: list[str]  #            those that a step changes, and puts out

    @property
    def carried(self) -> list[str]:
        """Names of the tensors of a state, each once."""
        return list(dict.fromkeys(self.source.values()))


def examples(generator: Generator, batch: int, seed: int = 0) -> dict[str, Tensor]:
    """Smooth random stills for each context frame, and masks, as `begin` takes them."""
    random, side = torch.Generator().manual_seed(seed), generator.resolution
    given: dict[str, Tensor] = {}
    k = generator.context_frames
    if k:
        coarse = torch.rand(batch * k, 3, 5, 5, generator=random) * 2 - 1
        smooth = nn.functional.interpolate(coarse, size=side, mode="bilinear", align_corners=True)
        given["image" if k == 1 else "frames"] = smooth.reshape(batch, *([k] if k > 1 else []), 3, side, side)
    if generator.mask_classes:
        classes = torch.randint(generator.mask_classes + 1, (batch, 1, side, side), generator=random)
        given["mask"] = (classes == torch.arange(1, generator.mask_classes + 1)[:, None, None]).float()
    return given


def context_in(generator: Generator, given: Mapping[str, Tensor], like: Tensor) -> Tensor:
    """(B, k, 3, R, R) out of the graph's inputs; B is that of `like` where no frame is given."""
    if generator.context_frames == 0:
        return like.new_zeros(like.shape[0], 0, 3, generator.resolution, generator.resolution)
    return given["image"][:, None] if generator.context_frames == 1 else given["frames"]


@torch.no_grad()
def inspect(generator: Generator) -> Signature:
    """Run `generator` for two clips and two frames; ExportError where its state is not one of tensors alone."""
    given, noise = examples(generator, 2), RecordedNoise([1, 2])
    state = generator.begin(context_in(generator, given, torch.zeros(2)), noise, given.get("mask"))
    drawn_first = noise.taken()
    _, after = generator.advance(state, 1)
    before, now = flattened(state), flattened(after)
    drawn = noise.taken()
    source: dict[str, str] = {}
    first: dict[tuple[int, int], str] = {}
    for path, value in before.items():
        if isinstance(value, Tensor):
            source[path] = first.setdefault((id(value), id(now[path])), path)
        elif not (value is None or isinstance(value, NoiseStream) or value == now[path]):
            raise ExportError(
                f"{type(generator).__name__} does not make frames one by one ({path} counts them): "
                "give --format safetensors"
            )
    changing = [path for path in dict.fromkeys(source.values()) if now[path] is not before[path]]
    return Signature(given=given, drawn_first=drawn_first, drawn=drawn, state=state, source=source, changing=changing)


class Begin(nn.Module):
    """Image (and mask, and what is drawn once) -> the tensors of the state."""

    def __init__(self, generator: Generator, signature: Signature) -> None:
        super().__init__()
        self.generator, self.signature = generator, signature
        self.inputs = {**signature.given, **{DRAWN_NAMES[k]: v for k, v in signature.drawn_first.items()}}
        self.outputs = signature.carried

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        named = dict(zip(self.inputs, tensors, strict=True))
        noise = GivenNoise({key: named[DRAWN_NAMES[key]] for key in self.signature.drawn_first})
        context_BK3HW = context_in(self.generator, named, tensors[0])
        leaves = flattened(self.generator.begin(context_BK3HW, noise, named.get("mask")))
        return [leaves[name].clone() for name in self.outputs]


class Step(nn.Module):
    """The state's tensors (and noise) -> a frame (B, 3, R, R), and those tensors of the state that changed."""

    def __init__(self, generator: Generator, signature: Signature) -> None:
        super().__init__()
        self.generator, self.signature = generator, signature
        leaves = flattened(signature.state)
        still = signature.given if generator.hard_mask else {}  # what the mask calls still is copied from the image
        maps = {DRAWN_NAMES.get(key, f"noise_{key}"): v for key, v in signature.drawn.items()}
        self.inputs = {**{name: leaves[name] for name in signature.carried}, **still, **maps}
        self.keys = dict(zip(maps, signature.drawn, strict=True))
        self.outputs = ["frame", *(f"next_{name}" for name in signature.changing)]

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        named = dict(zip(self.inputs, tensors, strict=True))
        noise = GivenNoise({key: named[name] for name, key in self.keys.items()})
        source = self.signature.source

        def leaf(path: str, value: Any) -> Any:
            if isinstance(value, Tensor):
                return named[source[path]]
            return noise if isinstance(value, NoiseStream) else value

        video_BT3HW, after = self.generator.advance(rebuilt(self.signature.state, leaf), 1)
        if self.generator.hard_mask:
            context_BK3HW = context_in(self.generator, named, tensors[0])
            video_BT3HW = self.generator.kept_still(video_BT3HW, context_BK3HW, named["mask"])
        leaves = flattened(after)
        return [video_BT3HW[:, 0], *(leaves[name] for name in self.signature.changing)]


def to_onnx(graph: Begin | Step, name: str) -> Any:
    """The graph as an ONNX model (`onnx.ModelProto`). ExportError where the exporter cannot."""
    tensors = [tensor.contiguous() for tensor in graph.inputs.values()]
    try:
        with _quiet(), torch.no_grad():
            free = ([{0: torch.export.Dim.DYNAMIC} for _ in tensors],)
            program = torch.export.export(graph, (tensors,), dynamic_shapes=free, strict=True)
            exported = torch.onnx.export(
                program,
                input_names=list(graph.inputs),
                output_names=graph.outputs,
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
    except (RuntimeError, ValueError, TypeError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExportError(
            f"{type(graph.generator).__name__} could not become an ONNX graph ({line}): give --format safetensors"
        ) from error
    model = cast(Any, exported).model_proto
    _clean(model, name)
    return model


def _clean(model: Any, name: str) -> None:
    """Remove what the exporter says about this machine's files; name the dimension of clips."""
    model.graph.name, model.doc_string = name, ""
    del model.metadata_props[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    for function in model.functions:
        del function.metadata_props[:]
        for node in function.node:
            del node.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
        value.type.tensor_type.shape.dim[0].dim_param = "clips"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks about its own workings; its errors come as exceptions."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.__trace", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@torch.no_grad()
def largest_difference(generator: Generator, signature: Signature, folder: Path, *, clips: int, frames: int) -> float:
    """How far onnxruntime with the graphs in `folder` is from `generator` over a clip, in [-1, 1]."""
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    begin, step = (
        onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        for name in ("begin", "step")
    )
    given, noise = examples(generator, clips, seed=1), RecordedNoise(list(range(clips)))
    context_BK3HW = context_in(generator, given, torch.zeros(clips))
    state = generator.begin(context_BK3HW, noise, given.get("mask"))
    first = {**given, **{DRAWN_NAMES[key]: value for key, value in noise.taken().items()}}
    held = dict(zip(signature.carried, begin.run(None, _fed(begin, first)), strict=True))
    largest = 0.0
    for _ in range(frames):
        video_BT3HW, state = generator.advance(state, 1)
        if generator.hard_mask:
            video_BT3HW = generator.kept_still(video_BT3HW, context_BK3HW, given["mask"])
        maps = {DRAWN_NAMES.get(key, f"noise_{key}"): value for key, value in noise.taken().items()}
        frame, *changed = step.run(None, _fed(step, {**given, **maps}) | _fed(step, held))
        held |= dict(zip(signature.changing, changed, strict=True))
        difference = (torch.from_numpy(frame) - video_BT3HW[:, 0]).abs().max()
        largest = max(largest, float(difference.nan_to_num(nan=float("inf"))))
    return largest


def _fed(session: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Of `values` those that the graph takes, as arrays."""
    taken = {value.name for value in session.get_inputs()}
    return {
        name: value.contiguous().numpy() if isinstance(value, Tensor) else value
        for name, value in values.items()
        if name in taken
    }
