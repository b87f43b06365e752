"""The memory estimate against passes with values on the CPU, and against what autograd really keeps for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from modeling import presets
from modeling.config import Config, apply_overrides
from modeling.measuring.memory import MemoryEstimate, estimate, held_by
from modeling.networks import convolution
from modeling.training.build import Networks, Optimisers, build_networks
from modeling.training.draws import draws_for
from modeling.training.step import discriminator_pass, generator_pass
from tests.modeling.conftest import Run

KINDS = {
    "style": ("generator.kind=style",),
    "dvdgan-s": ("generator.kind=dvdgan-s",),
    "tgan": ("generator.kind=tgan", "decomposition=tgan"),
}


@pytest.fixture
def same_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """No 3-D convolution as a 2-D one, which the CPU alone does and which holds more."""
    monkeypatch.setattr(convolution, "FEW_CHANNELS", 0)


def _config(kind: str, *overrides: str) -> Config:
    return apply_overrides(
        presets.get("tiny"), [*KINDS[kind], "batch=1", "micro_batch=1", "frames=9", "d_s.frames=4", *overrides]
    )


class _Kept:
    """Bytes that autograd keeps, a storage once, for as long as any of its nodes keeps it; weights are not counted."""

    def __init__(self, networks: Networks) -> None:
        tensors = (t for _, network in networks for t in (*network.parameters(), *network.buffers()))
        self.weights = {t.untyped_storage().data_ptr() for t in tensors}
        self.holders: dict[int, int] = {}
        self.now = self.most = 0

    def pack(self, tensor: Tensor) -> _Holder | Tensor:
        if tensor.untyped_storage().data_ptr() in self.weights:
            return tensor.detach()
        return _Holder(self, tensor)


class _Holder:
    def __init__(self, kept: _Kept, tensor: Tensor) -> None:
        self.kept, self.tensor = kept, tensor
        self.key, self.size = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
        if kept.holders.get(self.key, 0) == 0:
            kept.now += self.size
            kept.most = max(kept.most, kept.now)
        kept.holders[self.key] = kept.holders.get(self.key, 0) + 1

    def __del__(self) -> None:
        self.kept.holders[self.key] -= 1
        if self.kept.holders[self.key] == 0:
            self.kept.now -= self.size


class _NoMoments:
    """Optimisers whose update changes nothing."""

    class One:
        def zero_grad(self, set_to_none: bool) -> None:
            pass

        def step(self) -> None:
            pass

    def __init__(self, networks: Networks) -> None:
        self.generator = self.One()
        self.discriminators = {name: self.One() for name in networks.discriminators}


def _kept_by(run_pass: Callable[..., Any], networks: Networks, config: Config) -> int:
    """What autograd keeps at its fullest in a whole pass over real values."""
    clips = torch.rand(config.training.batch, config.frames, 3, 32, 32) * 2 - 1
    optimisers, kept = cast(Optimisers, _NoMoments(networks)), _Kept(networks)
    with saved_tensors_hooks(kept.pack, lambda held: held.tensor if isinstance(held, _Holder) else held):
        run_pass(networks, optimisers, clips, draws_for(config, step=0, pass_index=0), config)
    for _, network in networks:
        network.zero_grad(set_to_none=True)
    return kept.most


@pytest.mark.usefixtures("same_kernels")
@pytest.mark.parametrize("kind", ["style", "dvdgan-s", "tgan"])
def test_a_pass_without_values_holds_what_the_same_pass_with_values_does(kind: str) -> None:
    config = _config(kind)
    networks, memory = build_networks(config), estimate(config)
    assert memory.discriminator_pass == pytest.approx(held_by(discriminator_pass, networks, config), rel=0.01)
    assert memory.generator_pass == pytest.approx(held_by(generator_pass, networks, config), rel=0.01)


@pytest.mark.usefixtures("same_kernels")
@pytest.mark.parametrize("kind", ["style", "dvdgan-s"])
def test_it_is_what_autograd_keeps_and_at_most_twice_that(kind: str) -> None:
    """The rest are temporary tensors: up to a fifth in a G pass, more in a D pass, whose second backward has many."""
    config = _config(kind)
    networks, memory = build_networks(config), estimate(config)
    for run_pass, held, more in (
        (discriminator_pass, memory.discriminator_pass, 2.0),
        (generator_pass, memory.generator_pass, 1.2),
    ):
        kept = _kept_by(run_pass, networks, config)
        assert kept <= held <= more * kept, run_pass.__name__


def test_weights_gradients_moments_and_average_are_counted_by_their_numbers() -> None:
    memory = estimate(_config("style"))
    generator, discriminators = 337_841, 154_642 + 187_282
    assert memory.gradients == 4 * (generator + discriminators)
    assert memory.optimiser == 2 * memory.gradients
    assert memory.average == 4 * generator
    # With the buffers: spectral norm's two vectors a weight.
    networks = build_networks(_config("style"))
    buffers = sum(b.numel() * b.element_size() for _, network in networks for b in network.buffers())
    assert memory.weights == memory.gradients + buffers
    passes = max(memory.discriminator_pass, memory.generator_pass)
    assert memory.total == memory.weights + 3 * memory.gradients + memory.average + passes


def test_more_clips_frames_and_pixels_hold_more_and_nothing_is_computed() -> None:
    config = _config("style")

    def held(*overrides: str) -> MemoryEstimate:
        return estimate(apply_overrides(config, overrides))

    base, twice = held(), estimate(config, 2)
    assert (base.micro_batch, twice.micro_batch) == (1, 2)
    assert 1.3 < twice.discriminator_pass / base.discriminator_pass <= 2  # what a pass makes of the weights stays
    assert held("frames=14").generator_pass > 1.3 * base.generator_pass
    assert held("lambda_gp=0").discriminator_pass < base.discriminator_pass
    lazy = held("penalty_every=4")
    assert lazy.discriminator_pass == base.discriminator_pass  # the fullest of the passes counts
    assert held("mask_classes=2", "style_mixing=0.5").generator_pass > base.generator_pass


def test_describe_shows_it_and_lists_the_presets(modeling: Run) -> None:
    shown = modeling("describe", "--preset", "tgan-64", "--json")
    memory = json.loads(shown.stdout)["memory"]
    assert (memory["micro_batch"], memory["total"]) == (8, estimate(presets.get("tgan-64")).total)
    text = modeling("describe", "--preset", "tgan-64").stdout
    assert "TGAN (Saito 2017)" in text
    assert "held by a D pass at its fullest" in text

    listed = modeling("describe")
    assert all(f"{name} " in listed.stdout for name in presets.PRESETS)
    assert "next: modeling describe --preset NAME" in listed.stdout
    rows = json.loads(modeling("describe", "--json").stdout)["presets"]
    assert [row["preset"] for row in rows] == list(presets.PRESETS)
    assert all(row["about"] and row["resolution"] for row in rows)
    alone = modeling("describe", "--set", "generator.ch=4")
    assert alone.exit_code == 2
    assert "give --preset NAME" in alone.stderr
