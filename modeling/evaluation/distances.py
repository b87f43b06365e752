"""Numbers of features that stand on the disk, read a block of clips at a time, with their intervals over videos.

Letters: N clips, T frames, D features.
"""

from __future__ import annotations

import math
import os
import tempfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.metrics.bootstrap import Interval, all_resampled, frechet_interval, percentile_interval
from modeling.metrics.frechet import Moments, frechet_of_moments
from modeling.metrics.inception_score import inception_score, resampled_scores
from modeling.metrics.manifold import ManifoldScores, manifold_scores
from modeling.training.seeding import derived

Array = NDArray[Any]
IN_MEMORY = 2**28  #     bytes of features that are copied there
BLOCK = 64  #            clips that are read at a time
IS_PARTS = 10
IS_DRAWS = 50  #         of the inception score's bootstrap at most: each looks at all classes of all frames
MOST_ROWS = 10_000  #    feature vectors whose neighbours are looked at: the work grows with their square


def taken(features: Array, clips: Array | None = None, steps: int | None = None) -> Array:
    """The features of some clips, in that order, and of their first frames; on the disk where they are large."""
    count = len(features) if clips is None else len(clips)
    shape = (count, *features.shape[1:]) if steps is None else (count, steps, *features.shape[2:])
    if clips is None and shape == features.shape:
        return features
    chosen = room_for(shape, features.dtype)
    for start in range(0, count, BLOCK):
        part = slice(start, start + BLOCK)
        rows = features[part] if clips is None else features[clips[part]]
        chosen[part] = rows if steps is None else rows[:, :steps]
    return chosen


def room_for(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of zeros to fill; on the disk where it is large."""
    if math.prod(shape) * dtype.itemsize <= IN_MEMORY:
        return np.zeros(shape, dtype)
    # /tmp is memory on many machines.
    folder = "/var/tmp" if "TMPDIR" not in os.environ and os.access("/var/tmp", os.W_OK) else None
    with tempfile.TemporaryFile(dir=folder) as scratch:  # the map keeps it; nothing is left of it afterwards
        return np.memmap(scratch, dtype, "w+", shape=shape)


def rows_of(features: Array) -> Tensor:
    """(N, D) of features a clip (N, D), or (N T, D) of those a frame (N, T, D); not a copy where they lie in a row."""
    return torch.from_numpy(features.reshape(-1, features.shape[-1]))


def videos_of(features: Array, videos: Array | None) -> Tensor:
    """Which video each of `rows_of` is of; `videos`: each clip's (N,), None: each clip its own."""
    each = np.arange(len(features)) if videos is None else np.unique(videos, return_inverse=True)[1]
    return torch.from_numpy(each).repeat_interleave(int(np.prod(features.shape[1:-1], dtype=np.int64)))


def moments(features: Array) -> Moments:
    """Of all feature vectors."""
    made = Moments(int(features.shape[-1]))
    for start in range(0, len(features), BLOCK):
        made.add(rows_of(np.ascontiguousarray(features[start : start + BLOCK])))
    return made


def is_few(n: int, width: int) -> bool:
    """Whether a set has no more feature vectors than features: its covariance has not full rank."""
    return n <= width


def frechet(
    real: Array,
    fake: Array,
    known: Moments,
    *,
    draws: int,
    seed: int,
    videos: tuple[Array | None, Array | None] = (None, None),
) -> tuple[float, Interval | None]:
    """The distance between all feature vectors of two sets, and its interval; `known`: the real ones' moments;
    `videos`: those of both sets' clips, as of `videos_of`."""
    own = moments(fake)
    value = frechet_of_moments(known, own)
    if not draws:
        return value, None
    sets = rows_of(real), rows_of(fake), videos_of(real, videos[0]), videos_of(fake, videos[1])
    return value, frechet_interval(*sets, x_moments=known, y_moments=own, draws=draws, seed=seed)


def each_step(real: Array, known: Moments, fake: Array, *, pooled: bool, first: int) -> list[float | None]:
    """Of the generated features of each frame (N, T, D) from `first` on, against the real ones of all frames, or of
    the same frame; None where the real clips do not reach."""
    values: list[float | None] = []
    for step in range(first, fake.shape[1]):
        reference: Moments | None = known
        if not pooled:
            reference = moments(real[:, step]) if step < real.shape[1] else None
        values.append(None if reference is None else frechet_of_moments(reference, moments(fake[:, step])))
    return values


def parts_of(n: int) -> int:
    """Parts of the inception score of n frames."""
    return IS_PARTS if n >= IS_PARTS else 1


def score_of_classes(
    logits: Array, parts: int, *, draws: int, seed: int, videos: Array | None = None
) -> tuple[float, float, Interval | None]:
    """Inception score of the frames of all clips (N, T, C): mean and deviation over parts of mixed clips."""
    rows = rows_of(logits)
    order = torch.from_numpy(np.random.Generator(np.random.Philox(derived(seed, "parts"))).permutation(len(rows)))
    value, deviation = inception_score(rows, parts, order)
    of = videos_of(logits, videos)
    count = int(of.max()) + 1
    if not draws or count < 2:
        return value, deviation, None
    drawn = all_resampled(count, min(draws, IS_DRAWS), seed)
    times = torch.stack([torch.bincount(chosen, minlength=count) for chosen in drawn])
    values = resampled_scores(rows, of, times, parts, order)
    return value, deviation, percentile_interval(values.tolist())


def neighbours(
    real: Array, fake: Array, k: int, videos: tuple[Array | None, Array | None] = (None, None)
) -> tuple[ManifoldScores, Tensor, Tensor]:
    """Precision and the like of all feature vectors, or of `MOST_ROWS` spread over them; and the video that each real
    and each generated one is of."""
    sets, of_rows = [], []
    for features, of_clips in zip((real, fake), videos, strict=True):
        rows, of = rows_of(features), videos_of(features, of_clips)
        if len(rows) > MOST_ROWS:
            spread = torch.from_numpy(np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(np.int64))
            rows, of = rows[spread], of[spread]
        sets.append(rows)
        of_rows.append(of)
    return manifold_scores(sets[0], sets[1], k), of_rows[0], of_rows[1]
