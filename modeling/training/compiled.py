"""`training.compile`: the passes through torch.compile, with the same results to rounding.

A discriminator's penalty is the derivative of a derivative. torch.compile refuses one that goes through
`torch.autograd.grad`, so here the whole of a discriminator's work on a micro-batch (scores, loss, penalty, and the
gradient of both for its weights) is one function of its weights, made with `torch.func`, and compiled as one graph.
The generator is compiled a part at a time (encoder, style head, each level of the decoder), because its noise is drawn
on the processor between the parts; the discriminators' scores in its pass are compiled as they are.

Compilation takes minutes at the first step of each call, and again for a micro-batch of another size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from modeling.config import Config
from modeling.errors import ModelingError
from modeling.networks import Discriminator
from modeling.networks.batch_norm import pending_statistics
from modeling.networks.interface import Parts
from modeling.training.build import Networks
from modeling.training.compilers import require_compiler
from modeling.training.execution import Execution, Look, penalty_of
from modeling.training.losses import LOSSES, Scored
from modeling.training.precision import autocast

__all__ = ["CompiledExecution", "compile_parts", "compiler_errors", "gradients_of", "require_compiler"]

GRAPHS = 64  # compiled versions that a function may have: a network's parts share one, with and without gradients

Weights = dict[str, Tensor]
Gradients = Callable[[Weights, Weights, Look], tuple[Weights, dict[str, Tensor]]]


class CompiledExecution(Execution):
    """The passes' work on a micro-batch, compiled by `backend` (inductor; aot_eager only traces, for tests)."""

    def __init__(self, networks: Networks, config: Config, backend: str = "inductor") -> None:
        training = config.training
        weight = training.lambda_gp * training.penalty_every
        self._gradients: dict[tuple[str, bool], Gradients] = {}
        self._scores: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {}
        torch._dynamo.config.recompile_limit = max(GRAPHS, torch._dynamo.config.recompile_limit)
        for name, network in networks.discriminators.items():
            for due in (False, True):
                function = gradients_of(network, config, weight if due else None)
                self._gradients[name, due] = torch.compile(function, fullgraph=True, dynamic=False, backend=backend)
            self._scores[name] = torch.compile(scores_of(network), dynamic=False, backend=backend)
        # PyTorch 2.13 loses in-place changes of float64 buffers in compiled modules: batch norm's statistics are such.
        if training.precision != "fp64" or not pending_statistics(networks.generator):
            compile_parts(networks.generator.parts(), backend)

    def discriminate(
        self, name: str, network: Discriminator, look: Look, config: Config, weight: float | None, share: float
    ) -> dict[str, Tensor]:
        parameters = dict(network.named_parameters())
        detached = {key: parameter.detach() for key, parameter in parameters.items()}
        gradients, stats = self._gradients[name, weight is not None](detached, dict(network.named_buffers()), look)
        for key, parameter in parameters.items():
            if parameter.grad is None:  # in the weights' own layout, which the fused optimiser relies on
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.add_(gradients[key], alpha=share)
        return stats

    def scores(self, name: str, network: Discriminator, view: Tensor, condition_B3HW: Tensor | None) -> Tensor:
        return self._scores[name](view, condition_B3HW)


def scores_of(network: Discriminator) -> Callable[[Tensor, Tensor | None], Tensor]:
    """The network as a function: torch.compile's wrapper for modules would put spectral norm back into training."""

    def scores(view: Tensor, condition_B3HW: Tensor | None) -> Tensor:
        result: Tensor = network(view, condition_B3HW)
        return result

    return scores


def gradients_of(network: Discriminator, config: Config, weight: float | None) -> Gradients:
    """A function of weights, buffers and a `Look`: the loss's gradient, with the penalty's where `weight` is given.

    It gives the gradients by name, and `loss` (with the penalty), `wasserstein` and `penalty`. Not compiled yet.
    """
    training, loss_of = config.training, LOSSES[config.training.loss]

    def loss(weights: Weights, buffers: Weights, look: Look) -> tuple[Tensor, dict[str, Tensor]]:
        def scored(view: Tensor) -> Tensor:
            scores: Tensor = functional_call(network, (weights, buffers), (view, look.condition))
            return scores if network.per_frame else scores.mean(dim=1)

        twice = None if look.condition is None else torch.cat((look.condition, look.condition))
        views = torch.cat((look.real, look.fake))
        with autocast(config, look.real):
            both: Tensor = functional_call(network, (weights, buffers), (views, twice))
        real_scores, fake_scores = both.to(look.real.dtype).chunk(2)
        total = loss_of.discriminator(real_scores, fake_scores)
        stats = {"wasserstein": (real_scores.mean() - fake_scores.mean()).detach()}
        if weight is not None:
            penalty = penalty_of(training, scored, look.real, look.fake, look.alpha, by_func)
            total = total + weight * penalty
            stats["penalty"] = penalty.detach()
        stats["loss"] = total.detach()
        return total, stats

    return cast(Gradients, grad(loss, has_aux=True))


def by_func(scored: Scored, x: Tensor) -> Tensor:
    """The gradient of the summed scores for the samples x: `losses.by_autograd` in torch.func's way."""
    gradient: Tensor = grad(lambda samples: scored(samples).sum())(x)
    return gradient


def compile_parts(parts: Parts, backend: str) -> None:
    """Compile a generator's parts in place: the smallest that it names, whose state dicts stay as they are."""
    for name, part in parts.items():
        if f"{name}_parts" in parts:
            continue
        if isinstance(part, nn.Module):
            part.compile(dynamic=False, backend=backend)
        elif not isinstance(part, nn.Parameter):
            compile_parts(part, backend)


@contextmanager
def compiler_errors() -> Iterator[None]:
    """A compiler that fails while training runs: one line that says so."""
    from torch._dynamo.exc import TorchDynamoException  # slow to import: only for runs that compile
    from torch._inductor.exc import InductorError

    try:
        yield
    except (TorchDynamoException, InductorError) as error:
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ModelingError(f"torch.compile failed ({lines[0][:300]}): set training.compile=off") from error
