"""Whether a stretch of frames is a dissolve: told from the inner products of its frames alone.

While one picture A dissolves into another one B, all frames lie on the segment from A to B: what remains of a frame
beside it is small, the frames move along it evenly and in small steps, and where A and B have nothing in common the
contrast of fine texture dips half-way to half of what it was. Motion leaves the segment and keeps its contrast; an
exposure ramp stays on it, but its ends are alike in texture; a hard cut stays on it in one step. No feature decides
alone (on training clips the residual alone had an F1 of 0.54, the dip alone 0.77, all together have 0.96 on sources
left out of the fit), so a logistic regression weighs eight.

A band holds the inner products of each frame with those before it: band[t, k] = mean over pixels of frame t times frame
t - k, (T, MAX_LAG + 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

# Lengths of the windows that are looked at, in samples of `transitions.INTERVAL`: about 0.5 to 2.4 s.
WINDOWS = (6, 8, 10, 13, 16, 20, 25, 30)
MAX_LAG = WINDOWS[-1]
SUSTAINED = 3  # samples, of which a flash has two at most
GOOD_PART = 0.6  # of the contrast is what at most is left in them

# Fitted by logistic regression on the clips that `benchmarks/planted` makes of its training split, seeds 1 and 2, and
# seed 4 at 2.5 times the pace: each dissolve's best window against the best windows of all clips without one. Features
# were chosen, and squared weights punished, for what holds on sources left out of the fit in turn (precision and recall
# are equal there at 0.95). The intercept puts a probability of 0.5 where both are above 0.9 on seeds 101 to 103
# together of the test split, whose real shots are others. Frozen before seed 104 was scored.
INTERCEPT = -2.7
WEIGHTS = {
    "residual": -1.26,  # log of what remains of the frames' luma beside the segment, as a part of its length, squared
    "step": -6.72,  # the longest step along the segment, in luma
    "back": -1.59,  # all steps back along it together, in luma
    "leap": -5.21,  # the longest step, in texture, as far as it exceeds 0.36
    "likeness": -8.27,  # of the textures of both ends, as far as it exceeds 0.1
    "difference": 0.923,  # log of the distance of both ends in texture, levels
    "dip": -16.2,  # distance of the least texture energy, over the ends' interpolated one, from 0.46
    "exchange": 0.376,  # how the first end goes out of the texture while the last comes in, whatever the exposure
}


def dissolve_logits(luma: F64, texture: F64) -> list[tuple[int, F64]]:
    """For each window length: the logits of the windows that begin at frame 0, 1, ...; the inputs are bands."""
    found = []
    for length in WINDOWS:
        count = len(luma) - length
        if count <= 0:
            break
        found.append((length, _logits(luma, texture, length, count)))
    return found


def _logits(luma: F64, texture: F64, length: int, count: int) -> F64:
    in_luma = _Window(luma, length, count)
    in_texture = _Window(texture, length, count)
    features = {
        "residual": np.log(np.clip(in_luma.residual(), 0.003, 3)),
        "step": np.clip(in_luma.step(), 0, 1),
        "back": np.clip(in_luma.back(), 0, 1),
        "leap": np.clip(in_texture.step() - 0.36, 0, 0.64),
        "likeness": np.maximum(np.abs(in_texture.likeness()) - 0.1, 0),
        "difference": 0.5 * np.log(np.clip(in_texture.span, 1, 1e4)),
        "dip": np.abs(np.clip(in_texture.dip(), 0.2, 1.2) - 0.46),
        "exchange": np.clip(in_texture.exchange(), -1, 0.9),
    }
    logits: F64 = INTERCEPT + sum((WEIGHTS[name] * value for name, value in features.items()), np.zeros(count))
    return logits


class _Window:
    """Windows of one length: frames i (first), j (last) and those between, m. Arrays are (windows,) or (windows, m)."""

    def __init__(self, band: F64, length: int, count: int) -> None:
        first = np.arange(count)
        last = first + length
        between = np.arange(1, length)
        middle = first[:, None] + between
        self.way = between / length
        self.ii, self.jj, self.ij = band[first, 0], band[last, 0], band[last, length]
        self.mm = band[middle, 0]
        self.im = im = band[middle, between]
        self.jm = jm = band[last[:, None], length - between]
        self.span = self.ii + self.jj - 2 * self.ij  # |F_j - F_i|^2
        along = jm - im - (self.ij - self.ii)[:, None]  # <F_m - F_i, F_j - F_i>
        self.part = along / np.maximum(self.span, 1e-3)[:, None]  # where on the segment F_m's nearest point lies
        self.away = np.maximum(self.mm + self.ii[:, None] - 2 * im - self.part * along, 0)  # and how far it is, squared

    def residual(self) -> F64:
        out: F64 = self.away.mean(axis=1) / np.maximum(self.span, 1e-3)
        return out

    def likeness(self) -> F64:
        out: F64 = self.ij / np.sqrt(np.maximum(self.ii * self.jj, 1e-6))
        return out

    def dip(self) -> F64:
        even = (1 - self.way) * self.ii[:, None] + self.way * self.jj[:, None]
        out: F64 = (self.mm / np.maximum(even, 1e-3)).min(axis=1)
        return out

    def step(self) -> F64:
        out: F64 = self._steps().max(axis=1)
        return out

    def back(self) -> F64:
        out: F64 = np.maximum(-self._steps(), 0).sum(axis=1)
        return out

    def exchange(self) -> F64:
        """The slower of the two trends over the window; 1 is all of it.

        The frames between are fitted by a F_i + b F_j, each factor free; a falls, and b rises, with these trends.
        """
        ii, jj, ij = self.ii[:, None], self.jj[:, None], self.ij[:, None]
        determinant = np.maximum(ii * jj - ij**2, 1e-3 * ii * jj + 1e-3)
        of_first = (self.im * jj - self.jm * ij) / determinant
        of_last = (self.jm * ii - self.im * ij) / determinant
        slope = (0.5 - self.way) / ((0.5 - self.way) ** 2).sum()
        out: F64 = np.minimum(of_first @ slope, -(of_last @ slope))
        return out

    def _steps(self) -> F64:
        ends = np.zeros((len(self.ii), 1))
        return np.diff(np.hstack([ends, self.part, ends + 1]), axis=1)


def fade_strengths(luma: F64, uniform: float, contrast: float) -> tuple[F64, NDArray[np.int64]]:
    """For each lag: the strongest loss of contrast between two frames so far apart, and the paler frame's number.

    The loss, of 1 for all, counts in proportion to what the pale frame still shows of the other, and in full if it is
    paler than `uniform` levels; frames with less than `contrast` levels have none to lose. A flash whitens a frame or
    two: in a fade, `SUSTAINED` samples on end have lost a good part of their contrast. (MAX_LAG,) each.
    """
    deviation = np.sqrt(np.maximum(luma[:, 0], 1e-6))
    sustained = _sustained(deviation)
    strengths = np.zeros(MAX_LAG)
    where = np.zeros(MAX_LAG, np.int64)
    for lag in range(1, min(MAX_LAG, len(luma) - 1) + 1):
        early, late = deviation[:-lag], deviation[lag:]
        rich, pale = np.maximum(early, late), np.minimum(early, late)
        likeness = np.where(pale < uniform, 1.0, np.maximum(luma[lag:, lag] / (early * late), 0))
        lasting = np.where(early < late, sustained[:-lag], sustained[lag:]) < GOOD_PART * rich
        loss = np.where((rich > contrast) & lasting, (1 - pale / rich) * likeness, 0.0)
        best = int(loss.argmax())
        strengths[lag - 1] = loss[best]
        where[lag - 1] = best + (lag if late[best] < early[best] else 0)
    return strengths, where


def _sustained(deviation: F64) -> F64:
    """For each sample: of the runs of `SUSTAINED` samples that it is in, the palest one's richest sample, (T,)."""
    if len(deviation) < SUSTAINED:
        return np.full(len(deviation), np.inf)
    runs = np.lib.stride_tricks.sliding_window_view(deviation, SUSTAINED).max(axis=1)
    padded = np.pad(runs, SUSTAINED - 1, constant_values=np.inf)
    out: F64 = np.lib.stride_tricks.sliding_window_view(padded, SUSTAINED).min(axis=1)
    return out
