"""Feature extractors with published weights, which are read from a folder and never fetched, and the built-in proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

import torch

from modeling.errors import UsageError
from modeling.metrics.extractors.i3d import I3D, I3DExtractor
from modeling.metrics.extractors.inception import Inception, InceptionExtractor
from modeling.metrics.extractors.interface import Extractor, MissingWeights, PairDistance, WeightsError
from modeling.metrics.extractors.lpips import Backbone, Heads, Lpips
from modeling.metrics.extractors.proxy import ProxyExtractor
from modeling.metrics.extractors.weights import find, load, weights_folder

__all__ = ["Extractor", "MissingWeights", "PairDistance", "WeightsError", "load_extractor"]

NAMES = ("inception", "i3d", "lpips", "proxy")


@overload
def load_extractor(name: Literal["lpips"], folder: Path | None, device: torch.device) -> PairDistance: ...
@overload
def load_extractor(
    name: Literal["inception", "i3d", "proxy"], folder: Path | None, device: torch.device
) -> Extractor: ...
def load_extractor(name: str, folder: Path | None, device: torch.device) -> Extractor | PairDistance:
    """The extractor of this name, its weights read from `folder`, or from the folder that STILLFLOW_WEIGHTS names.

    The proxy needs none. MissingWeights where a file is not there, WeightsError where one is broken or another
    network's; UsageError for a name that
    is none of `NAMES`.
    """
    if name == "proxy":
        return ProxyExtractor(device)
    if name not in NAMES:
        raise UsageError(f"no extractor is called {name!r}; there are {', '.join(NAMES)}")
    folder = weights_folder(folder)
    if name == "lpips":
        (backbone, first), (heads, second) = (load(*find(folder, f"lpips-{part}")) for part in ("backbone", "heads"))
        assert isinstance(backbone, Backbone) and isinstance(heads, Heads)
        return Lpips(backbone, heads, f"{first} {second}", device)
    network, digest = load(*find(folder, name))
    if isinstance(network, I3D):
        return I3DExtractor(network, digest, device)
    assert isinstance(network, Inception)
    return InceptionExtractor(network, digest, device)
