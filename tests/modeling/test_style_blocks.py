"""Modulated convolution against Eq. 3.10 and 3.11 written as loops, and the parts of a style block."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from modeling.networks.cells import ConvGRU
from modeling.networks.style import Affine, ModulatedConv, StyleBlock, ToRGB, weight_a_clip, weight_shared
from tests.modeling import literal_networks as literal


def _rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def _conv(demodulate: bool, kernel: int = 3) -> ModulatedConv:
    torch.manual_seed(3)
    return ModulatedConv(3, 2, kernel, 5, demodulate=demodulate).double()


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("batch", [1, 3])
def test_modulated_convolution_is_the_loop_over_eq_3_10_and_3_11(demodulate: bool, kernel: int, batch: int) -> None:
    conv, x, style = _conv(demodulate, kernel), _rand(batch, 2, 3, 4, 4), _rand(batch, 5, seed=1)
    bias = _rand(2, seed=2)
    expected = torch.zeros(batch, 2, 2, 4, 4).double()
    pad = kernel // 2
    for b in range(batch):
        matrix, offset = conv.affine.weight.detach(), conv.affine.bias.detach()
        s = [float(offset[i] + sum(matrix[i, k] * style[b, k] for k in range(5)) / math.sqrt(5)) for i in range(3)]
        w = conv.weight.detach() / math.sqrt(3 * kernel * kernel)
        modulated = torch.zeros_like(w)
        for j in range(2):
            for i in range(3):
                for k in range(kernel * kernel):
                    modulated[j, i].view(-1)[k] = s[i] * w[j, i].reshape(-1)[k]  # Eq. 3.10
            if demodulate:
                total = sum(float(value) ** 2 for value in modulated[j].reshape(-1))  # over i and k
                modulated[j] /= math.sqrt(total + 1e-8)  # Eq. 3.11
        for t in range(2):
            padded = F.pad(x[b, t], (pad, pad, pad, pad))
            for j in range(2):
                for row in range(4):
                    for column in range(4):
                        window = padded[:, row : row + kernel, column : column + kernel]
                        expected[b, t, j, row, column] = (window * modulated[j]).sum() + bias[j]
    x, expected = x.flatten(0, 1), expected.flatten(0, 1)
    torch.testing.assert_close(conv(x, style, bias).detach(), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(conv(x, style, bias, gain=2.0).detach(), 2 * expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 3])
def test_both_forms_of_the_folded_convolution_agree(batch: int) -> None:
    """A GPU takes the shared weight for several clips, a CPU a weight a clip."""
    arguments = [_rand(batch * 4, 3, 5, 5), _rand(2, 3, 3, 3), _rand(batch, 3), _rand(batch, 2), _rand(2)]
    results = []
    for form in (weight_a_clip, weight_shared):
        leaves = [argument.clone().requires_grad_() for argument in arguments]
        y = form(*leaves)
        results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)


def test_demodulated_weights_have_unit_norm_and_forget_the_style_s_size() -> None:
    conv, style = _conv(True), _rand(4, 5)
    weights = literal.modulated_weights(conv, style, demodulate=True)
    torch.testing.assert_close(weights.square().sum(dim=(2, 3, 4)), torch.ones(4, 2).double(), rtol=1e-6, atol=1e-6)
    with torch.no_grad():
        conv.affine.bias.zero_()
    x, bias = _rand(1, 3, 4, 4), torch.zeros(2).double()
    torch.testing.assert_close(conv(x, style[:1], bias), conv(x, 100 * style[:1], bias), rtol=1e-4, atol=1e-6)


def test_to_rgb_is_not_demodulated_and_bounded() -> None:
    torch.manual_seed(0)
    rgb = ToRGB(4, 5, kernel=1).double()
    with torch.no_grad():
        rgb.conv.affine.weight.zero_()
    x, style = 0.01 * _rand(1, 4, 2, 2), _rand(1, 5)
    small = rgb(x, style)
    with torch.no_grad():
        rgb.conv.affine.bias *= 2  # twice the scale is twice the output, where demodulation would undo it
    torch.testing.assert_close(torch.atanh(rgb(x, style)), 2 * torch.atanh(small), rtol=1e-9, atol=1e-12)
    assert rgb(1e6 * x, style).abs().max() <= 1


def test_affine_scales_begin_around_one() -> None:
    torch.manual_seed(0)
    affine = Affine(256, 512)
    scales = affine(torch.randn(64, 256)).detach()
    assert abs(float(scales.mean()) - 1) < 0.05
    assert abs(float(scales.std()) - 1) < 0.05  # N(0, 1) weights over sqrt(256): variance kept
    assert torch.equal(affine.bias, torch.ones(512))


def test_style_block_keeps_the_variance() -> None:
    torch.manual_seed(0)
    block = StyleBlock(32, 32, 16, noise=True)
    y = block(torch.randn(16, 32, 16, 16), torch.rand(2, 16), None).detach()
    assert 0.7 < float(y.square().mean()) < 1.4


def test_noise_is_one_learned_scalar_shared_by_channels_and_zero_at_first() -> None:
    torch.manual_seed(0)
    block = StyleBlock(3, 4, 5, noise=True).double()
    x, style, noise = _rand(4, 3, 4, 4), _rand(2, 5), _rand(4, 1, 4, 4, seed=9)
    assert torch.equal(block(x, style, noise), block(x, style, None))
    with torch.no_grad():
        block.noise_strength.fill_(1e4)
    lit = block(x, style, noise) > 0
    assert torch.equal(lit, (noise > 0).expand_as(lit))
    assert StyleBlock(3, 4, 5, noise=False).noise_strength is None


def test_conv_gru_goes_between_keeping_and_replacing_its_state() -> None:
    torch.manual_seed(0)
    cell = ConvGRU(3).double()
    x, h = _rand(2, 4, 3, 5, 5), _rand(2, 3, 5, 5, seed=1)
    states, last = cell(x.flatten(0, 1), h, 4)
    states = states.unflatten(0, (2, 4))
    assert torch.equal(states[:, -1], last)
    expected = h
    for t in range(4):
        expected = literal.conv_gru(cell, x[:, t], expected)
        torch.testing.assert_close(states[:, t], expected, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        cell.input.bias[3:6] = -1e3  # u = 0: h' = h
    torch.testing.assert_close(cell(x.flatten(0, 1), h, 4)[1], h, rtol=0, atol=1e-12)
    with torch.no_grad():
        cell.input.bias[3:6] = 1e3  # u = 1: h' = c, in (-1, 1)
    assert cell(x[:, 0], 5 * h, 1)[1].abs().max() <= 1 + 1e-12


def test_an_input_of_one_step_is_the_input_at_each() -> None:
    torch.manual_seed(0)
    cell = ConvGRU(3).double()
    x, h = _rand(2, 1, 3, 5, 5), _rand(2, 3, 5, 5, seed=1)
    repeated = x.expand(-1, 6, -1, -1, -1).flatten(0, 1)
    torch.testing.assert_close(cell(x.flatten(0, 1), h, 6)[0], cell(repeated, h, 6)[0], rtol=1e-10, atol=1e-12)
