"""Camera motion: how fast the picture moves as a whole, by phase correlation of the whole picture and of its tiles.

What moves in front of a still camera (water, clouds, leaves) moves some parts, each in its own way, and leaves others
where they are; a camera moves all of them by one similarity (pan, tilt, zoom, roll). So a motion is first proposed, by
the correlation's peaks, and then judged block by block: how many blocks does it explain much better than standing
still, and how many does standing still explain much better? Blocks of foam, to which both are wrong, have no vote.

Pairs 0.4 s apart find quick moves; pairs 2 s apart find slow ones, over which water has lost its correlation and land
has not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Frame, Scorer

INTERVAL = 0.4  # s between the frames compared
LONG = 5  # every so many intervals, a frame is compared with the one that long ago
TILE = (30, 40)  # height, width, of a (90, 160) luma
TEXTURE = 3.0  # standard deviation of the luma below which a tile tells nothing
RESPONSE = 0.12  # of the correlation's peak, below which a tile's shift is not believed
DETAIL = (15, 15)  # pixels whose mean is taken away before blocks are compared
BLOCKS = (9, 16)  # rows, columns, that vote
BETTER = 0.7  # the error of the better explanation by that of the worse, at most
LEAST_GAIN = 1.0  # levels between them, at least
LEAST_VOTES = 20  # for the motion
AGAINST = 0.25  # votes for standing still by votes for the motion, at most
MORE = 5  # votes that a zoom or a roll must gain over a plain shift
SHORT_LEAST = 1.0  # luma pixels: a smaller shift within one interval is noise; slow moves show over the long one
OUTSIDE = -1000.0  # luma of what a motion brings into the picture
THRESHOLDS = {"camera_motion": 0.006}


class CameraMotion(Scorer):
    """`camera_motion`: picture widths a second, of the fastest tenth of the clip; 0 for a camera on a tripod."""

    names = ("camera_motion",)
    settings: ClassVar[Mapping[str, Any]] = {
        "interval": INTERVAL,
        "long": LONG,
        "tile": TILE,
        "texture": TEXTURE,
        "response": RESPONSE,
        "detail": DETAIL,
        "blocks": BLOCKS,
        "better": BETTER,
        "least_gain": LEAST_GAIN,
        "least_votes": LEAST_VOTES,
        "against": AGAINST,
        "more": MORE,
        "short_least": SHORT_LEAST,
    }
    interval = INTERVAL

    def __init__(self) -> None:
        self._past: deque[tuple[float, NDArray[np.float32]]] = deque(maxlen=LONG + 1)
        self._count = 0
        self._aspect = 1.0
        self._short: list[float] = []
        self._long: list[float] = []

    def push(self, frame: Frame) -> None:
        """Compare with the frame before, and now and then with one further back."""
        if not self._past:
            height, width = frame.medium.shape
            self._aspect = height / width
        luma = frame.luma.astype(np.float32)
        if self._past:
            before, earlier = self._past[-1]
            shift = common_shift(earlier, luma, self._aspect)
            moved = shift if shift * luma.shape[1] >= SHORT_LEAST else 0.0
            self._short.append(moved / (frame.time - before))
        self._past.append((frame.time, luma))
        self._count += 1
        if self._count % LONG == 1 and len(self._past) > LONG:
            before, earlier = self._past[0]
            self._long.append(common_shift(earlier, luma, self._aspect) / (frame.time - before))

    def values(self) -> dict[str, float]:
        """0 for a clip too short to compare two frames of."""
        short = float(np.percentile(self._short, 90)) if self._short else 0.0
        # The second largest of five: a single pair may straddle a cut.
        long = float(np.percentile(self._long, 75)) if self._long else 0.0
        return {"camera_motion": max(short, long)}


def common_shift(one: NDArray[np.float32], other: NDArray[np.float32], aspect: float) -> float:
    """How far the picture as a whole moved from `one` to `other`, (H, W) luma: mean shift of its corners, in widths.

    `aspect`: height by width of the picture that the luma was squeezed from. 0 where the blocks do not agree.
    """
    height, width = one.shape
    before, after = _detail(one), _detail(other)
    still = _by_block(cv2.absdiff(before, after))
    if (still > LEAST_GAIN).sum() < LEAST_VOTES:
        return 0.0
    best, shift = -MORE, 0.0
    for motion in proposals(one, other):
        moved = cv2.warpAffine(before, motion, (width, height), flags=cv2.INTER_LINEAR, borderValue=OUTSIDE)
        error = _by_block(cv2.absdiff(moved, after))
        inside = _by_block((moved <= OUTSIDE / 4).astype(np.float32)) == 0
        votes = int((inside & (error < BETTER * still) & (still - error > LEAST_GAIN)).sum())
        against = int((inside & (still < BETTER * error) & (error - still > LEAST_GAIN)).sum())
        if votes >= LEAST_VOTES and against <= AGAINST * votes and votes - against >= best + MORE:
            corners = np.array([(x, y, 1) for y in (0, height) for x in (0, width)])
            shifts = (corners @ motion.T - corners[:, :2]) / (width, height / aspect)
            best, shift = votes - against, float(np.hypot(shifts[:, 0], shifts[:, 1]).mean())
    return shift


def proposals(one: NDArray[np.float32], other: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """Motions, (2, 3) matrices, that may lead from `one` to `other`: of the whole picture, and of most of its tiles."""
    (x, y), _ = _correlate(one, other)
    yield np.array([[1, 0, x], [0, 1, y]])
    centres, shifts = tile_shifts(one, other, (round(x), round(y)))
    if len(shifts) >= 3:
        motion, _ = cv2.estimateAffinePartial2D(
            centres, centres + shifts, method=cv2.RANSAC, ransacReprojThreshold=0.75, maxIters=200
        )
        if motion is not None:
            yield np.asarray(motion, np.float64)


def tile_shifts(
    one: NDArray[np.float32], other: NDArray[np.float32], ahead: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and shifts, (N, 2) as x and y in pixels, of the tiles whose shift can be believed.

    A tile alone can only tell shifts well below its size: those that went with the whole picture's, `ahead`, are
    measured from there.
    """
    matrix = np.array([[1, 0, ahead[0]], [0, 1, ahead[1]]], np.float32)
    size = (one.shape[1], one.shape[0])
    aligned = cv2.warpAffine(one, matrix, size, flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    height, width = TILE
    rows, columns = one.shape[0] // height, one.shape[1] // width
    stays, follows = (
        cv2.resize(cv2.absdiff(picture, other), (columns, rows), interpolation=cv2.INTER_AREA)
        for picture in (one, aligned)
    )
    centres, shifts = [], []
    for row in range(rows):
        for column in range(columns):
            top, left = row * height, column * width
            tile = np.s_[top : top + height, left : left + width]
            along = any(ahead) and follows[row, column] < stays[row, column]
            before = np.asarray(aligned if along else one, np.float32)[tile]
            if min(cv2.meanStdDev(picture)[1].item() for picture in (before, other[tile])) < TEXTURE:
                continue
            (dx, dy), response = _correlate(before, other[tile])
            if response >= RESPONSE:
                centres.append((left + width / 2, top + height / 2))
                shifts.append((dx + along * ahead[0], dy + along * ahead[1]))
    return np.reshape(np.array(centres, np.float64), (-1, 2)), np.reshape(np.array(shifts, np.float64), (-1, 2))


def _correlate(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[tuple[float, float], float]:
    # Copies: OpenCV 5 lays the window over the pictures it is given.
    (x, y), response = cv2.phaseCorrelate(one.copy(), other.copy(), _window(*one.shape))
    return (x, y), response


@cache
def _window(height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(cv2.createHanningWindow((width, height), cv2.CV_32F), np.float32)


def _detail(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Without light and its gradients, which change and would let a smooth sky vote for any shift."""
    return np.asarray(luma - cv2.blur(luma, DETAIL), np.float32)


def _by_block(picture: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(picture, BLOCKS[::-1], interpolation=cv2.INTER_AREA), np.float32)
