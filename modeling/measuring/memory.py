"""How much memory a training step needs, before anything is allocated: the passes run on tensors without values.

What stays: weights, their gradients, Adam's two moments, the moving average. What comes and goes: all that a pass
holds at its fullest, activations and temporary tensors alike, seen by running the real passes (step.py) on PyTorch's
`meta` device and following every tensor from its making to its end. Left out are what a library takes for itself (a
CUDA context, cuDNN's workspaces), the allocator's rounding, and the optimiser's own moment; precisions below fp32 are
counted as fp32. On a CPU other kernels are chosen, which hold more in D's passes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from modeling.config import Config
from modeling.data.conditions import Conditions
from modeling.training.build import Networks, Optimisers, build_networks
from modeling.training.draws import draws_for
from modeling.training.step import discriminator_pass, generator_pass

MOMENTS = 2  # Adam's, each as large as the weights


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes of one process."""

    micro_batch: int
    weights: int  #             of all networks, with their buffers
    gradients: int
    optimiser: int
    average: int  #             the moving average of the generator
    discriminator_pass: int  #  held at its fullest by a D pass over one micro-batch, gradients not counted
    generator_pass: int  #      the same of a G pass

    @property
    def total(self) -> int:
        """At the fullest moment of a step."""
        stays = self.weights + self.gradients + self.optimiser + self.average
        return stays + max(self.discriminator_pass, self.generator_pass)


def estimate(config: Config, micro_batch: int | None = None) -> MemoryEstimate:
    """What a step of `config` needs with micro-batches of this many clips (default: the configuration's, auto is 1)."""
    own = config.training.micro_batch
    size = micro_batch or (1 if own == "auto" else own)
    config = replace(config, training=replace(config.training, batch=size, micro_batch=size, precision="fp32"))
    with torch.device("meta"):
        networks = build_networks(config, "meta")
    generator = _bytes(networks.generator.parameters()) + _bytes(networks.generator.buffers())
    parameters = sum(_bytes(network.parameters()) for _, network in networks)
    return MemoryEstimate(
        micro_batch=size,
        weights=parameters + sum(_bytes(network.buffers()) for _, network in networks),
        gradients=parameters,
        optimiser=MOMENTS * parameters,
        average=generator if config.training.ema_decay is not None else 0,
        discriminator_pass=held_by(discriminator_pass, networks, config),
        generator_pass=held_by(generator_pass, networks, config),
    )


def held_by(run_pass: Callable[..., object], networks: Networks, config: Config) -> int:
    """Most bytes of a pass over one micro-batch that are held at once, but for the weights' gradients.

    The networks' device decides: on `meta` nothing is computed. The pass ends before its update.
    """
    R, k, M = config.resolution, config.generator.context_frames, config.generator.mask_classes
    B, T = config.training.batch, config.frames
    like = next(networks.generator.parameters())
    zeros = partial(torch.zeros, dtype=like.dtype, device=like.device)
    mixing = config.generator.style_mixing > 0
    conditions = Conditions(
        mask=zeros(B, M, R, R) if M else None,
        other_context=zeros(B, k, 3, R, R) if mixing and k else None,
        other_mask=zeros(B, M, R, R) if mixing and M else None,
    )
    draws = draws_for(config, step=0, pass_index=0)  # the first D pass takes the penalty, lazy or not
    optimisers = cast(Optimisers, _WithoutOptimisers(networks))
    followed = _Followed()
    try:
        with followed:
            run_pass(networks, optimisers, zeros(B, T, 3, R, R), draws, config, conditions, _EndsBeforeTheUpdate())
    except _BeforeUpdateError:
        pass
    gradients = sum(_bytes(p.grad for p in network.parameters() if p.grad is not None) for _, network in networks)
    for _, network in networks:
        network.zero_grad(set_to_none=True)
    return followed.most - gradients


class _Followed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of every storage that is made while it is on, from its making to its end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self._ends: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._follow(tensor.untyped_storage())
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._ends:
            self._ends[key] = weakref.ref(storage, lambda _: self._end(key, size))
            self.now += size
            self.most = max(self.most, self.now)

    def _end(self, key: int, size: int) -> None:
        del self._ends[key]
        self.now -= size


class _BeforeUpdateError(Exception):
    """The pass has all its gradients."""


class _EndsBeforeTheUpdate:
    """A group of processes that the pass never comes back from: it asks for the sum just before the update."""

    size = 1

    def add_up(self, tensors: list[Tensor]) -> None:
        raise _BeforeUpdateError


class _WithoutOptimisers:
    """Clears gradients as the optimisers do, and has no moments."""

    def __init__(self, networks: Networks) -> None:
        self.generator = networks.generator
        self.discriminators = networks.discriminators


def _bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
