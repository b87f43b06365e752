"""Feature extractors with published weights, which are read from a folder and never fetched, and the built-in proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, overload

import torch

from modeling.errors import UsageError
from modeling.metrics.extractors.interface import Extractor, PairDistance, WeightsError

__all__ = ["Extractor", "PairDistance", "WeightsError", "load_extractor"]

NAMES = ("inception", "i3d", "lpips", "proxy")


@overload
def load_extractor(name: Literal["lpips"], folder: Path | None, device: torch.device) -> PairDistance: ...
@overload
def load_extractor(
    name: Literal["inception", "i3d", "proxy"], folder: Path | None, device: torch.device
) -> Extractor: ...
def load_extractor(name: str, folder: Path | None, device: torch.device) -> Extractor | PairDistance:
    """The extractor of this name, its weights read from `folder`, or from the folder that STILLFLOW_WEIGHTS names.

    The proxy needs none. WeightsError where a file is missing, broken or another network's; UsageError for a name that
    is none of `NAMES`.
    """
    if name == "proxy":
        from modeling.metrics.extractors.proxy import ProxyExtractor

        return ProxyExtractor(device)
    raise UsageError(f"no extractor is called {name!r}; there are {', '.join(NAMES)}")
