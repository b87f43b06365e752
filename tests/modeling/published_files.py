"""Files of weights in their published layouts, with random weights, and the table that takes them for the published."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from modeling.metrics.extractors import weights
from modeling.metrics.extractors.i3d import I3D
from modeling.metrics.extractors.inception import Inception
from modeling.metrics.extractors.lpips import Backbone
from modeling.metrics.extractors.weights import WeightFile
from tests.modeling.published_networks import archive_name, i3d_table, randomised

NAMES = {
    "inception": "pt_inception-2015-12-05-6726825d.pth",
    "i3d": "i3d_pretrained_400.pt",
    "lpips-backbone": "alexnet-owt-7be5be79.pth",
    "lpips-heads": "alex.pth",
}
ARCHIVE = "i3d_torchscript.pt"


def published(folder: Path) -> tuple[WeightFile, ...]:
    """The table with the sizes and hashes of a folder's files, as they now are, where it has published ones."""
    table = []
    for file in weights.FILES:
        path = weights.present(folder, file)
        if path is not None and file.sha256 is not None:
            content = path.read_bytes()
            file = dataclasses.replace(file, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        table.append(file)
    return tuple(table)


def write_all(folder: Path) -> Path:
    """Every network's file; of I3D the archive."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(randomised(Inception(), 1).state_dict(), folder / NAMES["inception"])
    archive_of(dict(randomised(I3D(), 5).state_dict()), 1e-5, folder / ARCHIVE)
    torch.save(alexnet(), folder / NAMES["lpips-backbone"])
    torch.save(heads(), folder / NAMES["lpips-heads"])
    return folder


def alexnet() -> dict[str, Tensor]:
    """torchvision's alexnet: the convolutions, and a classifier with the right names, which LPIPS leaves aside."""
    state = dict(randomised(Backbone(), 4).state_dict())
    return {**state, "classifier.1.weight": torch.zeros(2, 3), "classifier.6.bias": torch.zeros(2)}


def heads() -> dict[str, Tensor]:
    """LPIPS' alex.pth."""
    generator = torch.Generator().manual_seed(8)
    widths = (64, 192, 384, 256, 256)
    return {f"lin{n}.model.1.weight": torch.rand(1, width, 1, 1, generator=generator) for n, width in enumerate(widths)}


class Tree(nn.Module):
    """A module that compiles to hardly any code, for its names."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def archive_of(state: dict[str, Tensor], epsilon: float, path: Path) -> None:
    """The weights as a compiled module with hassony2's names, as StyleGAN-V's archive has them."""
    top = Tree()
    for name, (before, after, kernel) in [*i3d_table().items(), ("logits", (1024, 400, (1, 1, 1)))]:
        *parents, last = ("conv3d_0c_1x1" if name == "logits" else archive_name(name)).split(".")
        unit, at = Tree(), top
        unit.conv3d = nn.Conv3d(before, after, kernel, bias=name == "logits")
        if name != "logits":
            unit.batch3d = nn.BatchNorm3d(after, eps=epsilon)
        for parent in parents:
            if parent not in dict(at.named_children()):
                at.add_module(parent, Tree())
            at = at.get_submodule(parent)  # type: ignore[assignment]
        at.add_module(last, unit)
        for own, value in unit.state_dict().items():
            value.copy_(state[f"{name}.{own.replace('batch3d', 'bn')}"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(top.eval()), path)
