"""Windows of the real footage that lies beside the project, and faults of growing strength in them.

Letters: N windows, S source frames, T frames, R side of the frames.
"""

from __future__ import annotations

import functools
from pathlib import Path

import av
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.metrics.proxy import MOTION, SHORTEST, ProxyFeatures

FOLDER = Path("/work/shared/videos")
NAMES = ("stream-of-water", "flower", "ocean", "crosswalk", "sintel-30s", "bikes", "bad-container")
U8 = NDArray[np.uint8]
BLURS, NOISES = (0.5, 1.0, 2.0, 3.0), (4.0, 8.0, 16.0, 32.0)  # pixels, grey levels
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the frames that a temporal fault touches


@functools.cache
def decoded(path: Path, side: int, crops: int) -> list[U8]:
    """Square crops along the longer side, (S, R, R, 3) each."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        height, width = stream.height, stream.width
        size = (round(side * width / height), side) if width >= height else (side, round(side * height / width))
        frames = [
            frame.to_ndarray(format="rgb24", width=size[0], height=size[1], interpolation="AREA")
            for frame in container.decode(stream)
        ]
    whole = np.stack(frames)
    spare = whole.shape[1] - side + whole.shape[2] - side
    starts = [round(spare * index / max(1, crops - 1)) for index in range(crops)]
    wide = whole.shape[2] >= whole.shape[1]
    return [whole[:, :, s : s + side] if wide else whole[:, s : s + side] for s in starts]


def windows(*, frames: int, side: int, every: int, crops: int, names: tuple[str, ...] = NAMES) -> U8:
    """(N, 2 T, R, R, 3): twice the frames, so that what plays at double speed has something to show."""
    found = []
    for name in names:
        for clip in decoded(FOLDER / f"{name}.mp4", side, crops):
            found += [clip[s : s + 2 * frames] for s in range(0, len(clip) - 2 * frames + 1, every)]
    return np.stack(found)


def order_of_time(fault: str, share: float, frames: int, seed: int) -> NDArray[np.int64]:
    """(T,) which source frames a clip with a temporal fault shows: the last `share` of it is touched."""
    plain = np.arange(frames)
    first = frames - round(share * frames)
    if fault == "shuffle":
        random = np.random.Generator(np.random.PCG64(seed))
        return np.concatenate([plain[:first], first + random.permutation(frames - first)])
    if fault == "frozen":
        return np.minimum(plain, max(0, first - 1))
    if fault == "2x speed":
        return plain + np.maximum(0, plain - first + 1)
    raise ValueError(fault)


def blurred(clips_NTRR3: U8, sigma: float) -> U8:
    reach = int(np.ceil(3 * sigma))
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    x = clips_NTRR3.astype(np.float32)
    for axis in (2, 3):
        pads = [(reach, reach) if number == axis else (0, 0) for number in range(5)]
        wide = np.pad(x, pads, mode="edge")
        size = x.shape[axis]
        x = sum(w * wide.take(range(at, at + size), axis=axis) for at, w in enumerate(weights.astype(np.float32)))
    return x.round().clip(0, 255).astype(np.uint8)


def noisy(clips_NTRR3: U8, deviation: float, seed: int = 0) -> U8:
    drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal(clips_NTRR3.shape, dtype=np.float32)
    return (clips_NTRR3 + deviation * drawn).round().clip(0, 255).astype(np.uint8)


def spatial(fault: str, strength: float, clips_NTRR3: U8) -> U8:
    return {"blur": blurred, "noise": noisy}[fault](clips_NTRR3, strength)


def in_time(fault: str, share: float, source_NSRR3: U8) -> U8:
    frames = source_NSRR3.shape[1] // 2
    return np.stack([clip[order_of_time(fault, share, frames, seed)] for seed, clip in enumerate(source_NSRR3)])


FAULTS: dict[str, tuple[float, ...]] = {
    "blur": BLURS,
    "noise": NOISES,
    "shuffle": SHARES,
    "frozen": SHARES,
    "2x speed": SHARES,
}
IN_SPACE = ("blur", "noise")


def faulty(fault: str, strength: float, source_NSRR3: U8) -> U8:
    """(N, T, R, R, 3) with the fault."""
    if fault in IN_SPACE:
        return spatial(fault, strength, source_NSRR3[:, : source_NSRR3.shape[1] // 2])
    return in_time(fault, strength, source_NSRR3)


def unit(clips_NTRR3: U8) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(clips_NTRR3)).movedim(-1, -3).double() / 255


def video_features(clips_NTRR3: U8) -> Tensor:
    """(N, 64) of the proxy."""
    return ProxyFeatures()(unit(clips_NTRR3))


def frame_features(clips_NTRR3: U8) -> Tensor:
    """(N, T, 56): the proxy's filters on each frame by itself, standing still; those of motion, which then say nothing,
    left out."""
    network = ProxyFeatures()
    rows = []
    for clip in clips_NTRR3:
        still = unit(clip)[:, None].expand(-1, SHORTEST, -1, -1, -1)
        rows.append(network(still))
    features = torch.stack(rows)
    return torch.cat([features[..., :6], features[..., 6 + MOTION :]], dim=-1)


def faulty_frames(fault: str, strength: float, source_NSRR3: U8, known_NSD: Tensor) -> Tensor:
    """(N T, D) frame features with the fault; a temporal one's frames are the source's own, known already."""
    if fault in IN_SPACE:
        return frame_features(faulty(fault, strength, source_NSRR3)).flatten(0, 1)
    frames = source_NSRR3.shape[1] // 2
    orders = [order_of_time(fault, strength, frames, seed) for seed in range(len(source_NSRR3))]
    return torch.cat([known[torch.from_numpy(order)] for known, order in zip(known_NSD, orders, strict=True)])
