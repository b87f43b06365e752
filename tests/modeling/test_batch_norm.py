"""Batch norm under accumulation (Eq. 3.17) against direct computations and PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from modeling.networks.batch_norm import BatchNorm, commit_statistics

CHANNELS = 3


def _maps(clips: int, seed: int) -> Tensor:
    """Maps whose statistics differ from clip to clip."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(clips, CHANNELS, 4, 5, generator=rng, dtype=torch.float64)
    return x * (1 + torch.rand(clips, CHANNELS, 1, 1, generator=rng)) + torch.randn(
        clips, CHANNELS, 1, 1, generator=rng
    )


def _reference() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(CHANNELS, momentum=0.1).double()


def test_one_micro_batch_an_update_is_pytorch_s_batch_norm() -> None:
    ours, theirs = BatchNorm(CHANNELS).double(), _reference()
    for seed in range(4):
        x = _maps(6, seed).requires_grad_()
        weight = torch.randn(x.shape, generator=torch.Generator().manual_seed(9)).double()
        gradients = []
        for norm in (ours, theirs):
            norm.zero_grad()
            y = norm(x)
            (y * weight).sum().backward()
            gradients.append((y.detach(), x.grad.clone(), norm.weight.grad.clone(), norm.bias.grad.clone()))
            x.grad = None
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
        ours.commit()
        torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=1e-10, atol=1e-12)
    x = _maps(6, 99)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), rtol=1e-10, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(updates=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=5), min_size=1, max_size=3))
def test_an_update_weighs_its_micro_batches_by_their_size(updates: list[list[int]]) -> None:
    """Against Eq. 3.17 with x^ = the mean over the update's clips, written out in plain numbers."""
    norm = BatchNorm(CHANNELS).double()
    mean, variance = [0.0] * CHANNELS, [1.0] * CHANNELS
    for number, sizes in enumerate(updates):
        batches = [_maps(size, 10 * number + index) for index, size in enumerate(sizes)]
        for x in batches:
            norm(x)
        norm.commit()
        for channel in range(CHANNELS):
            seen_mean = seen_variance = 0.0
            for x, size in zip(batches, sizes, strict=True):
                values = x[:, channel].flatten().tolist()
                average = sum(values) / len(values)
                spread = sum((value - average) ** 2 for value in values) / (len(values) - 1)
                seen_mean += average * size / sum(sizes)
                seen_variance += spread * size / sum(sizes)
            mean[channel] = 0.9 * mean[channel] + 0.1 * seen_mean
            variance[channel] = 0.9 * variance[channel] + 0.1 * seen_variance
    torch.testing.assert_close(norm.running_mean, torch.tensor(mean, dtype=torch.float64), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(norm.running_var, torch.tensor(variance, dtype=torch.float64), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("micro_batches", [1, 4, 10, 32])
def test_it_is_equation_3_17_at_every_pass_with_the_momentum_of_that_pass(micro_batches: int) -> None:
    """x' = (1 - m) x + m x^ at each pass, with m = M / (J - M (J - j)) at the j-th: the products telescope to M / J."""
    J, M = micro_batches, 0.1
    ours, theirs = BatchNorm(CHANNELS).double(), _reference()
    for update in range(2):
        for j in range(1, J + 1):
            x = _maps(2, 100 * update + j)
            theirs.momentum = M / (J - M * (J - j))
            assert torch.allclose(ours(x), theirs(x))
        ours.commit()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(ours.running_var, theirs.running_var, rtol=1e-9, atol=1e-10)
    if J == 10:  # the thesis's 0.01 belongs to ten micro-batches
        assert pytest.approx(0.01) == M / J


def test_the_order_of_micro_batches_does_not_matter() -> None:
    norms = [BatchNorm(CHANNELS).double() for _ in range(2)]
    batches = [_maps(2, seed) for seed in range(5)]
    for norm, order in zip(norms, (batches, batches[::-1]), strict=True):
        for x in order:
            norm(x)
        norm.commit()
    torch.testing.assert_close(norms[0].running_mean, norms[1].running_mean, rtol=1e-12, atol=1e-13)
    assert not torch.equal(norms[0].running_mean, torch.zeros(CHANNELS).double())


def test_passes_without_a_graph_normalise_alike_and_move_nothing() -> None:
    norm, x = BatchNorm(CHANNELS).double(), _maps(3, 0)
    with torch.no_grad():
        without = norm(x)
    norm.commit()
    assert torch.equal(norm.running_mean, torch.zeros(CHANNELS).double())
    assert torch.equal(norm.running_var, torch.ones(CHANNELS).double())
    torch.testing.assert_close(without, norm(x).detach(), rtol=1e-12, atol=1e-13)


def test_recomputed_activations_do_not_count_twice() -> None:
    """Activation checkpointing runs the forward pass again, for every micro-batch alike: the mean over them stays."""

    def network() -> nn.Sequential:
        return nn.Sequential(BatchNorm(CHANNELS), nn.Sigmoid(), BatchNorm(CHANNELS), nn.Sigmoid()).double()

    plain, again = network(), network()
    for seed, size in enumerate((1, 3, 2)):
        x = _maps(size, seed).requires_grad_()
        plain(x).square().sum().backward()
        checkpoint(again, x, use_reentrant=False).square().sum().backward()
    assert again[0].pending_count == 2 * plain[0].pending_count  # it did run again
    for networks in (plain, again):
        commit_statistics(networks)
    for one, other in zip(plain.buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_checkpoints_hold_running_statistics_alone_and_a_commit_ends_an_update() -> None:
    network = nn.Sequential(BatchNorm(CHANNELS), nn.ReLU(), BatchNorm(CHANNELS))
    network(_maps(2, 0).float())
    assert set(network.state_dict()) == {
        f"{index}.{name}" for index in (0, 2) for name in ("weight", "bias", "running_mean", "running_var")
    }
    commit_statistics(network)
    once = {name: value.clone() for name, value in network.state_dict().items()}
    commit_statistics(network)
    assert all(torch.equal(once[name], value) for name, value in network.state_dict().items())
    assert once["2.running_mean"].abs().max() > 0
