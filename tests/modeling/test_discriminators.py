"""The discriminators against their slow twins, their shapes, attention and spectral normalisation."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from modeling import presets
from modeling.config import apply_overrides
from modeling.networks import build_discriminators
from modeling.networks.convolution import Conv, average_pool, conv3d_by_frames, pooled_kernel
from modeling.networks.spectral_norm import power_iteration
from tests.modeling import literal_networks as literal

TINY = presets.get("tiny")
SMALL = ["resolution=16", "generator.widths=[2,1]", "d_s.widths=[1,2,2]", "d_t.widths=[1,2,2]", "d_s.frames=3"]


def _rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def _pair(*overrides: str):
    networks = tuple(build_discriminators(apply_overrides(TINY, overrides)).values())
    for network in networks:
        network.double()
        if network.attention is not None:
            network.attention.gamma.data.fill_(0.7)  # begins at 0, where an error in attention would not show
    return networks


@settings(max_examples=40, deadline=None)
@given(
    dims=st.sampled_from([2, 3]),
    sizes=st.lists(st.integers(2, 7), min_size=3, max_size=3),
    channels=st.integers(1, 3),
    out=st.integers(1, 3),
    kernel=st.sampled_from([1, 3]),
)
def test_pooled_convolution_is_convolution_then_pooling(dims, sizes, channels, out, kernel) -> None:
    """Odd sizes included: the pool drops the last one, the strided convolution must too."""
    torch.manual_seed(0)
    conv = Conv(dims, channels, out, kernel, pool=True).double()
    x = _rand(2, channels, *sizes[:dims])
    full = (F.conv2d if dims == 2 else F.conv3d)(x, conv.weight, conv.bias, padding=kernel // 2)
    torch.testing.assert_close(conv(x), average_pool(full), rtol=1e-9, atol=1e-11)
    assert pooled_kernel(conv.weight).shape[2:] == (kernel + 1,) * dims


@settings(max_examples=30, deadline=None)
@given(
    frames=st.integers(1, 7),
    channels=st.integers(1, 3),
    stride_kernel=st.sampled_from([(1, 3), (1, 1), (2, 4)]),
    batch=st.integers(1, 2),
)
def test_3d_convolution_by_frames_is_conv3d(frames, channels, stride_kernel, batch) -> None:
    stride, kernel = stride_kernel
    padding = 1 if kernel > 1 else 0
    if frames + 2 * padding < kernel:
        return
    x, weight, bias = _rand(batch, channels, frames, 6, 6), _rand(2, channels, *(kernel,) * 3), _rand(2)
    expected = F.conv3d(x, weight, bias, stride, padding)
    torch.testing.assert_close(conv3d_by_frames(x, weight, bias, stride, padding), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("overrides", [(), ("conditional=off",), ("d_s.attention=off",), ("d_s.spectral_norm=off",)])
def test_d_s_agrees_with_its_twin(overrides: tuple[str, ...]) -> None:
    d_s, _ = _pair(*SMALL, *overrides)
    frames, condition = _rand(2, 3, 3, 16, 16), _rand(2, 3, 16, 16, seed=1)
    _compare(d_s, d_s(frames, condition), literal.score_frames(d_s, frames, condition), (2, 3))


@pytest.mark.parametrize("overrides", [(), ("d_t.pool=2",), ("d_t.attention=off",), ("d_t.spectral_norm=off",)])
def test_d_t_agrees_with_its_twin(overrides: tuple[str, ...]) -> None:
    _, d_t = _pair(*SMALL, *overrides)
    video = _rand(2, 9, 3, 16, 16)
    _compare(d_t, d_t(video), literal.score_clips(d_t, video), (2, 2))


@pytest.mark.parametrize("channels", [8, 40], ids=["by frames", "conv3d"])
def test_both_forms_of_3d_convolution_score_alike(channels: int) -> None:
    _, d_t = _pair(*SMALL, f"d_t.ch={channels}", "d_t.attention=off")
    video = _rand(1, 5, 3, 16, 16)
    _compare(d_t, d_t(video), literal.score_clips(d_t, video), (1, 1))


def _compare(network: torch.nn.Module, fast: torch.Tensor, slow: torch.Tensor, shape: tuple[int, int]) -> None:
    assert fast.shape == shape
    torch.testing.assert_close(fast, slow, rtol=1e-8, atol=1e-10)
    weight = _rand(*shape, seed=5)
    names = [name for name, _ in network.named_parameters()]
    fast_grads = torch.autograd.grad((fast * weight).sum(), network.parameters())
    slow_grads = torch.autograd.grad((slow * weight).sum(), network.parameters())
    for name, one, two in zip(names, fast_grads, slow_grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-9 * max(1.0, float(two.abs().max())), msg=name)


@pytest.mark.parametrize(("frames", "slices"), [(4, 1), (15, 3), (25, 6), (30, 7)])
def test_d_t_drops_an_odd_last_frame(frames: int, slices: int) -> None:
    """25 -> 12 -> 6. The 25th frame still reaches slice 12 of the first block through its 3x3x3 kernels."""
    _, d_t = _pair()
    video = _rand(1, frames, 3, 32, 32).requires_grad_()
    scores = d_t(video)
    assert scores.shape == (1, slices)
    (gradient,) = torch.autograd.grad(scores.sum(), video)
    assert (gradient.abs().amax(dim=(0, 2, 3, 4)) > 0).all()


def test_samples_do_not_see_one_another() -> None:
    d_s, d_t = _pair()
    frames, condition, video = _rand(2, 2, 3, 32, 32), _rand(2, 3, 32, 32), _rand(2, 8, 3, 32, 32)
    torch.testing.assert_close(d_s(frames, condition)[1:], d_s(frames[1:], condition[1:]), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(d_t(video)[1:], d_t(video[1:]), rtol=1e-9, atol=1e-12)


def test_the_condition_reaches_d_s_only_where_asked() -> None:
    frames = _rand(1, 2, 3, 32, 32)
    for conditional in ("on", "off"):
        d_s, _ = _pair(f"conditional={conditional}")
        same = torch.equal(d_s(frames, _rand(1, 3, 32, 32)), d_s(frames, _rand(1, 3, 32, 32, seed=1)))
        assert same is (conditional == "off")


def test_attention_begins_as_identity() -> None:
    for network in build_discriminators(TINY).values():
        assert network.attention.gamma == 0
        x = torch.randn(2, 32, 8, 8)
        assert torch.equal(network.attention(x), x)


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    for network in build_discriminators(TINY).values():
        for _ in range(200):
            power_iteration(network)
        for name, module in network.named_modules():
            if hasattr(module, "parametrizations"):
                singular = torch.linalg.matrix_norm(module.weight.flatten(1).double(), ord=2)
                assert singular.item() == pytest.approx(1.0, abs=0.02), name


def test_spectral_norm_covers_every_convolution_and_the_linear() -> None:
    for network in build_discriminators(TINY).values():
        kinds = (Conv, torch.nn.Conv2d, torch.nn.Linear)
        layers = [module for module in network.modules() if isinstance(module, kinds)]
        assert len(layers) == 4 * 3 + 4 + 1
        assert all(hasattr(layer, "parametrizations") for layer in layers)


def test_spectral_norm_rests_but_in_power_iteration() -> None:
    d_s = build_discriminators(TINY)["d_s"]
    before = copy.deepcopy(dict(d_s.named_buffers()))
    assert before
    d_s.train()
    frames, condition = torch.randn(1, 2, 3, 32, 32), torch.randn(1, 3, 32, 32)
    d_s(frames, condition).sum().backward()
    d_s.eval()
    d_s(frames, condition)
    assert all(torch.equal(before[name], buffer) for name, buffer in d_s.named_buffers())
    power_iteration(d_s)
    assert any(not torch.equal(before[name], buffer) for name, buffer in d_s.named_buffers())
