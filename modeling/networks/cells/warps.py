"""Moving a map: along flows, by a 3x3 kernel a location, or by such kernels at displaced locations.

Shapes: B clips, C channels, H and W height and width, L flows a location, P = B*H*W locations, K locations read by one.

A flow is (right, down) in pixels and says from where a location reads: warped(y, x) = h(y + down, x + right), bilinear.
What lies outside the map reads its nearest border pixel. A kernel's nine taps go row by row, from (-1, -1) to (1, 1);
they are shared over the channels and sum to one (softmax). A warp is made once for maps of one shape, and holds what
does not depend on its parameters; it is differentiable once, in the map and in its parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

TAPS = 9


class Warp(Protocol):
    """Map and parameters to the warped map, or maps."""

    def __call__(self, h_BCHW: Tensor, theta: Tensor) -> Tensor: ...


WarpMaker = Callable[[Tensor], Warp]  # from a map of the shape to be warped


class FlowWarp:
    """Along L flows: (B, C, H, W), theta (B, L*2, H, W), flow after flow -> (B, C*L, H, W), channel c*L + l.

    `grid_sample` counts -1 and 1 as the outer edges of the border pixels (`align_corners=False`): a pixel is 2/W wide,
    and where W and H are powers of two a flow of 0 gives back the map bit by bit.
    """

    def __init__(self, like_BCHW: Tensor) -> None:
        height, width = like_BCHW.shape[-2:]
        # Positions need single precision, also where the map is in half.
        dtype = torch.promote_types(like_BCHW.dtype, torch.float32)
        self.x_W = _centres(width, like_BCHW.device, dtype)
        self.y_H1 = _centres(height, like_BCHW.device, dtype)[:, None]

    def __call__(self, h_BCHW: Tensor, theta: Tensor) -> Tensor:
        B, _, H, W = h_BCHW.shape
        right_BLHW, down_BLHW = theta.reshape(B, -1, 2, H, W).unbind(2)
        x_BLHW = torch.add(self.x_W, right_BLHW, alpha=2 / W)
        y_BLHW = torch.add(self.y_H1, down_BLHW, alpha=2 / H)
        places = torch.stack((x_BLHW, y_BLHW), dim=-1).flatten(1, 2)
        warped = F.grid_sample(h_BCHW.to(places.dtype), places, padding_mode="border", align_corners=False)
        return warped.to(h_BCHW.dtype).reshape(B, -1, H, W)


class KernelWarp:
    """By one kernel a location: (B, C, H, W), theta (B, 9, H, W) before its softmax -> (B, C, H, W)."""

    def __init__(self, like_BCHW: Tensor) -> None:
        H, W = like_BCHW.shape[-2:]
        step = torch.arange(-1, 2, device=like_BCHW.device)
        y_HE = (torch.arange(H, device=like_BCHW.device)[:, None] + step).clamp(0, H - 1)
        x_WE = (torch.arange(W, device=like_BCHW.device)[:, None] + step).clamp(0, W - 1)
        rows_HWEE = y_HE[:, None, :, None] * W + x_WE[None, :, None, :]
        self.rows_PK = (_first_rows(like_BCHW)[:, None, None, None, None] + rows_HWEE).reshape(-1, TAPS)

    def __call__(self, h_BCHW: Tensor, theta: Tensor) -> Tensor:
        B, C, H, W = h_BCHW.shape
        weights_PK = torch.softmax(theta.permute(0, 2, 3, 1).reshape(-1, TAPS), dim=-1)
        return _weighted_rows(h_BCHW, self.rows_PK, weights_PK).reshape(B, H, W, C).permute(0, 3, 1, 2)


class DisplacedKernelWarp:
    """By L kernels a location, each where its flow points (SDCNet's way, section 3.4).

    (B, C, H, W), theta (B, L*11, H, W), flow by flow its 2 numbers and its kernel's 9 before their softmax ->
    (B, L*C, H, W), channel l*C + c. The nine samples under a kernel lie between the same 4x4 pixels at the same
    fractions, so kernel and bilinear weights make one 4x4 kernel, and each pixel is read once.
    """

    def __init__(self, like_BCHW: Tensor) -> None:
        H, W = like_BCHW.shape[-2:]
        device = like_BCHW.device
        dtype = torch.promote_types(like_BCHW.dtype, torch.float32)
        self.x_W1 = torch.arange(W, device=device, dtype=dtype)[:, None]
        self.y_H11 = torch.arange(H, device=device, dtype=dtype)[:, None, None]
        self.reach = torch.arange(-1, 3, device=device)
        self.first_rows = _first_rows(like_BCHW)[:, None, None, None, None, None]

    def __call__(self, h_BCHW: Tensor, theta: Tensor) -> Tensor:
        B, _, H, W = h_BCHW.shape
        theta_BHWLX = theta.permute(0, 2, 3, 1).reshape(B, H, W, -1, 2 + TAPS)
        x_rows, right = self._taps(self.x_W1 + theta_BHWLX[..., 0], W)
        y_rows, down = self._taps(self.y_H11 + theta_BHWLX[..., 1], H)
        rows = self.first_rows + y_rows[..., :, None] * W + x_rows[..., None, :]
        kernel = torch.softmax(theta_BHWLX[..., 2:], dim=-1).to(right.dtype)
        kernel = kernel.reshape(B, H, W, -1, 3, 3)
        kernel = torch.lerp(F.pad(kernel, (0, 1)), F.pad(kernel, (1, 0)), right[..., None, None])
        kernel = torch.lerp(F.pad(kernel, (0, 0, 0, 1)), F.pad(kernel, (0, 0, 1, 0)), down[..., None, None])
        warped = _weighted_rows(h_BCHW, rows.reshape(-1, 16), kernel.reshape(-1, 16))
        return warped.reshape(B, H, W, -1).permute(0, 3, 1, 2)

    def _taps(self, position: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The four rows or columns that the kernel at a position reads, (..., 4), and the fraction between them."""
        low = position.detach().floor()
        # Clamped before it becomes an integer, where a position far outside would not fit.
        near = low.clamp(-3, size + 2).long()
        return (near[..., None] + self.reach).clamp(0, size - 1), position - low


def _centres(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Pixel centres of an axis whose outer edges are -1 and 1."""
    return (2 * torch.arange(size, device=device, dtype=dtype) + 1) / size - 1


def _first_rows(like_BCHW: Tensor) -> Tensor:
    """Of each map the first row in a table of all their locations: (B,)."""
    B, _, H, W = like_BCHW.shape
    return torch.arange(B, device=like_BCHW.device) * (H * W)


def _weighted_rows(h_BCHW: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Sum of K weighted locations a row, (rows, C): a sparse matrix times the map, with no copy of what is read."""
    table_PC = h_BCHW.permute(0, 2, 3, 1).reshape(-1, h_BCHW.shape[1])
    weights = weights.to(table_PC.dtype)
    if torch.compiler.is_exporting():  # graphs elsewhere have no sparse product
        return torch.einsum("nkc,nk->nc", table_PC[rows], weights)
    return F.embedding_bag(rows, table_PC, mode="sum", per_sample_weights=weights)
