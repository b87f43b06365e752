"""The published networks as tables of layers, and twins that compute them from a state dict, one layer at a time.

Inception: names and sizes from torchvision's models/inception.py (Inception3 with num_classes=1008, aux_logits=False),
which pytorch-fid's src/pytorch_fid/inception.py loads the published file into. I3D: from VideoGPT's
videogpt/fvd/pytorch_i3d.py, and for the archive's names hassony2's kinetics_i3d_pytorch/src/i3dpt.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Table = dict[str, tuple[int, int, tuple[int, ...]]]  # name: channels before, after, kernel


def inception_table() -> Table:
    """Every convolution of Inception by its name."""
    table: Table = {
        "Conv2d_1a_3x3": (3, 32, (3, 3)),
        "Conv2d_2a_3x3": (32, 32, (3, 3)),
        "Conv2d_2b_3x3": (32, 64, (3, 3)),
        "Conv2d_3b_1x1": (64, 80, (1, 1)),
        "Conv2d_4a_3x3": (80, 192, (3, 3)),
    }
    for block, before, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        _block(table, block, "branch1x1", [(before, 64, 1, 1)])
        _block(table, block, "branch5x5_", [(before, 48, 1, 1), (48, 64, 5, 5)])
        _block(table, block, "branch3x3dbl_", [(before, 64, 1, 1), (64, 96, 3, 3), (96, 96, 3, 3)])
        _block(table, block, "branch_pool", [(before, pool, 1, 1)])
    _block(table, "6a", "branch3x3", [(288, 384, 3, 3)])
    _block(table, "6a", "branch3x3dbl_", [(288, 64, 1, 1), (64, 96, 3, 3), (96, 96, 3, 3)])
    for block, c in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        _block(table, block, "branch1x1", [(768, 192, 1, 1)])
        _block(table, block, "branch7x7_", [(768, c, 1, 1), (c, c, 1, 7), (c, 192, 7, 1)])
        dbl = [(768, c, 1, 1), (c, c, 7, 1), (c, c, 1, 7), (c, c, 7, 1), (c, 192, 1, 7)]
        _block(table, block, "branch7x7dbl_", dbl)
        _block(table, block, "branch_pool", [(768, 192, 1, 1)])
    _block(table, "7a", "branch3x3_", [(768, 192, 1, 1), (192, 320, 3, 3)])
    _block(table, "7a", "branch7x7x3_", [(768, 192, 1, 1), (192, 192, 1, 7), (192, 192, 7, 1), (192, 192, 3, 3)])
    for block, before in (("7b", 1280), ("7c", 2048)):
        _block(table, block, "branch1x1", [(before, 320, 1, 1)])
        _block(table, block, "branch3x3_", [(before, 384, 1, 1)])
        _block(table, block, "branch3x3dbl_", [(before, 448, 1, 1), (448, 384, 3, 3)])
        for prefix, number in (("branch3x3_", 2), ("branch3x3dbl_", 3)):
            table[f"Mixed_{block}.{prefix}{number}a"] = (384, 384, (1, 3))
            table[f"Mixed_{block}.{prefix}{number}b"] = (384, 384, (3, 1))
        _block(table, block, "branch_pool", [(before, 192, 1, 1)])
    for name in ("branch1x1", "branch_pool", "branch3x3"):
        for block in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7b", "7c"):
            if f"Mixed_{block}.{name}1" in table:
                table[f"Mixed_{block}.{name}"] = table.pop(f"Mixed_{block}.{name}1")
    return table


def _block(table: Table, block: str, prefix: str, layers: list[tuple[int, int, int, int]]) -> None:
    for number, (before, after, height, width) in enumerate(layers, 1):
        table[f"Mixed_{block}.{prefix}{number}"] = (before, after, (height, width))


def i3d_table() -> Table:
    """Every convolution of I3D by VideoGPT's names, the logits' left out."""
    table: Table = {
        "Conv3d_1a_7x7": (3, 64, (7, 7, 7)),
        "Conv3d_2b_1x1": (64, 64, (1, 1, 1)),
        "Conv3d_2c_3x3": (64, 192, (3, 3, 3)),
    }
    before = 192
    for block, widths in (
        ("3b", "64 96 128 16 32 32"), ("3c", "128 128 192 32 96 64"), ("4b", "192 96 208 16 48 64"),
        ("4c", "160 112 224 24 64 64"), ("4d", "128 128 256 24 64 64"), ("4e", "112 144 288 32 64 64"),
        ("4f", "256 160 320 32 128 128"), ("5b", "256 160 320 32 128 128"), ("5c", "384 192 384 48 128 128"),
    ):  # fmt: skip
        w = [int(number) for number in widths.split()]
        for part, a, b, k in (
            ("b0", before, w[0], 1), ("b1a", before, w[1], 1), ("b1b", w[1], w[2], 3),
            ("b2a", before, w[3], 1), ("b2b", w[3], w[4], 3), ("b3b", before, w[5], 1),
        ):  # fmt: skip
            table[f"Mixed_{block}.{part}"] = (a, b, (k, k, k))
        before = w[0] + w[2] + w[4] + w[5]
    return table


ARCHIVE_PARTS = {"b0": "branch_0", "b1a": "branch_1.0", "b1b": "branch_1.1"}
ARCHIVE_PARTS |= {"b2a": "branch_2.0", "b2b": "branch_2.1", "b3b": "branch_3.1"}


def archive_name(name: str) -> str:
    """VideoGPT's name of a unit as hassony2's."""
    block, _, part = name.partition(".")
    return block[0].lower() + block[1:] + (f".{ARCHIVE_PARTS[part]}" if part else "")


def published_shapes(table: Table, conv: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of a table's units, the counters of steps left out."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (before, after, kernel) in table.items():
        shapes[f"{name}.{conv}.weight"] = (after, before, *kernel)
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.bn.{tensor}"] = (after,)
    return shapes


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Random weights under which signals neither die nor explode, and every tensor matters to the result."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point():
                continue
            values = torch.rand(tensor.shape, generator=generator) - 0.5
            if tensor.ndim > 1:
                values *= math.sqrt(24 / tensor[0].numel())
            elif name.endswith((".running_var", "bn.weight")):
                values += 1
            else:
                values *= 0.4
            tensor.copy_(values)
    return network.eval()


def normalised(x: Tensor, state: dict[str, Tensor], name: str, epsilon: float) -> Tensor:
    """Batch normalisation by its formula, and the ReLU."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance, weight, bias = (
        state[f"{name}.{tensor}"].view(shape) for tensor in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / torch.sqrt(variance + epsilon) * weight + bias).clamp(min=0)


def same_window(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after by going through the windows: n of them, the first begins as far out as the last ends."""
    n = math.ceil(size / stride)
    over = max(0, (n - 1) * stride + kernel - size)
    before = 0
    while 2 * (before + 1) <= over:
        before += 1
    return before, over - before


def surrounded(x: Tensor, kernel: int, stride: int, axes: tuple[int, ...], value: float) -> Tensor:
    """TF-SAME padding by concatenating planes of `value`."""
    for axis in axes:
        before, after = same_window(x.shape[axis], kernel, stride)
        shape = list(x.shape)
        planes = []
        for count in (before, after):
            shape[axis] = count
            planes.append(torch.full(shape, value))
        x = torch.cat([planes[0], x, planes[1]], dim=axis)
    return x


def i3d_twin(state: dict[str, Tensor], x: Tensor, epsilon: float) -> Tensor:
    """(B, 400) logits of (B, 3, T, H, W)."""

    def unit(x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.conv3d.weight"]
        x = surrounded(x, weight.shape[-1], stride, (2, 3, 4), 0.0)
        return normalised(F.conv3d(x, weight, stride=stride), state, f"{name}.bn", epsilon)

    def pool(x: Tensor, kernel: int, stride: int, axes: tuple[int, ...]) -> Tensor:
        x = surrounded(x, kernel, stride, axes, -math.inf)
        for axis in axes:  # a maximum over a box is one along each axis in turn
            x = x.unfold(axis, kernel, stride).amax(dim=-1)
        return x

    def mixed(x: Tensor, block: str) -> Tensor:
        parts = [
            unit(x, f"{block}.b0"),
            unit(unit(x, f"{block}.b1a"), f"{block}.b1b"),
            unit(unit(x, f"{block}.b2a"), f"{block}.b2b"),
            unit(pool(x, 3, 1, (2, 3, 4)), f"{block}.b3b"),
        ]
        return torch.cat(parts, 1)

    x = pool(unit(x, "Conv3d_1a_7x7", 2), 3, 2, (3, 4))
    x = pool(unit(unit(x, "Conv3d_2b_1x1"), "Conv3d_2c_3x3"), 3, 2, (3, 4))
    for block in ("3b", "3c", "pool 3", "4b", "4c", "4d", "4e", "4f", "pool 2", "5b", "5c"):
        x = pool(x, int(block[-1]), 2, (2, 3, 4)) if " " in block else mixed(x, f"Mixed_{block}")
    x = torch.stack([x[:, :, t : t + 2, :7, :7].mean(dim=(2, 3, 4)) for t in range(x.shape[2] - 1)], dim=1)
    logits = x @ state["logits.conv3d.weight"].flatten(1).T + state["logits.conv3d.bias"]
    return logits.mean(dim=1)


def inception_twin(state: dict[str, Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """pool3 and the logits without bias of (B, 3, H, W) in [-1, 1]."""
    valid = {"Conv2d_1a_3x3": 2, "Conv2d_2a_3x3": 1, "Conv2d_4a_3x3": 1, "Mixed_6a.branch3x3": 2}
    valid |= {"Mixed_6a.branch3x3dbl_3": 2, "Mixed_7a.branch3x3_2": 2, "Mixed_7a.branch7x7x3_4": 2}  # their strides

    def unit(x: Tensor, *names: str) -> Tensor:
        for name in names:
            weight = state[f"{name}.conv.weight"]
            half = [0, 0] if name in valid else [size // 2 for size in weight.shape[2:]]
            x = F.conv2d(F.pad(x, (half[1], half[1], half[0], half[0])), weight, stride=valid.get(name, 1))
            x = normalised(x, state, f"{name}.bn", 1e-3)
        return x

    def mean(x: Tensor) -> Tensor:  # sums over the windows by how many of their pixels there are
        ones = torch.ones(1, 1, *x.shape[2:])
        count, total = (F.pad(y, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1).sum((-1, -2)) for y in (ones, x))
        return total / count

    def maximum(x: Tensor, stride: int, around: int = 0) -> Tensor:
        x = F.pad(x, (around,) * 4, value=-math.inf)
        return x.unfold(2, 3, stride).unfold(3, 3, stride).amax((-1, -2))

    def branch(x: Tensor, block: str, prefix: str, *numbers: int) -> Tensor:
        return unit(x, *[f"Mixed_{block}.{prefix}{number}" for number in numbers])

    x = maximum(unit(x, "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"), 2)
    x = maximum(unit(x, "Conv2d_3b_1x1", "Conv2d_4a_3x3"), 2)
    for block in ("5b", "5c", "5d"):
        parts = [branch(x, block, "branch5x5_", 1, 2), branch(x, block, "branch3x3dbl_", 1, 2, 3)]
        one, pool = unit(x, f"Mixed_{block}.branch1x1"), unit(mean(x), f"Mixed_{block}.branch_pool")
        x = torch.cat([one, *parts, pool], 1)
    x = torch.cat([unit(x, "Mixed_6a.branch3x3"), branch(x, "6a", "branch3x3dbl_", 1, 2, 3), maximum(x, 2)], 1)
    for block in ("6b", "6c", "6d", "6e"):
        parts = [branch(x, block, "branch7x7_", 1, 2, 3), branch(x, block, "branch7x7dbl_", 1, 2, 3, 4, 5)]
        one, pool = unit(x, f"Mixed_{block}.branch1x1"), unit(mean(x), f"Mixed_{block}.branch_pool")
        x = torch.cat([one, *parts, pool], 1)
    parts = [branch(x, "7a", "branch3x3_", 1, 2), branch(x, "7a", "branch7x7x3_", 1, 2, 3, 4)]
    x = torch.cat([*parts, maximum(x, 2)], 1)
    for block in ("7b", "7c"):
        single, double = branch(x, block, "branch3x3_", 1), branch(x, block, "branch3x3dbl_", 1, 2)
        ends = [(single, "branch3x3_2a"), (single, "branch3x3_2b")]
        ends += [(double, "branch3x3dbl_3a"), (double, "branch3x3dbl_3b")]
        split = [unit(y, f"Mixed_{block}.{end}") for y, end in ends]
        pool = mean(x) if block == "7b" else maximum(x, 1, 1)
        x = torch.cat([unit(x, f"Mixed_{block}.branch1x1"), *split, unit(pool, f"Mixed_{block}.branch_pool")], 1)
    pool3 = x.flatten(2).mean(-1)
    return pool3, pool3 @ state["fc.weight"].T
