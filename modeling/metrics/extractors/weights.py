"""The published weight files: what they are called, where they are had, and whether one on disk is sound.

A file is checked by size and SHA-256 where these are known, by names, shapes and finite values always, and read with
`weights_only=True`, so that no pickle runs code. Nothing is ever fetched.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from modeling.errors import UsageError
from modeling.metrics.extractors.i3d import EPSILON, I3D
from modeling.metrics.extractors.inception import Inception
from modeling.metrics.extractors.interface import MissingWeights, WeightsError
from modeling.metrics.extractors.lpips import Backbone, Heads
from modeling.metrics.extractors.torchscript import read_i3d_archive

VARIABLE = "STILLFLOW_WEIGHTS"  # the folder, where --weights names none


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One published file. Where several stand for one network, any of them will do."""

    network: str  #                 inception, i3d, lpips-backbone or lpips-heads
    names: tuple[str, ...]  #       the published name, then others for the same bytes
    size: int | None  #             bytes
    sha256: str | None  #           None: no published hash was found; names and shapes alone are checked
    source: str  #                  where it is had
    used_by: tuple[str, ...]  #     metrics
    torchscript: bool = False

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def hash_in_words(self) -> str:
        return f"SHA-256 {self.sha256}" if self.sha256 else "no published hash is known; checked by names and shapes"


FILES: tuple[WeightFile, ...] = (
    WeightFile(
        network="inception",
        names=("pt_inception-2015-12-05-6726825d.pth", "weights-inception-2015-12-05-6726825d.pth"),
        size=95_628_359,
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        source="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        used_by=("fid", "is"),
    ),
    WeightFile(
        network="i3d",
        names=("i3d_torchscript.pt",),
        size=51_235_320,
        sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        source="https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt (StyleGAN-V)",
        used_by=("fvd",),
        torchscript=True,
    ),
    WeightFile(
        network="i3d",
        names=("i3d_pretrained_400.pt",),
        size=None,
        sha256=None,
        source="https://drive.google.com/uc?id=1mQK8KD8G6UWRa5t87SRMm5PVXtlpneJT (VideoGPT), "
        "or https://github.com/songweige/TATS/raw/main/tats/fvd/i3d_pretrained_400.pt (TATS)",
        used_by=("fvd",),
    ),
    WeightFile(
        network="lpips-backbone",
        names=("alexnet-owt-7be5be79.pth",),
        size=244_408_911,
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        source="https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        used_by=("lpips",),
    ),
    WeightFile(
        network="lpips-heads",
        names=("alex.pth", "lpips/weights/v0.1/alex.pth"),
        size=6_009,
        sha256="df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        source="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/alex.pth",
        used_by=("lpips",),
    ),
)

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "inception": Inception,
    "i3d": I3D,
    "lpips-backbone": Backbone,
    "lpips-heads": Heads,
}
# Tensors of a published file that its network leaves aside: AlexNet's classifier.
LEFT_ASIDE = {"lpips-backbone": "classifier."}


def weights_folder(folder: Path | None) -> Path:
    """`folder`, or what STILLFLOW_WEIGHTS names. MissingWeights where neither is given, UsageError for no folder."""
    if folder is None:
        named = os.environ.get(VARIABLE)
        if not named:
            raise MissingWeights(
                f"no folder of weights is given: say --weights DIR or set {VARIABLE}; "
                "`modeling doctor --weights DIR` says what belongs in it"
            )
        folder = Path(named)
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder of weights; `modeling doctor` says what belongs in one")
    return folder


def find(folder: Path, network: str) -> tuple[WeightFile, Path]:
    """The first known file of this network in the folder. MissingWeights that says where one is had."""
    known = [file for file in FILES if file.network == network]
    for file in known:
        path = present(folder, file)
        if path is not None:
            return file, path
    choices = " or ".join(f"{file.name} from {file.source} ({file.hash_in_words})" for file in known)
    raise MissingWeights(f"{folder} has no weights for {', '.join(known[0].used_by)}: put there {choices}")


def present(folder: Path, file: WeightFile) -> Path | None:
    return next((folder / name for name in file.names if (folder / name).exists()), None)


def load(file: WeightFile, path: Path) -> tuple[nn.Module, str]:
    """The network with the file's weights, on the CPU, and the SHA-256 of the file. WeightsError with what is wrong."""
    digest = _verified(file, path)
    epsilon = EPSILON
    if file.torchscript:
        tensors, epsilon = read_i3d_archive(path)
    else:
        tensors = _read(file, path)
    with torch.device("meta"):  # no first weights are drawn, only to be overwritten
        network = NETWORKS[file.network]()
    network.load_state_dict(_fitting(file, path, tensors, network.state_dict()), assign=True)
    if isinstance(network, I3D):
        network.set_epsilon(epsilon)
    return network.eval(), digest


def _again(file: WeightFile) -> str:
    return f"fetch it again from {file.source}"


def _verified(file: WeightFile, path: Path) -> str:
    """The SHA-256 of a file whose size and hash are as published."""
    if not path.is_file():
        raise WeightsError(f"{path} is not a file; put {file.name} there")
    size = path.stat().st_size
    if file.size is not None and size != file.size:
        what = "is cut short" if size < file.size else "is another file"
        raise WeightsError(f"{path} {what}: {size} bytes where {file.name} has {file.size}; {_again(file)}")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if file.sha256 is not None and digest != file.sha256:
        raise WeightsError(
            f"{path} is not the published {file.name}: its SHA-256 is {digest}, not {file.sha256}; {_again(file)}"
        )
    return digest


def _read(file: WeightFile, path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise WeightsError(
            f"{path} holds more than tensors, or is broken; nothing in it was run; {_again(file)}"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile):
        raise WeightsError(f"{path} cannot be read: cut short, or no file of torch weights; {_again(file)}") from None
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path} is no state dict; {_again(file)}")
    return {str(name): value for name, value in content.items()}


def _fitting(
    file: WeightFile, path: Path, tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The tensors that the network wants, all there, of the right shapes, finite, and no others, in float32.

    Counters of training steps (num_batches_tracked) may be there or not: evaluation does not read them.
    """
    aside = LEFT_ASIDE.get(file.network)
    given = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.endswith(".num_batches_tracked") and not (aside and name.startswith(aside))
    }
    counters = {name: torch.zeros((), dtype=torch.int64) for name in wanted if name.endswith(".num_batches_tracked")}
    for title, names in (
        ("lacks", [name for name in wanted if name not in given and name not in counters]),
        ("has the unknown", [name for name in given if name not in wanted]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise WeightsError(
                f"{path} holds another network than {file.network}: it {title} {names[0]}{more}; {_again(file)}"
            )
    for name, tensor in given.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(
                f"{path} holds another network than {file.network}: {name} is {(*tensor.shape,)}, "
                f"not {(*wanted[name].shape,)}; {_again(file)}"
            )
        if not tensor.is_floating_point() or not bool(tensor.isfinite().all()):
            raise WeightsError(f"{path}: {name} holds values that are no finite numbers; {_again(file)}")
    return {**{name: tensor.float() for name, tensor in given.items()}, **counters}
