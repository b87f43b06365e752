"""All that is known of the clips under review, as one matrix: scores, near-duplicates, appearance, and what is odd.

A fault is often easier told from the other clips of the same video than from the clip alone: where a logo stands in
one of them, or one moves unlike the rest, its appearance is off its video's median. A clip of something else altogether
is off the whole data set's. A copy that the fingerprints did not join to its original (cropped, relit) looks like an
earlier video all the same. All of that is told without a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from curation.ranking import appearance
from db.models import Clip, Preview, Score, Video
from db.states import ClipState

REVIEWED = (ClipState.PENDING, ClipState.ACCEPTED, ClipState.REJECTED)
COPIES = "copies"  # 1 where a video that was added earlier shows the same, else 0
UNLIKE = "unlike its video: "
ODD = "unlike its video"
ADDED = "something stands in the picture"  # that its video does not show
ALIKE = "like an earlier video"
RARE = "unlike the rest"
COMPARED = (ODD, ADDED, ALIKE, RARE)  # the last columns
LOOKS = len(appearance.NAMES)
FEW = 1000  # new clips whose values are asked for by id
RIDGE = 0.1  # of the correlations, so that they can be inverted; directions of less are left out of comparisons
NEAREST = 0.1  # least distance that is told apart from none
GROWN = 1.05  # times the clips of the last comparison with all videos, from which on it is made anew
# Of values such as these, ratios matter, not differences.
RATIOS = [n for n, name in enumerate(appearance.NAMES) if name in appearance.RATIOS]
Matrix = NDArray[np.float32]


@dataclass(kw_only=True)
class Features:
    """`matrix` is (clips, columns) float32, NaN where a clip lacks a value; `row` finds a clip.

    `load` asks the catalogue only for clips that it has not met yet; their rows follow the others.
    """

    scores: Sequence[str]
    clips: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    row: dict[str, int] = field(default_factory=dict)
    matrix: Matrix = field(default_factory=lambda: np.empty((0, 0), np.float32))
    _off: Matrix = field(default_factory=lambda: np.empty((0, LOOKS), np.float32))  # from the video's median, signed
    _edges: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, appearance.EDGES), np.uint8))
    _compared: int = 0  # clips, when all were last compared with all videos
    _scenes: list[str | None] = field(default_factory=list)
    _added: dict[str, int] = field(default_factory=dict)  # video -> its number in the order in which they were added

    @property
    def columns(self) -> tuple[str, ...]:
        """What the columns are: scores, `COPIES`, appearance, how far that is from its video's median, `COMPARED`."""
        return (*self.scores, COPIES, *appearance.NAMES, *(UNLIKE + name for name in appearance.NAMES), *COMPARED)

    def load(self, session: Session) -> None:
        """Take in the clips under review that are not in the matrix yet."""
        number = session.scalar(select(func.count()).select_from(Clip).where(Clip.state.in_(REVIEWED))) or 0
        if number <= len(self.clips):
            return
        first = len(self.clips)
        found = session.execute(
            select(Clip.id, Clip.video_id, Clip.scene).where(Clip.state.in_(REVIEWED)).order_by(Clip.id)
        )
        for clip, video, scene in found:
            if clip not in self.row:
                self.row[clip] = len(self.clips)
                self.clips.append(clip)
                self.videos.append(video)
                self._scenes.append(scene)
        added = session.scalars(select(Video.id).order_by(Video.created_at, Video.id))
        self._added = {video: number for number, video in enumerate(added)}
        grown = np.full((len(self.clips), len(self.columns)), np.nan, np.float32)
        grown[:first] = self.matrix.reshape(first, len(self.columns))
        self.matrix = grown
        self._read(session, first)
        self._compare(first)

    def rows(self, clips: Iterable[str]) -> NDArray[np.int64]:
        """Row numbers of those of `clips` that are known, in the order given."""
        return np.array([row for row in map(self.row.get, clips) if row is not None], np.int64)

    def _read(self, session: Session, first: int) -> None:
        """Fill the columns of stored values, of the rows from `first` on."""
        scores = select(Score.clip_id, Score.value, Score.name).where(Score.name.in_(self.scores))
        previews = select(Preview.clip_id, Preview.appearance)
        if len(self.clips) - first <= FEW:
            scores = scores.where(Score.clip_id.in_(self.clips[first:]))
            previews = previews.where(Preview.clip_id.in_(self.clips[first:]))
        column = {name: number for number, name in enumerate(self.scores)}
        for clip, value, name in session.execute(scores):
            if self.row.get(clip, -1) >= first:
                self.matrix[self.row[clip], column[name]] = value
        looks = len(self.scores) + 1
        self._edges = np.concatenate([self._edges, np.zeros((len(self.clips) - first, appearance.EDGES), np.uint8)])
        for clip, stored in session.execute(previews):
            row = self.row.get(clip, -1)
            kept = appearance.unpack(stored) if row >= first else None
            if kept is not None:
                self.matrix[row, looks : looks + LOOKS], self._edges[row] = kept
        own = self.matrix[first:, looks : looks + LOOKS]
        own[:, RATIOS] = np.log1p(own[:, RATIOS])

    def _compare(self, first: int) -> None:
        """Fill the columns that tell of a clip beside the others, now that those from `first` on are new."""
        earliest: dict[str, int] = {}
        for video, scene in zip(self.videos, self._scenes, strict=True):
            if scene is not None:
                earliest[scene] = min(earliest.get(scene, len(self._added)), self._added[video])
        # The clips of one fixed camera show the same as well, and none of them is too many.
        self.matrix[:, len(self.scores)] = [
            scene is not None and earliest[scene] < self._added[video]
            for video, scene in zip(self.videos, self._scenes, strict=True)
        ]
        looks = len(self.scores) + 1
        look = self.matrix[:, looks : looks + LOOKS]
        changed = set(self.videos[first:])
        rows = np.array([number for number, video in enumerate(self.videos) if video in changed], np.int64)
        videos = [self.videos[row] for row in rows]
        self._off = np.concatenate([self._off, np.full((len(look) - len(self._off), LOOKS), np.nan, np.float32)])
        self._off[rows] = _off_median(look[rows], videos)
        self.matrix[rows, looks + LOOKS : looks + 2 * LOOKS] = np.abs(self._off[rows])
        if len(self.clips) >= GROWN * self._compared:
            first, self._compared = 0, len(self.clips)
        added = np.array([self._added[video] for video in self.videos], np.int64)
        compared = self.matrix[:, -len(COMPARED) :]
        compared[:, 0] = rarity(self._off)
        edges = np.where(np.isfinite(look[rows, :1]), self._edges[rows], np.float32(np.nan))
        compared[rows, 1] = standing_out(_off_median(edges, videos))
        compared[first:, 2] = likeness(look, added, first)
        compared[:, 3] = rarity(look)


def rarity(look: Matrix) -> Matrix:
    """(N,) Mahalanobis distance of each row of (N, F) from the mean of all, over sqrt(F); NaN where a value is."""
    told = np.full(len(look), np.nan, np.float32)
    known = np.isfinite(look).all(axis=1)
    if known.sum() < 2:
        return told
    values = look[known].astype(np.float64)
    values -= values.mean(axis=0)
    values /= np.maximum(values.std(axis=0), 1e-6)
    inverse = np.linalg.inv(values.T @ values / len(values) + RIDGE * np.eye(look.shape[1]))
    told[known] = np.sqrt(np.maximum(((values @ inverse) * values).sum(axis=1), 0) / look.shape[1])
    return told


def likeness(look: Matrix, added: NDArray[np.int64], first: int = 0, at_once: int = 1000) -> Matrix:
    """(N - first,) how like the mean of the nearest earlier video each clip from `first` on looks; NaN where unknown.

    `added`: (N,) each clip's video, as its number in the order in which they were added. Told as -log of the
    distance, with all directions of (N, F) `look` in which clips differ counting the same.
    """
    told = np.full(len(look) - first, np.nan, np.float32)
    known = np.isfinite(look).all(axis=1)
    if known.sum() < 2:
        return told
    values = look[known].astype(np.float64)
    values -= values.mean(axis=0)
    values /= np.maximum(values.std(axis=0), 1e-6)
    variances, directions = np.linalg.eigh(values.T @ values / len(values))
    used = variances > RIDGE
    points = (values @ (directions[:, used] / np.sqrt(variances[used]))).astype(np.float32)
    order, video = np.unique(added[known], return_inverse=True)
    means = np.zeros((len(order), points.shape[1]), np.float32)
    np.add.at(means, video, points)
    means /= np.bincount(video)[:, None]
    squares = (means**2).sum(axis=1)
    rows = np.flatnonzero(known)
    new = np.flatnonzero(rows >= first)
    new = new[np.argsort(video[new], kind="stable")]
    for part in np.split(new, range(at_once, len(new), at_once)):
        earlier = int(video[part].max()) if len(part) else 0  # no other can come before one of these
        if earlier == 0:
            continue
        distances = squares[:earlier] - 2 * points[part] @ means[:earlier].T
        distances[np.arange(earlier) >= video[part][:, None]] = np.inf
        nearest = np.sqrt(np.maximum(distances.min(axis=1) + (points[part] ** 2).sum(axis=1), 0))
        told[rows[part] - first] = np.where(np.isfinite(nearest), -np.log(nearest + NEAREST), np.nan)
    return told


def standing_out(off: Matrix) -> Matrix:
    """(N,) how far the cell of (N, cells) that is most above its video's median stands out from the clip's others."""
    noise = np.median(np.abs(off), axis=1)
    return np.asarray(off.max(axis=1) / (noise + 1), np.float32)  # + 1: a step of what is kept


def _off_median(values: Matrix, videos: Sequence[str]) -> Matrix:
    """(N, F): each row of `values` less the medians of its video; NaN where it is not known."""
    codes = np.unique(np.array(videos), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    off = np.full(values.shape, np.nan, np.float32)
    for rows in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        own = values[rows]
        known = own[np.isfinite(own).all(axis=1)]
        if len(known):
            off[rows] = own - np.median(known, axis=0)
    return off
