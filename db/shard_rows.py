"""What a shard knows of its clips, apart from their frames."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.shard_codec import Frames

EXTRA_KINDS = "iuf"  # numpy's letters for what an extra may be made of: integers and floats


@dataclass(frozen=True, kw_only=True)
class ClipRow:
    """One clip's provenance in a shard. `start` and `end` are seconds in the source, `end` exclusive.

    `side` tells by a hash from which extras and masks it was made; empty where it has none.
    """

    id: str
    video_id: str
    source_url: str
    licence: str = ""
    label: str = ""
    start: float
    end: float
    fps: float
    length: int
    side: str = ""

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"clip {self.id}: a clip has at least one frame, not {self.length}")


@dataclass(frozen=True, kw_only=True)
class ExtraType:
    """One frame's row of an extra: its numpy type, little-endian, and its shape."""

    dtype: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if np.dtype(self.dtype).kind not in EXTRA_KINDS or 0 in self.shape:
            raise ValueError(f"an extra of {self.shape} {self.dtype} cannot be kept: integers or floats are needed")


@dataclass(frozen=True, kw_only=True)
class Side:
    """What stands beside a clip's frames: L frames, m of them with a label map."""

    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # name -> (L, ...)
    mask_frames: Sequence[int] = ()  #                                   m frames of the clip, ascending
    labels: Frames = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))  # (m, H, W)

    def sha256(self) -> str:
        """SHA-256 of the rows of each extra by its name, then the masked frames (int64), then their labels."""
        digest = hashlib.sha256()
        for name in sorted(self.extras):
            digest.update(np.ascontiguousarray(self.extras[name]).tobytes())
        digest.update(np.array(self.mask_frames, "<i8").tobytes())
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()


NO_SIDE = Side()


@dataclass(frozen=True, kw_only=True)
class SideLayout:
    """What a shard announces beside its frames: extras that all its clips have, and each clip's number of masks."""

    extras: Mapping[str, ExtraType] = field(default_factory=dict)
    masks: Sequence[int] = ()  # a number a clip; none: no masks

    def fault(self, position: int, length: int, shape: tuple[int, int], side: Side) -> str | None:
        """What keeps a clip's `side` from standing at `position` of this shard."""
        if set(side.extras) != set(self.extras):
            return f"has extras {sorted(side.extras)}, announced were {sorted(self.extras)}"
        for name, kind in self.extras.items():
            rows = side.extras[name]
            if rows.shape != (length, *kind.shape) or rows.dtype != np.dtype(kind.dtype):
                return f"extra {name} is {rows.shape} {rows.dtype}, announced was {(length, *kind.shape)} {kind.dtype}"
        announced = self.masks[position] if self.masks else 0
        frames = list(side.mask_frames)
        if len(frames) != announced or len(side.labels) != announced:
            return f"has {len(frames)} masks, announced were {announced}"
        if frames != sorted(set(frames)) or (frames and not 0 <= frames[0] <= frames[-1] < length):
            return f"its masks stand at frames {frames}, which are not ascending frames of the clip"
        if announced and (side.labels.shape[1:] != shape or side.labels.dtype != np.uint8):
            return f"its masks are {side.labels.shape} {side.labels.dtype}, its frames {shape}"
        return None
