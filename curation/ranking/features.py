"""All that is known of the clips under review, as one matrix: scores, near-duplicates, appearance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from curation.ranking import appearance
from db.models import Clip, Preview, Score
from db.states import ClipState

REVIEWED = (ClipState.PENDING, ClipState.ACCEPTED, ClipState.REJECTED)
COPIES = "copies"  # how many other clips show the same
Matrix = NDArray[np.float32]


@dataclass(kw_only=True)
class Features:
    """`matrix` is (clips, columns) float32, NaN where a clip lacks a value; `row` finds a clip, `column` a name.

    Rows are only ever added: `load` asks the catalogue for clips that it has not met yet.
    """

    scores: Sequence[str]
    clips: list[str] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    scenes: list[str | None] = field(default_factory=list)
    row: dict[str, int] = field(default_factory=dict)
    matrix: Matrix = field(default_factory=lambda: np.empty((0, 0), np.float32))

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.scores, COPIES, *appearance.NAMES)

    def load(self, session: Session) -> None:
        """Take in the clips under review that are not in the matrix yet."""
        number = session.scalar(select(func.count()).select_from(Clip).where(Clip.state.in_(REVIEWED))) or 0
        if number <= len(self.clips):
            return
        known = self.row
        new = [
            (clip, video, scene)
            for clip, video, scene in session.execute(
                select(Clip.id, Clip.video_id, Clip.scene).where(Clip.state.in_(REVIEWED)).order_by(Clip.id)
            )
            if clip not in known
        ]
        first = len(self.clips)
        for clip, video, scene in new:
            self.row[clip] = len(self.clips)
            self.clips.append(clip)
            self.videos.append(video)
            self.scenes.append(scene)
        grown = np.full((len(self.clips), len(self.columns)), np.nan, np.float32)
        grown[:first] = self.matrix.reshape(first, len(self.columns))
        self.matrix = grown
        self._fill(session, {clip for clip, _, _ in new}, everything=first == 0)

    def of(self, clips: Iterable[str]) -> tuple[list[str], Matrix]:
        """Those of `clips` that are known, with their rows."""
        found = [clip for clip in clips if clip in self.row]
        return found, self.matrix[[self.row[clip] for clip in found]]

    def _fill(self, session: Session, new: set[str], *, everything: bool) -> None:
        for column, name in enumerate(self.scores):
            for clip, value in session.execute(select(Score.clip_id, Score.value).where(Score.name == name)):
                if clip in new:
                    self.matrix[self.row[clip], column] = value
        looks = len(self.scores) + 1
        for clip, stored in session.execute(select(Preview.clip_id, Preview.appearance)):
            values = appearance.unpack(stored) if clip in new else None
            if values is not None:
                self.matrix[self.row[clip], looks:] = values
        sizes: dict[str, int] = {}
        for scene in self.scenes:
            if scene is not None:
                sizes[scene] = sizes.get(scene, 0) + 1
        self.matrix[:, len(self.scores)] = [0 if scene is None else sizes[scene] - 1 for scene in self.scenes]


def by_name(names: Sequence[str], values: Iterable[float]) -> Mapping[str, float]:
    """Column names with their values."""
    return dict(zip(names, values, strict=True))
