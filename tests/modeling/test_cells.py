"""Recurrent cells against plain Python from their equations; warps; stacks, streaming, and generators made of each."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from modeling import presets
from modeling.config import apply_overrides
from modeling.networks import build_generator
from modeling.networks.cells import CELLS, CellStack, ConvLSTM
from modeling.networks.cells.motion import CENTRE
from modeling.networks.cells.warps import DisplacedKernelWarp, FlowWarp, KernelWarp
from modeling.parsing import ConfigError
from tests.modeling import literal_cells as literal

TINY = presets.get("tiny")
KINDS = [(name, warp) for name in CELLS for warp in (("kernel", "flow") if name.startswith("tsru") else ("kernel",))]


def _rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _stack(name: str, warp: str, *, channels: int = 2, layers: int = 1, activation: str = "tanh") -> CellStack:
    """In double precision, with every weight moved, so that biases and flows are far from where they begin."""
    options = replace(TINY.generator, cell=name, cell_warp=warp, cell_activation=activation, layers=layers)
    torch.manual_seed(0)
    stack = CellStack(channels, options).double()
    with torch.no_grad():
        for index, parameter in enumerate(stack.parameters()):
            parameter += 0.2 * _rand(*parameter.shape, seed=index)
    return stack


def _agrees(stack: CellStack, channels: int, height: int, width: int, steps: int) -> None:
    x, feature = _rand(2, steps, channels, height, width), _rand(2, channels, height, width, seed=1)
    outputs, last = stack(x.flatten(0, 1), stack.initial(feature), steps)
    expected = torch.stack([literal.unrolled(stack, x[clip], feature[clip]) for clip in range(2)])
    assert outputs.shape == (2 * steps, channels, height, width)
    torch.testing.assert_close(outputs.detach(), expected.flatten(0, 1), rtol=0, atol=1e-10)
    torch.testing.assert_close(last[-1][:, :channels].detach(), expected[:, -1], rtol=0, atol=1e-10)


# -- cells ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize(("name", "warp"), KINDS)
def test_agrees_with_its_equations_number_by_number(name: str, warp: str, activation: str) -> None:
    steps = 2 if "traj" in name else 3
    _agrees(_stack(name, warp, activation=activation), 2, 4, 5, steps)


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize(("name", "warp"), [("convgru", "kernel"), ("convlstm", "kernel"), ("tsru-s", "flow")])
def test_layers_each_read_the_states_of_the_one_below(name: str, warp: str, layers: int) -> None:
    _agrees(_stack(name, warp, layers=layers), 2, 4, 4, 3)


def test_more_channels_on_a_wide_map() -> None:
    _agrees(_stack("tsru-p", "kernel", channels=3), 3, 5, 6, 3)


@pytest.mark.parametrize(("name", "warp"), KINDS)
def test_gradients_agree_with_finite_differences(name: str, warp: str) -> None:
    stack = _stack(name, warp)
    feature = _rand(2, 2, 4, 5, seed=1)
    tensors = {"x": _rand(2, 2, 4, 5), "feature": feature, **dict(stack.named_parameters())}
    weight = _rand(4, 2, 4, 5, seed=2)

    def value() -> Tensor:
        x = tensors["x"].repeat_interleave(2, dim=0)
        return (stack(x, stack.initial(tensors["feature"]), 2)[0] * weight).sum()

    for tensor in tensors.values():
        tensor.requires_grad_()
    gradients = torch.autograd.grad(value(), list(tensors.values()))
    for (what, tensor), gradient in zip(tensors.items(), gradients, strict=True):
        # Along a direction of its own, small enough to cross no kink of a bilinear sample.
        direction = torch.sign(_rand(*tensor.shape, seed=3)) + 0.1
        values = []
        for side in (1e-8, -2e-8):
            with torch.no_grad():
                tensor += side * direction
                values.append(value())
        with torch.no_grad():
            tensor += 1e-8 * direction
        torch.testing.assert_close((gradient * direction).sum(), (values[0] - values[1]) / 2e-8, rtol=1e-5, atol=1e-5)
        assert gradient.abs().max() > 0, what


@pytest.mark.parametrize(("name", "warp"), KINDS)
def test_in_pieces_it_gives_what_it_gives_at_once(name: str, warp: str) -> None:
    stack = _stack(name, warp, layers=2)
    x, state = _rand(2, 7, 2, 5, 6), stack.initial(_rand(2, 2, 5, 6, seed=1))
    whole, last = stack(x.flatten(0, 1), state, 7)
    pieces, begin = [], 0
    for steps in (1, 4, 2):
        piece, state = stack(x[:, begin : begin + steps].flatten(0, 1), state, steps)
        pieces.append(piece.unflatten(0, (2, steps)))
        begin += steps
    torch.testing.assert_close(torch.cat(pieces, dim=1).flatten(0, 1), whole, rtol=0, atol=1e-12)
    for ours, theirs in zip(state, last, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "warp"), KINDS)
def test_an_input_of_one_step_is_the_input_at_each(name: str, warp: str) -> None:
    stack = _stack(name, warp)
    x, state = _rand(2, 1, 2, 5, 6), stack.initial(_rand(2, 2, 5, 6, seed=1))
    repeated = x.expand(-1, 4, -1, -1, -1).flatten(0, 1)
    torch.testing.assert_close(stack(x.flatten(0, 1), state, 4)[0], stack(repeated, state, 4)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("name", "warp"), KINDS)
def test_convolutions_of_the_input_run_once_for_all_steps(name: str, warp: str) -> None:
    stack, frames = _stack(name, warp), []
    for module in stack.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _module, arguments, _out: frames.append(len(arguments[0])))
    stack(_rand(2 * 6, 2, 4, 4), stack.initial(_rand(2, 2, 4, 4)), 6)
    assert frames == [12] * (2 if "traj" in name else 1)


def test_lstm_memory_begins_at_zero_and_goes_on_with_the_state() -> None:
    stack, feature = _stack("convlstm", "kernel"), _rand(2, 2, 4, 4)
    (state,) = stack.initial(feature)
    assert torch.equal(state[:, :2], feature)
    assert not state[:, 2:].any()
    outputs, (state,) = stack(_rand(2, 2, 4, 4, seed=1), [state], 1)
    assert outputs.shape == feature.shape
    assert torch.equal(state[:, :2], outputs)
    assert isinstance(stack.cells[0], ConvLSTM)
    assert state[:, 2:].abs().max() > 0


@pytest.mark.parametrize(("name", "warp"), KINDS)
def test_a_new_cell_keeps_what_it_is_told_to_keep(name: str, warp: str) -> None:
    """With keep_bias the gate is all but shut: one step gives the state back, or h^ where the cell moves its state."""
    stacks = {}
    for bias in (0.0, 30.0):
        torch.manual_seed(0)
        options = replace(TINY.generator, cell=name, cell_warp=warp, keep_bias=bias)
        stacks[bias] = CellStack(2, options).double()
    x, h = _rand(1, 2, 4, 5), 0.5 * _rand(1, 2, 4, 5, seed=1)
    change = {}
    for bias, stack in stacks.items():
        (cell,) = stack.cells
        if name == "convlstm":  # its memory is what f keeps: c' - i.g = f.c
            memory = _rand(1, 2, 4, 5, seed=2)
            after = [cell(x, torch.cat((h, m), dim=1), 1)[1][:, 2:] for m in (memory, torch.zeros_like(memory))]
            change[bias] = float((after[0] - after[1] - memory).detach().abs().max())
        else:
            change[bias] = float((cell(x, h, 1)[1] - h).detach().abs().max())
    assert change[0.0] > 0.2
    moved = name in ("tsru-p", "tsru-s")  # a warp at rest still moves a state a little
    assert change[30.0] < (0.5 * change[0.0] if moved else 1e-9)


def test_gru_keeps_the_names_of_its_weights() -> None:
    names = {name for name, _ in _stack("convgru", "kernel").named_parameters()}
    assert names == {f"cells.0.{n}" for n in ("input.weight", "input.bias", "hidden_gates", "hidden_candidate")}


# -- warps ---------------------------------------------------------------------------------------------------------


def _no_motion(maps: int, height: int, width: int) -> Tensor:
    """theta of `DisplacedKernelWarp`, five flows of 0 and delta kernels."""
    theta = torch.zeros(maps, 5, 11, height, width, dtype=torch.float64)
    theta[:, :, 2 + 4] = 1e4
    return theta.flatten(1, 2)


def _delta(tap: int, *shape: int) -> Tensor:
    theta = torch.zeros(shape[0], 9, *shape[1:], dtype=torch.float64)
    theta[:, tap] = 1e4
    return theta


@pytest.mark.parametrize("shape", [(1, 3, 4, 8), (2, 3, 5, 7)])
def test_no_motion_is_the_identity(shape: tuple[int, int, int, int]) -> None:
    B, C, H, W = shape
    h = _rand(*shape)
    along = FlowWarp(h)(h, torch.zeros(B, 10, H, W, dtype=torch.float64)).reshape(B, C, 5, H, W)
    torch.testing.assert_close(along, h[:, :, None].expand_as(along), rtol=0, atol=1e-14)
    assert torch.equal(KernelWarp(h)(h, _delta(4, B, H, W)), h)
    displaced = DisplacedKernelWarp(h)(h, _no_motion(B, H, W)).reshape(B, 5, C, H, W)
    assert torch.equal(displaced, h[:, None].expand_as(displaced))


@pytest.mark.parametrize("side", [4, 8, 16, 32, 64])
def test_no_flow_is_the_identity_bit_by_bit_in_single_precision(side: int) -> None:
    h = _rand(2, 3, side, side).float()
    assert torch.equal(FlowWarp(h)(h, torch.zeros(2, 2, side, side)), h)


def _carried(h: Tensor, right: int, down: int) -> Tensor:
    """What each location reads `right` and `down` of it, the nearest border pixel beyond the border."""
    H, W = h.shape[-2:]
    rows, columns = (torch.arange(H) + down).clamp(0, H - 1), (torch.arange(W) + right).clamp(0, W - 1)
    return h[:, :, rows][:, :, :, columns]


@pytest.mark.parametrize(("right", "down"), [(1, 0), (-1, 0), (0, 1), (0, -1), (1, -1)])
def test_one_pixel_of_motion_carries_the_map_one_pixel(right: int, down: int) -> None:
    h = _rand(2, 3, 5, 6)
    expected = _carried(h, right, down)
    flow = torch.tensor([right, down]).double().reshape(1, 2, 1, 1).expand(2, 2, 5, 6)
    torch.testing.assert_close(FlowWarp(h)(h, flow), expected, rtol=0, atol=1e-13)
    assert torch.equal(KernelWarp(h)(h, _delta(3 * (down + 1) + right + 1, 2, 5, 6)), expected)
    # A flow and a kernel add up; another flow beside them stays by itself.
    theta = _no_motion(2, 5, 6).unflatten(1, (5, 11))
    theta[:, 1, :2] = flow
    theta[:, 2, :2], theta[:, 2, 2:] = flow, _delta(3 * (down + 1) + right + 1, 2, 5, 6)
    warps = DisplacedKernelWarp(h)(h, theta.flatten(1, 2)).reshape(2, 5, 3, 5, 6)
    for index, wanted in enumerate((h, expected, _carried(h, 2 * right, 2 * down), h, h)):
        torch.testing.assert_close(warps[:, index], wanted, rtol=0, atol=1e-13)


def test_a_pattern_moves_on_step_by_step_under_a_cell_that_only_warps() -> None:
    """TSRU-p with u = 1 and a flow of one pixel is a conveyor belt."""
    stack = _stack("tsru-p", "flow", channels=1)
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()
        stack.cells[0].transform.bias.copy_(torch.tensor([-1.0, 0.0]))  # reads from its left: the pattern goes right
        stack.cells[0].input.bias[32] = 1e3  # u
    h = torch.zeros(1, 1, 4, 8, dtype=torch.float64)
    h[0, 0, 1, 1] = 1.0
    states, _ = stack(torch.zeros(1, 1, 4, 8, dtype=torch.float64), stack.initial(h), 5)
    for step, state in enumerate(states[:, 0], start=1):
        wanted = torch.zeros(4, 8, dtype=torch.float64)
        wanted[1, 1 + step] = 1.0
        torch.testing.assert_close(state, wanted, rtol=0, atol=1e-13)


@pytest.mark.parametrize("far", [100.0, 1e30, -1e30])
def test_what_lies_outside_reads_the_border_at_any_distance(far: float) -> None:
    h = _rand(2, 3, 4, 6)
    expected = h[..., -1 if far > 0 else 0, -1 if far > 0 else 0][..., None, None].expand_as(h)
    flow = torch.full((2, 2, 4, 6), far, dtype=torch.float64)
    torch.testing.assert_close(FlowWarp(h)(h, flow), expected, rtol=0, atol=1e-13)
    theta = _no_motion(2, 4, 6).unflatten(1, (5, 11))
    theta[:, 0, :2] = flow
    warps = DisplacedKernelWarp(h)(h, theta.flatten(1, 2)).reshape(2, 5, 3, 4, 6)
    torch.testing.assert_close(warps[:, 0], expected, rtol=0, atol=1e-13)
    assert torch.equal(warps[:, 1], h)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))
def test_warps_agree_with_sampling_number_by_number(
    batch: int, channels: int, height: int, width: int, seed: int
) -> None:
    h = _rand(batch, channels, height, width, seed=seed)
    theta = 2 * _rand(batch, 2, 11, height, width, seed=seed + 1)  # two displaced kernels
    displaced = DisplacedKernelWarp(h)(h, theta.flatten(1, 2)).reshape(batch, 2, channels, height, width)
    along = FlowWarp(h)(h, theta[:, :, :2].flatten(1, 2)).reshape(batch, channels, 2, height, width)
    still = KernelWarp(h)(h, theta[:, 0, 2:])
    for clip in range(batch):
        a_map, parameters = literal.numbers(h[clip]), literal.numbers(theta[clip])
        for index, (right, down, *logits) in enumerate(parameters):
            expected = torch.tensor(literal.warp_by_kernel(a_map, logits, right, down), dtype=torch.float64)
            torch.testing.assert_close(displaced[clip, index], expected, rtol=0, atol=1e-12)
            expected = torch.tensor(literal.warp_by_flow(a_map, right, down), dtype=torch.float64)
            torch.testing.assert_close(along[clip, :, index], expected, rtol=0, atol=1e-12)
        expected = torch.tensor(literal.warp_by_kernel(a_map, parameters[0][2:]), dtype=torch.float64)
        torch.testing.assert_close(still[clip], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("maker", "numbers"), [(FlowWarp, 4), (KernelWarp, 9), (DisplacedKernelWarp, 22)])
def test_warps_pass_gradcheck(maker: type[FlowWarp | KernelWarp | DisplacedKernelWarp], numbers: int) -> None:
    h, theta = _rand(2, 2, 3, 4).requires_grad_(), _rand(2, numbers, 3, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(maker(h), (h, theta), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize(("name", "warp"), [kind for kind in KINDS if kind[0].startswith(("traj", "k-", "tsru"))])
def test_a_new_cell_starts_near_identity_transport(name: str, warp: str) -> None:
    torch.manual_seed(0)
    cell = CellStack(16, replace(TINY.generator, cell=name, cell_warp=warp)).cells[0]
    seen: list[Tensor] = []
    cell.transform.register_forward_hook(lambda _module, _arguments, theta: seen.append(theta.detach()))
    cell(torch.randn(4, 16, 8, 8), torch.randn(1, 16, 8, 8), 4)
    theta = torch.stack(seen)
    size = {"trajgru": 2, "k-trajgru": 11}.get(name, 9 if warp == "kernel" else 2)
    theta = theta.unflatten(2, (-1, size))
    if size != 9:
        assert 0 < theta[:, :, :, :2].abs().max() < 0.25  # pixels
    if size != 2:
        centre = torch.softmax(theta[:, :, :, -9:], dim=3)[:, :, :, 4]
        assert abs(float(centre.mean()) - CENTRE) < 0.03
        assert centre.min() > 0.8


# -- generators ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "warp"), KINDS)
def test_a_generator_of_each_cell_trains_and_streams(name: str, warp: str) -> None:
    overrides = [f"cell={name}", f"cell_warp={warp}", "resolution=16", "generator.widths=[2,1]", "generator.ch=4"]
    config = apply_overrides(TINY, [*overrides, "d_s.widths=[2,4,4]", "d_t.widths=[2,4,4]"])
    generator = build_generator(config)
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(7)) * 2 - 1
    video = generator(images, 6, [1, 2])
    (video * torch.randn(video.shape, generator=torch.Generator().manual_seed(8))).sum().backward()
    for parameter_name, parameter in generator.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.isfinite().all(), parameter_name
        assert parameter.grad.any(), parameter_name
    torch.testing.assert_close(generator.generate(images, 6, [1, 2], group=2), video.detach(), rtol=1e-5, atol=1e-6)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert (generator(images, 6, [1, 2]) - video).abs().mean() < 0.05
    assert generator.double()(images.double(), 4, [1, 2]).dtype == torch.float64


def test_a_warp_is_refused_where_no_cell_reads_it() -> None:
    with pytest.raises(ConfigError, match=r"generator\.cell_warp .*tsru"):
        apply_overrides(TINY, ["cell=trajgru", "cell_warp=flow"])
    assert apply_overrides(TINY, ["cell=tsru-c", "cell_warp=flow"]).generator.cell_warp == "flow"
