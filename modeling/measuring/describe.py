"""Parameter counts of a configuration's networks, a block at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from modeling.config import Config
from modeling.networks import build_discriminators, build_generator
from modeling.networks.interface import Parts


def describe(config: Config) -> dict[str, Any]:
    """`{"preset", "generator": {"total", ...}, "d_s": {"total", ...}, "d_t": {"total", ...}}`; the parts add up."""
    # On the meta device the networks have shapes but no values, so a large one is counted at once.
    # Spectral normalisation adds no parameters but needs values to begin with, so it is left out here.
    plain = replace(config, d_s=replace(config.d_s, spectral_norm=False), d_t=replace(config.d_t, spectral_norm=False))
    with torch.device("meta"):
        generator = build_generator(plain)
        discriminators = build_discriminators(plain)
    return {
        "preset": config.preset,
        "resolution": config.resolution,
        "frames": config.frames,
        "generator": {"total": _count(generator), **_counts(generator.parts())},
        **{name: _discriminator(network) for name, network in discriminators.items()},
    }


def _counts(parts: Parts) -> dict[str, Any]:
    return {name: _counts(part) if isinstance(part, Mapping) else _count(part) for name, part in parts.items()}


def _discriminator(network: nn.Module) -> dict[str, int]:
    parts = {"total": _count(network)}
    for name, child in network.named_children():
        if isinstance(child, nn.ModuleList):
            parts |= {f"block_{index}": _count(block) for index, block in enumerate(child)}
        else:
            parts[name] = _count(child)
    return parts


def _count(part: nn.Module | nn.Parameter) -> int:
    return part.numel() if isinstance(part, nn.Parameter) else sum(p.numel() for p in part.parameters())
