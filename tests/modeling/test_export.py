"""Exports that stand alone: weights that animate as the run does, graphs that give what the network gives."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from modeling import presets
from modeling.config import apply_overrides
from modeling.errors import UsageError
from modeling.exporting import export as exporting
from modeling.exporting.export import OWN_FILES, Exported, export
from modeling.exporting.onnx_graphs import Begin, ExportError, Step, flattened, inspect, rebuilt
from modeling.inference import Trained, load_trained, roll_out
from modeling.networks import build_generator
from modeling.networks.noise import NoiseStream
from tests.modeling.conftest import Run

CPU = torch.device("cpu")
# One level, few channels: tracing takes seconds, and every kind of layer is there.
SMALL = ["resolution=8", "frames=6", "generator.widths=[2]", "generator.ch=2", "generator.style_dim=8"]
SMALL += ["d_s.widths=[2,2]", "d_s.frames=3", "d_t.widths=[2,2,2]"]


def small(*overrides: str) -> Trained:
    """A generator whose every parameter matters: noise strengths and the like are not at 0."""
    config = apply_overrides(presets.get("tiny"), [*SMALL, *overrides])
    generator = build_generator(config).eval()
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
    return Trained(generator=generator, config=config, step=7, source=Path("run/model.safetensors"))


def test_the_weights_stand_alone(trained_run: Path, tmp_path: Path, modeling: Run) -> None:
    out = tmp_path / "out"
    result = modeling("export", "--run", trained_run, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert set(said["files"]) == {file.name for file in out.iterdir()} == {"model.safetensors", "model.json"}
    original, exported = load_trained(trained_run, CPU), load_trained(out, CPU)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    clips = [roll_out(trained.generator, image, frames=6, seed=4) for trained in (original, exported)]
    np.testing.assert_array_equal(*clips)
    assert exported.config == original.config
    about = json.loads((out / "model.json").read_text())
    environment = json.loads((trained_run / "environment.json").read_text())
    assert about["data"] == environment["data"]
    assert about["licence"]["code"] == "Apache-2.0"
    assert about["weights"] == "moving average"
    assert sum(tensor.numel() for tensor in load_file(out / "model.safetensors").values()) > 10_000
    assert modeling("export", "--run", out, "--out", tmp_path / "again").exit_code == 0


def test_nobodys_files_are_replaced(trained_run: Path, tmp_path: Path, modeling: Run) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    for out in (tmp_path / "mine", trained_run):
        before = sorted(out.iterdir())
        result = modeling("export", "--run", trained_run, "--out", out)
        assert result.exit_code == 2
        assert "holds other files than an export" in result.stderr
        assert sorted(out.iterdir()) == before


def test_an_earlier_export_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in OWN_FILES:
        (out / name).write_text("earlier")
    export(small(), tmp_path, out, "safetensors")
    assert {file.name for file in out.iterdir()} == {"model.safetensors", "model.json"}
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


Make = Callable[..., tuple[Trained, Exported]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`made(OVERRIDE...)`: a small generator and its ONNX export, traced once."""
    done: dict[tuple[str, ...], tuple[Trained, Exported]] = {}

    def make(*overrides: str) -> tuple[Trained, Exported]:
        if overrides not in done:
            folder, trained = tmp_path_factory.mktemp("onnx"), small(*overrides)
            done[overrides] = trained, export(trained, folder, folder / "out", "onnx")
        return done[overrides]

    return make


def in_onnxruntime(folder: Path, given: dict[str, Any], drawn: list[dict[str, Any]], frames: int) -> np.ndarray:
    """The clip as a stranger would make it from onnx.json alone; `drawn`: what is drawn, for each graph call."""
    about = json.loads((folder / "onnx.json").read_text())
    begin, step = (onnxruntime.InferenceSession(folder / f"{name}.onnx") for name in ("begin", "step"))
    feed = {name: {**given, **drawn[0]}[name] for name in about["graphs"]["begin"]["inputs"]}
    state = dict(zip(about["graphs"]["begin"]["outputs"], begin.run(None, feed), strict=True))
    video = []
    for values in drawn[1 : frames + 1]:
        known = {**given, **state, **values}
        outputs = step.run(None, {name: known[name] for name in about["graphs"]["step"]["inputs"]})
        named = dict(zip(about["graphs"]["step"]["outputs"], outputs, strict=True))
        video.append(named.pop("frame"))
        state |= {name.removeprefix("next_"): value for name, value in named.items()}
    return np.stack(video, axis=1)


MASKED = ["generator.mask_classes=2", "generator.mask_mode=hard", "generator.latent=3"]
READING = ["generator.cell=k-trajgru", "generator.noise=false"]
DRIFTING = ["generator.kind=dvdgan-s", "generator.cell=tsru-c", "generator.cell_warp=flow"]


@pytest.mark.parametrize(
    ("overrides", "once", "each"),
    [
        (MASKED, {"noise_latent": (1000, (3,))}, {f"noise_{i}": (i, (1, 1, 8, 8)) for i in range(2)}),
        (READING, {}, {}),
        (DRIFTING, {"noise_first_input": (1001, (4, 4, 4))}, {}),
    ],
    ids=["mask-latent-noise", "k-trajgru", "dvdgan-s-flows"],
)
def test_graphs_give_the_networks_video(
    made: Make,
    overrides: list[str],
    once: dict[str, tuple[int, tuple[int, ...]]],
    each: dict[str, tuple[int, tuple[int, ...]]],
) -> None:
    trained, exported = made(*overrides)
    out = exported.folder
    assert exported.difference is not None
    assert exported.difference < 1e-4
    assert {file.name for file in out.iterdir()} == {"begin.onnx", "step.onnx", "onnx.json"}
    clips, frames = 5, 4  # the check at export takes 1 and 3
    generator = trained.generator
    image = torch.rand(clips, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    mask = None
    if generator.mask_classes:
        labels = torch.arange(clips * 64).reshape(clips, 1, 8, 8) % 3
        mask = torch.cat([labels == 1, labels == 2], dim=1).float()
    video = generator.generate(image, frames + 1, list(range(clips)), mask_BMHW=mask)
    noise = NoiseStream(list(range(clips)))
    draw = lambda wanted: {n: noise.next_values(k, s, like=image).numpy() for n, (k, s) in wanted.items()}  # noqa: E731
    drawn = [draw(once), *(draw(each) for _ in range(frames))]
    given = {"image": image.numpy()} | ({} if mask is None else {"mask": mask.numpy()})
    np.testing.assert_allclose(in_onnxruntime(out, given, drawn, frames), video[:, 1:].numpy(), atol=1e-4)
    if mask is not None:
        still = mask.sum(dim=1) == 0
        assert (video[:, -1].movedim(1, -1)[still] == image.movedim(1, -1)[still]).all()
    for name in ("begin", "step"):
        model = onnx.load(out / f"{name}.onnx")
        onnx.checker.check_model(model)
        text = (out / f"{name}.onnx").read_bytes()
        assert str(Path.home()).encode() not in text
        assert b".py" not in text, "paths of the exporting machine"


@pytest.mark.parametrize("kind", ["style", "dvdgan-s", "mocogan"])
def test_no_two_inputs_of_a_graph_have_one_name(kind: str) -> None:
    generator = small(f"generator.kind={kind}", "generator.latent=3").generator
    signature = inspect(generator)
    drawn = len(signature.drawn)
    assert len(Step(generator, signature).inputs) == len(signature.carried) + drawn
    assert len(Begin(generator, signature).inputs) == 1 + len(signature.drawn_first)
    assert {"image", "noise_latent"} <= set(Begin(generator, signature).inputs)
    assert drawn == {"style": 2, "dvdgan-s": 0, "mocogan": 1}[kind]


def test_graphs_that_differ_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Make) -> None:
    out = tmp_path / "out"
    trained, exported = made(*READING)

    def damaged(graph: Any, name: str) -> Any:
        model = onnx.load(exported.folder / f"{name}.onnx")
        if name == "step":
            for tensor in model.graph.initializer:
                values = onnx.numpy_helper.to_array(tensor)
                if values.dtype == np.float32 and values.size > 50:
                    tensor.CopyFrom(onnx.numpy_helper.from_array(values * 1.05, tensor.name))
        return model

    monkeypatch.setattr(exporting, "to_onnx", damaged)
    with pytest.raises(ExportError, match="differ from the network by"):
        export(trained, tmp_path, out, "all")
    assert list(tmp_path.iterdir()) == []


def test_a_generator_that_makes_blocks_of_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="TGAN does not make frames one by one"):
        export(small("generator.kind=tgan"), tmp_path, tmp_path / "out", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name))
    with pytest.raises(UsageError, match=r"needs onnxscript: pip install 'stillflow\[onnx\]'"):
        export(small(), tmp_path, tmp_path / "out", "all")
    assert list(tmp_path.iterdir()) == []


def test_states_are_taken_apart_and_put_together() -> None:
    from modeling.networks.style_generator import StyleState

    state = StyleState([[1, 2], [3]], 4, [5, 5], None)  # type: ignore[list-item, arg-type]
    leaves = flattened(state)
    assert leaves == {
        "hidden_0_0": 1,
        "hidden_0_1": 2,
        "hidden_1_0": 3,
        "first": 4,
        "styles_0": 5,
        "styles_1": 5,
        "noise": None,
    }
    assert rebuilt(state, lambda path, value: value) == state
    assert flattened(rebuilt(state, lambda path, value: path)) == {path: path for path in leaves}
