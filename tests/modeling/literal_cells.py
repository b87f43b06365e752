"""Recurrent cells one number at a time, in plain Python, from the papers' equations; weights come from the fast cells.

A map is a list of channels, each a list of rows of floats. One clip at a time; T frames in, T hidden states out.
Bilinear sampling is Shi 2017's sum over all pixels of max(0, 1 - |dy|) * max(0, 1 - |dx|), its place held to the map.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from modeling.networks.cells import TSRUC, TSRUP, Cell, CellStack, ConvGRU, ConvLSTM, KTrajGRU, TrajGRU
from modeling.networks.cells.warps import KernelWarp

Plane = list[list[float]]
Map = list[Plane]


# -- arithmetic of maps --------------------------------------------------------------------------------------------


def numbers(tensor: Tensor) -> list:
    return tensor.detach().tolist()


def each(function: Callable[..., float], *maps: Map) -> Map:
    """A function of the numbers that stand at the same place in each map."""
    C, H, W = len(maps[0]), len(maps[0][0]), len(maps[0][0][0])
    return [[[function(*(m[c][y][x] for m in maps)) for x in range(W)] for y in range(H)] for c in range(C)]


def convolution(weight: Tensor, a_map: Map, bias: Tensor | None = None) -> Map:
    """A same convolution, zeros outside: out[o] = bias[o] + the sum of weight[o][c][i][j] * the pixel there."""
    kernels, biases = numbers(weight), None if bias is None else numbers(bias)
    H, W, E = len(a_map[0]), len(a_map[0][0]), weight.shape[-1]
    out = []
    for o, kernel in enumerate(kernels):
        plane = []
        for y in range(H):
            row = []
            for x in range(W):
                total = 0.0 if biases is None else biases[o]
                for taps, channel in zip(kernel, a_map, strict=True):
                    for i in range(max(0, E // 2 - y), min(E, H + E // 2 - y)):
                        for j in range(max(0, E // 2 - x), min(E, W + E // 2 - x)):
                            total += taps[i][j] * channel[y + i - E // 2][x + j - E // 2]
                row.append(total)
            plane.append(row)
        out.append(plane)
    return out


def add(*maps: Map) -> Map:
    return each(lambda *values: math.fsum(values), *maps)


def multiply(a: Map, b: Map) -> Map:
    return each(lambda p, q: p * q, a, b)


def mix(gate: Map, kept: Map, new: Map) -> Map:
    """gate.kept + (1 - gate).new"""
    return each(lambda g, k, n: g * k + (1 - g) * n, gate, kept, new)


def sigmoid(a_map: Map) -> Map:
    return each(lambda value: 1 / (1 + math.exp(-value)), a_map)


def leaky(a_map: Map) -> Map:
    return each(lambda value: value if value > 0 else 0.2 * value, a_map)


def activation(cell: Cell, a_map: Map) -> Map:
    """rho, told apart by what the cell's own makes of -1."""
    is_relu = float(cell.rho(torch.tensor(-1.0))) == 0.0
    return each(lambda value: max(value, 0.0) if is_relu else math.tanh(value), a_map)


# -- warps ---------------------------------------------------------------------------------------------------------


def sample(plane: Plane, y: float, x: float) -> float:
    H, W = len(plane), len(plane[0])
    y, x = min(max(y, 0.0), H - 1.0), min(max(x, 0.0), W - 1.0)
    return math.fsum(
        plane[m][n] * max(0.0, 1 - abs(y - m)) * max(0.0, 1 - abs(x - n)) for m in range(H) for n in range(W)
    )


def softmax(logits: list[float]) -> list[float]:
    exponentials = [math.exp(value) for value in logits]
    return [value / math.fsum(exponentials) for value in exponentials]


def warp_by_flow(h: Map, right: Plane, down: Plane) -> Map:
    H, W = len(right), len(right[0])
    return [[[sample(plane, y + down[y][x], x + right[y][x]) for x in range(W)] for y in range(H)] for plane in h]


def warp_by_kernel(h: Map, logits: Map, right: Plane | None = None, down: Plane | None = None) -> Map:
    """Nine samples around each location, or around the one its flow points to."""
    H, W = len(h[0]), len(h[0][0])
    out: Map = [[[0.0] * W for _ in range(H)] for _ in h]
    for y in range(H):
        for x in range(W):
            weights = softmax([logits[tap][y][x] for tap in range(9)])
            to_y = y + (down[y][x] if down else 0.0)
            to_x = x + (right[y][x] if right else 0.0)
            for c, plane in enumerate(h):
                out[c][y][x] = math.fsum(
                    weights[3 * (i + 1) + (j + 1)] * sample(plane, to_y + i, to_x + j)
                    for i in (-1, 0, 1)
                    for j in (-1, 0, 1)
                )
    return out


# -- cells ---------------------------------------------------------------------------------------------------------


def gate(W_h: Tensor, h: Map, W_x: Tensor, b: Tensor, x: Map) -> Map:
    """W * [h; x] + b, before its activation."""
    return convolution(torch.cat((W_h, W_x), dim=1), h + x, b)


def conv_gru(cell: ConvGRU, x: Map, h: Map) -> Map:
    W_hr, W_hu = cell.hidden_gates.chunk(2)
    (W_xr, W_xu, W_xc), (b_r, b_u, b_c) = cell.input.weight.chunk(3), cell.input.bias.chunk(3)
    r, u = sigmoid(gate(W_hr, h, W_xr, b_r, x)), sigmoid(gate(W_hu, h, W_xu, b_u, x))
    c = activation(cell, gate(cell.hidden_candidate, multiply(r, h), W_xc, b_c, x))
    return mix(u, c, h)


def conv_lstm(cell: ConvLSTM, x: Map, h: Map, memory: Map) -> tuple[Map, Map]:
    weights = zip(cell.hidden.chunk(4), cell.input.weight.chunk(4), cell.input.bias.chunk(4), strict=True)
    i, f, o, g = (gate(W_h, h, W_x, b, x) for W_h, W_x, b in weights)
    memory = add(multiply(sigmoid(f), memory), multiply(sigmoid(i), activation(cell, g)))
    return multiply(sigmoid(o), each(math.tanh, memory)), memory


def traj_gru(cell: TrajGRU, x: Map, h: Map) -> Map:
    L, C, kernelised = 5, len(h), isinstance(cell, KTrajGRU)
    first = leaky(gate(cell.motion_hidden, h, cell.motion_input.weight, cell.motion_input.bias, x))
    theta = convolution(cell.transform.weight, first, cell.transform.bias)
    size = len(theta) // L
    assert size == (11 if kernelised else 2)
    warps = []
    for l in range(L):  # noqa: E741
        right, down, *logits = theta[size * l : size * (l + 1)]
        warps.append(warp_by_kernel(h, logits, right, down) if kernelised else warp_by_flow(h, right, down))
    # A weight for each flow: (3C, L, C, 1, 1); the TrajGRU keeps its input channels flow after flow within a channel.
    W = cell.hidden.reshape(3 * C, L, C, 1, 1) if kernelised else cell.hidden.reshape(3 * C, C, L, 1, 1).transpose(1, 2)
    from_h = add(*(convolution(W[:, l], warps[l]) for l in range(L)))  # noqa: E741
    from_x = convolution(cell.input.weight, x, cell.input.bias)
    r, z = sigmoid(add(from_h[:C], from_x[:C])), sigmoid(add(from_h[C : 2 * C], from_x[C : 2 * C]))
    c = activation(cell, add(from_x[2 * C :], multiply(r, from_h[2 * C :])))
    return mix(z, h, c)


def tsru(cell: Cell, x: Map, h: Map) -> Map:
    C, M = len(h), 32
    W_x, b_x = cell.input.weight, cell.input.bias
    first = leaky(gate(cell.hidden[:M], h, W_x[:M], b_x[:M], x))
    theta = convolution(cell.transform.weight, first, cell.transform.bias)
    moved = warp_by_kernel(h, theta) if cell.warp is KernelWarp else warp_by_flow(h, *theta)
    one, two = slice(M, M + C), slice(M + C, M + 2 * C)
    if isinstance(cell, TSRUC):
        u = sigmoid(gate(cell.hidden[one], h, W_x[one], b_x[one], x))
        c = activation(cell, gate(cell.warped, moved, W_x[two], b_x[two], x))
        return mix(u, h, c)
    if isinstance(cell, TSRUP):
        u = sigmoid(gate(cell.hidden[one], h, W_x[one], b_x[one], x))
        c = activation(cell, gate(cell.hidden[two], h, W_x[two], b_x[two], x))
        return mix(u, moved, c)
    c = activation(cell, gate(cell.warped[:C], moved, W_x[one], b_x[one], x))
    u = sigmoid(gate(cell.warped[C:], moved, cell.update, cell.update_bias, c))
    return mix(u, moved, c)


def unrolled(stack: CellStack, x_TCHW: Tensor, feature_CHW: Tensor) -> Tensor:
    """The top cell's hidden states (T, C, H, W), each frame through all layers before the next one begins."""
    feature = numbers(feature_CHW)
    states = [feature for _ in stack.cells]
    memories = [each(lambda _: 0.0, feature) for _ in stack.cells]
    outputs = []
    for x in numbers(x_TCHW):
        for index, cell in enumerate(stack.cells):
            if isinstance(cell, ConvLSTM):
                x, memories[index] = conv_lstm(cell, x, states[index], memories[index])
            else:
                advance = conv_gru if isinstance(cell, ConvGRU) else traj_gru if isinstance(cell, TrajGRU) else tsru
                x = advance(cell, x, states[index])
            states[index] = x
        outputs.append(x)
    return torch.tensor(outputs, dtype=torch.float64)
