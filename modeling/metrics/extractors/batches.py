"""Features in batches of bounded size, computed in full float32."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32: a GPU's ten-bit mantissas would make features of another machine differ in the third digit."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul


def in_batches(
    network: Callable[[Tensor], tuple[Tensor, ...]],
    items: Tensor,
    at_once: int,
    widths: tuple[int, ...],
    device: torch.device,
    kind: torch.dtype,
) -> list[Tensor]:
    """What `network` gives for all of `items`, (len(items), width) an output, `at_once` items at a time."""
    results = [torch.empty((len(items), width), dtype=kind, device=device) for width in widths]
    for start in range(0, len(items), at_once):
        part = items[start : start + at_once]
        for result, output in zip(results, network(part), strict=True):
            result[start : start + len(part)] = output
    return results
