"""Tensors out of a TorchScript archive without running anything in it, and StyleGAN-V's I3D brought into our names.

`torch.jit.load` would compile the archive's code, and `torch.load(weights_only=True)` refuses such archives. An archive
is a zip of a pickle of the module tree, the raw storages, and the code as text. Here the pickle is read by an unpickler
that knows a few plain types, every class of the archive becomes an inert bag of attributes, and the text is only
searched for one number.
"""

from __future__ import annotations

import collections
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modeling.metrics.extractors.interface import WeightsError

STORAGES = {"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "LongStorage": torch.int64}
DEEPEST = 20  # levels of modules


class Bag:
    """An object of one of the archive's classes: its attributes, none of its behaviour."""

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("a module without named attributes")
        self.attributes = state


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: Any, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(file)
        self._archive, self._root = archive, root

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return Bag
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch.jit._pickle" and (name.startswith("build_") or name == "restore_type_tag"):
            return _first
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no weights need")

    def persistent_load(self, pid: Any) -> Tensor:
        kind, dtype, key, _device, count = pid
        if kind != "storage" or not isinstance(dtype, torch.dtype) or not re.fullmatch(r"\w+", str(key)):
            raise pickle.UnpicklingError("a reference that is no storage")
        data = bytearray(self._archive.read(f"{self._root}data/{key}"))
        if len(data) != count * dtype.itemsize:
            raise pickle.UnpicklingError(f"storage {key} has {len(data)} bytes, not {count * dtype.itemsize}")
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _first(value: object, *_: object) -> object:
    """A list of one type, which the archive marks as such: the list itself."""
    return value


def _tensor(storage: Tensor, offset: int, size: Any, stride: Any, *_: object) -> Tensor:
    return torch.as_strided(storage, tuple(size), tuple(stride), offset).clone()


def read_archive(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by their dotted names, and the code's files as text.

    WeightsError for a file that is no TorchScript archive or asks for more than tensors.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            roots = [name.removesuffix("data.pkl") for name in names if re.fullmatch(r"[^/]+/data\.pkl", name)]
            if len(roots) != 1:
                raise WeightsError(f"{path} is no TorchScript archive; fetch the file again")
            with archive.open(f"{roots[0]}data.pkl") as file:
                top = _Unpickler(file, archive, roots[0]).load()
            code = {
                name: archive.read(name).decode()
                for name in names
                if name.startswith(f"{roots[0]}code/") and name.endswith(".py")
            }
    except (
        zipfile.BadZipFile, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, RuntimeError,
        AttributeError, IndexError, NotImplementedError,
    ) as error:  # fmt: skip
        raise WeightsError(
            f"{path} cannot be read as a TorchScript archive of weights ({_short(error)}); fetch the file again"
        ) from None
    if not isinstance(top, Bag):
        raise WeightsError(f"{path} holds no module; fetch the file again")
    return dict(_tensors(path, top, ())), code


def _tensors(path: Path, bag: Bag, inside: tuple[str, ...]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a module and of the modules in it, by their dotted names."""
    if len(inside) > DEEPEST:  # or modules that hold each other would be gone round for ever
        raise WeightsError(f"{path} nests its modules deeper than weights do; fetch the file again")
    for name, value in bag.attributes.items():
        if isinstance(value, Bag):
            yield from _tensors(path, value, (*inside, str(name)))
        elif isinstance(value, Tensor):
            yield ".".join((*inside, str(name))), value


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:120]


# hassony2's port, of which StyleGAN-V's archive is a compiled form, beside VideoGPT's names.
PARTS = {
    "branch_0": "b0", "branch_1.0": "b1a", "branch_1.1": "b1b",
    "branch_2.0": "b2a", "branch_2.1": "b2b", "branch_3.1": "b3b",
}  # fmt: skip


# The constant in the class of the batch normalisations, and the last argument of its forward's call.
NUMBER = r"([0-9.]+(?:e-?[0-9]+)?)"
EPSILONS = (
    re.compile(rf"^\s*eps : Final\[float\] = {NUMBER}$", re.MULTILINE),
    re.compile(rf"\([^()]*\bbn_training\b[^()]*,\s*{NUMBER},?\s*\)"),
)


def our_name(name: str) -> str:
    """mixed_3b.branch_1.0.batch3d.bias -> Mixed_3b.b1a.bn.bias; conv3d_0c_1x1 holds the logits."""
    name = re.sub(r"^(conv3d|mixed)_", lambda match: match[0].capitalize(), name)
    name = re.sub(r"\.(branch_\d(?:\.\d)?)\.", lambda match: f".{PARTS.get(match[1], match[1])}.", name)
    return name.replace("Conv3d_0c_1x1.", "logits.").replace(".batch3d.", ".bn.")


def read_i3d_archive(path: Path) -> tuple[dict[str, Tensor], float]:
    """The state dict in our names, and the epsilon of its batch normalisations.

    The epsilon is no tensor: it is read in the archive's code, as text.
    WeightsError where that is not there, or not one.
    """
    tensors, code = read_archive(path)
    found = {float(number) for text in code.values() for pattern in EPSILONS for number in pattern.findall(text)}
    if len(found) != 1:
        raise WeightsError(
            f"{path}: the epsilon of its batch normalisations is not to be found in the archive "
            f"({sorted(found) or 'none'}); give VideoGPT's i3d_pretrained_400.pt instead"
        )
    return {our_name(name): tensor for name, tensor in tensors.items()}, found.pop()
