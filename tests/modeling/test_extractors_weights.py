"""Weight files: found, verified, read without running code, refused in one line that says what to do."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from modeling.errors import UsageError
from modeling.metrics.extractors import WeightsError, load_extractor, weights
from modeling.metrics.extractors.i3d import I3D
from modeling.metrics.extractors.inception import Inception
from modeling.metrics.extractors.lpips import Heads
from modeling.metrics.extractors.torchscript import read_archive
from tests.modeling.conftest import Run
from tests.modeling.published_files import NAMES, alexnet, archive_of, heads, published
from tests.modeling.published_networks import randomised

CPU = torch.device("cpu")
Publish = Callable[[Path], None]


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Take the files of a folder, as they now are, for the published ones: their sizes and hashes go into the table."""

    def take(folder: Path) -> None:
        monkeypatch.setattr(weights, "FILES", published(folder))

    return take


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inception") / NAMES["inception"]
    torch.save(Inception().state_dict(), path)
    return path


@pytest.fixture(scope="module")
def i3d_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("i3d") / NAMES["i3d"]
    torch.save(randomised(I3D(), 5).state_dict(), path)
    return path


def one_line(error: pytest.ExceptionInfo[BaseException], *words: str | Path) -> None:
    text = str(error.value)
    assert "\n" not in text
    for word in words:
        assert str(word) in text


def test_the_hashes_are_hashes() -> None:
    for file in weights.FILES:
        assert file.source.startswith("https://")
        if file.sha256 is not None:
            assert len(file.sha256) == 64 and int(file.sha256, 16) > 0
        for name in file.names:  # where torch's own naming puts the hash's first digits into the name
            stem = Path(name).stem.rsplit("-", 1)[-1]
            if len(stem) == 8 and file.sha256 is not None:
                assert file.sha256.startswith(stem)


def test_inception_is_read_unchanged_and_says_its_hash(inception_file: Path, publish: Publish) -> None:
    publish(inception_file.parent)
    extractor: Any = load_extractor("inception", inception_file.parent, CPU)
    assert extractor.digest == hashlib.sha256(inception_file.read_bytes()).hexdigest()
    saved = torch.load(inception_file, weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in extractor.network.state_dict().items())


def test_a_file_without_counters_of_steps_and_in_the_old_format_is_read(
    i3d_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.load(i3d_file, weights_only=True)
    bare = {name: value.double() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(bare, tmp_path / NAMES["i3d"], _use_new_zipfile_serialization=False)
    monkeypatch.setenv(weights.VARIABLE, str(tmp_path))
    extractor: Any = load_extractor("i3d", None, CPU)
    assert all(torch.equal(extractor.network.state_dict()[name], value) for name, value in bare.items())
    assert "1e-05" in extractor.facts["batch normalisation"]


def test_another_hash_is_refused(tmp_path: Path, publish: Publish) -> None:
    path = tmp_path / NAMES["lpips-heads"]
    torch.save(heads(), path)
    publish(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    file, found = weights.find(tmp_path, "lpips-heads")
    with pytest.raises(WeightsError) as error:
        weights.load(file, found)
    one_line(error, path, "is not the published alex.pth", file.sha256 or "", "fetch it again from https://")


@pytest.mark.parametrize("part", [0, 1, 100, 0.5, 0.999])
def test_cut_short_is_refused_with_and_without_a_known_size(
    i3d_file: Path, tmp_path: Path, publish: Publish, part: float
) -> None:
    content = i3d_file.read_bytes()
    cut = content[: int(part * len(content)) if isinstance(part, float) else part]
    path = tmp_path / NAMES["i3d"]
    path.write_bytes(cut)
    with pytest.raises(WeightsError) as error:
        load_extractor("i3d", tmp_path, CPU)
    one_line(error, path, "fetch it again from https://")
    path.rename(tmp_path / NAMES["inception"])
    with pytest.raises(WeightsError) as error:
        load_extractor("inception", tmp_path, CPU)
    one_line(error, tmp_path / NAMES["inception"], "is cut short", "95628359")


class Runs:
    """A pickle that would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.path, "ran"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    mark, path = tmp_path / "mark", tmp_path / NAMES["i3d"]
    torch.save({"Conv3d_1a_7x7.conv3d.weight": Runs(mark)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(WeightsError) as error:
        load_extractor("i3d", tmp_path, CPU)
    one_line(error, path, "nothing in it was run")
    assert not mark.exists()


Change = Callable[[dict[str, Tensor]], object]
CHANGES: dict[str, tuple[Change, str]] = {
    "lacks": (lambda s: s.pop("lin2.model.1.weight"), "lacks lin2.model.1.weight;"),
    "more": (lambda s: s.update({"new": torch.zeros(1), "old": torch.zeros(1)}), "unknown new and 1 more"),
    "shape": (
        lambda s: s.update({"lin0.model.1.weight": torch.zeros(1, 9, 1, 1)}),
        "is (1, 9, 1, 1), not (1, 64, 1, 1)",
    ),
    "nan": (
        lambda s: s["lin0.model.1.weight"].fill_(float("nan")),
        "lin0.model.1.weight holds values that are no finite",
    ),
    "type": (lambda s: s.update({"lin0.model.1.weight": torch.zeros(1, 64, 1, 1, dtype=torch.int64)}), "no finite"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_another_network_is_refused(tmp_path: Path, publish: Publish, change: str) -> None:
    alter, words = CHANGES[change]
    state = heads()
    path = tmp_path / NAMES["lpips-heads"]
    torch.save(state, path)
    publish(tmp_path)
    weights.load(*weights.find(tmp_path, "lpips-heads"))
    alter(state)
    torch.save(state, path)
    publish(tmp_path)
    with pytest.raises(WeightsError) as error:
        weights.load(*weights.find(tmp_path, "lpips-heads"))
    one_line(error, path, words)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"a": 1}, torch.zeros(3)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / NAMES["i3d"])
    with pytest.raises(WeightsError) as error:
        load_extractor("i3d", tmp_path, CPU)
    one_line(error, tmp_path / NAMES["i3d"], "is no state dict")


def test_what_is_missing_says_where_it_is_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError) as error:
        load_extractor("i3d", tmp_path, CPU)
    one_line(error, tmp_path, "i3d_torchscript.pt", "bec6519f", "i3d_pretrained_400.pt", "https://", "fvd")
    with pytest.raises(WeightsError) as error:
        load_extractor("inception", tmp_path, CPU)
    one_line(error, NAMES["inception"], "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2")
    (tmp_path / NAMES["inception"]).mkdir()
    with pytest.raises(WeightsError, match="is not a file"):
        load_extractor("inception", tmp_path, CPU)
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    with pytest.raises(WeightsError, match=f"say --weights DIR or set {weights.VARIABLE}"):
        load_extractor("inception", None, CPU)
    with pytest.raises(UsageError, match="is not a folder of weights"):
        load_extractor("inception", tmp_path / "nowhere", CPU)
    name: Any = "vgg"
    with pytest.raises(UsageError, match="inception, i3d, lpips, proxy"):
        load_extractor(name, tmp_path, CPU)


def test_the_archive_is_read_without_running_it(
    i3d_file: Path, tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.load(i3d_file, weights_only=True)
    path = tmp_path / "i3d_torchscript.pt"
    archive_of(state, 1e-3, path)
    publish(tmp_path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("the archive was handed to torch.jit")

    monkeypatch.setattr(torch.jit, "load", never)
    extractor: Any = load_extractor("i3d", tmp_path, CPU)
    assert extractor.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    for name, value in extractor.network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert extractor.network.Mixed_5c.b3b.bn.eps == 1e-3
    assert "0.001" in extractor.facts["batch normalisation"]


def small_archive(path: Path, pickled: bytes, code: str = "") -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/code/__torch__/m.py", code)


@pytest.mark.parametrize("what", ["code", "builtin", "no module", "cut", "storage", "no zip", "two", "circle"])
def test_a_hostile_archive_is_refused_and_not_run(tmp_path: Path, what: str) -> None:
    path, mark = tmp_path / "archive.pt", tmp_path / "mark"
    if what == "code":
        small_archive(path, pickle.dumps(Runs(mark)))
    elif what == "builtin":
        small_archive(path, b"cbuiltins\neval\n(V1\ntR.")
    elif what == "no module":
        small_archive(path, pickle.dumps({"a": 1}))
    elif what == "cut":
        small_archive(path, pickle.dumps({"a": 1})[:-3])
    elif what == "storage":  # a storage outside of the archive's own
        small_archive(path, b"(Vstorage\nctorch\nFloatStorage\nV../../x\nVcpu\nI1\ntQ.")
    elif what == "circle":  # a module that holds itself
        small_archive(path, b"c__torch__.m\nA\n)\x81p0\n(dVx\ng0\nsb.")
    elif what == "no zip":
        path.write_bytes(b"PK\x03\x04 and nothing more")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", b"N.")
            archive.writestr("b/data.pkl", b"N.")
    with pytest.raises(WeightsError) as error:
        read_archive(path)
    one_line(error, path, "fetch the file again")
    assert not mark.exists()


def lpips_by_hand(backbone: dict[str, Tensor], head: dict[str, Tensor], x: Tensor, y: Tensor) -> float:
    """LPIPS 0.1 of two (H, W, 3) frames, pixel by pixel."""
    layers: list[list[Tensor]] = [[], []]
    for image, features in zip((x, y), layers, strict=True):
        z = (
            image.movedim(-1, 0)[None].double() / 255 * 2 - 1 - torch.tensor([-0.030, -0.088, -0.188]).view(3, 1, 1)
        ) / (torch.tensor([0.458, 0.448, 0.450]).view(3, 1, 1))
        for name, stride, padding in (("0", 4, 2), ("3", 1, 2), ("6", 1, 1), ("8", 1, 1), ("10", 1, 1)):
            if name in ("3", "6"):
                z = torch.nn.functional.max_pool2d(z, 3, 2)
            weight, bias = (backbone[f"features.{name}.{part}"].double() for part in ("weight", "bias"))
            z = torch.nn.functional.conv2d(z, weight, bias, stride, padding).clamp(min=0)
            features.append(z[0])
    total = 0.0
    for number, (a, b) in enumerate(zip(*layers, strict=True)):
        w = head[f"lin{number}.model.1.weight"].double().flatten()
        rows = [
            float(
                (w * (a[:, i, j] / (a[:, i, j].norm() + 1e-10) - b[:, i, j] / (b[:, i, j].norm() + 1e-10)) ** 2).sum()
            )
            for i in range(a.shape[1])
            for j in range(a.shape[2])
        ]
        total += sum(rows) / len(rows)
    return total


def test_lpips(tmp_path: Path, publish: Publish) -> None:
    backbone, head = alexnet(), heads()
    torch.save(backbone, tmp_path / NAMES["lpips-backbone"])
    torch.save(head, tmp_path / NAMES["lpips-heads"])
    publish(tmp_path)
    lpips = load_extractor("lpips", tmp_path, CPU)
    assert [len(part) for part in lpips.digest.split()] == [64, 64]
    generator = torch.Generator().manual_seed(6)
    x, y = (torch.randint(0, 256, (2, 3, 35, 41, 3), dtype=torch.uint8, generator=generator) for _ in range(2))
    made = lpips.distance(x, y)
    assert made.shape == (2, 3) and made.dtype == torch.float32
    for n, t in ((0, 0), (1, 2)):
        assert float(made[n, t]) == pytest.approx(lpips_by_hand(backbone, head, x[n, t], y[n, t]), rel=1e-4)
    assert torch.allclose(made, lpips.distance(y, x)) and float(lpips.distance(x, x).abs().max()) == 0
    assert torch.allclose(made[1:, 1:], lpips.distance(x[1:, 1:], y[1:, 1:]), rtol=1e-5)
    with pytest.raises(ValueError, match="equal shape"):
        lpips.distance(x, y[:1])
    with pytest.raises(ValueError, match="at least 31x31"):
        lpips.distance(x[:, :, :30], y[:, :, :30])
    assert lpips.distance(x[:, :, :31, :31], y[:, :, :31, :31]).isfinite().all()


def test_heads_have_the_published_names() -> None:
    assert {name: tuple(value.shape) for name, value in Heads().state_dict().items()} == {
        name: tuple(value.shape) for name, value in heads().items()
    }


def test_proxy_as_an_extractor() -> None:
    proxy = load_extractor("proxy", None, CPU)
    shown = torch.randint(0, 256, (2, 6, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(7))
    made = proxy(shown)["features"]
    assert made.shape == (2, proxy.widths["features"]) and made.dtype == torch.float64
    assert torch.equal(proxy(shown[1:])["features"], made[1:])
    assert proxy(shown[:0])["features"].shape == (0, 64)
    with pytest.raises(ValueError, match="at least 4 frames"):
        proxy(shown[:, :3])
    assert "seed" in proxy.digest and "version" in proxy.digest


def test_doctor(
    tmp_path: Path, publish: Publish, modeling: Run, monkeypatch: pytest.MonkeyPatch, i3d_file: Path
) -> None:
    monkeypatch.delenv(weights.VARIABLE, raising=False)
    empty = modeling("doctor")
    assert empty.exit_code == 0 and "no folder is named" in empty.output
    assert empty.output.count("missing") == len(weights.FILES)
    torch.save(alexnet(), tmp_path / NAMES["lpips-backbone"])
    torch.save(heads(), tmp_path / NAMES["lpips-heads"])
    publish(tmp_path)
    sound = modeling("doctor", "--weights", tmp_path)
    assert sound.exit_code == 0 and "ready: lpips" in sound.output and "fid, is, fvd" in sound.output
    assert f"--weights {tmp_path} --metrics lpips,proxy" in sound.output
    (tmp_path / NAMES["i3d"]).write_bytes(i3d_file.read_bytes())
    (tmp_path / NAMES["lpips-heads"]).write_bytes(b"short")
    wrong = modeling("doctor", "--weights", tmp_path, "--json")
    assert wrong.exit_code == 1
    content = json.loads(wrong.output)
    states = {file["name"]: file["state"] for file in content["files"]}
    assert states == {
        NAMES["inception"]: "missing",
        "i3d_torchscript.pt": "missing",
        NAMES["i3d"]: "sound",
        NAMES["lpips-backbone"]: "sound",
        NAMES["lpips-heads"]: "broken",
    }
    assert content["metrics"] == {"fid": False, "is": False, "fvd": True, "lpips": False} and content["next"] is None
    heads_file = next(file for file in content["files"] if file["state"] == "broken")
    assert "is cut short: 5 bytes" in heads_file["problem"] and str(tmp_path) in heads_file["problem"]
    assert modeling("doctor", "--weights", tmp_path / "nowhere").exit_code == 2
