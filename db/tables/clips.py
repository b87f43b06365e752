"""Ranges of videos, what was measured on them, and the recipes and rules that it depends on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.states import ClipState
from db.tables.base import Base, now, one_of
from db.tables.sources import Video


class Recipe(Base):
    """Settings that results depend on (cut plan, score, filter rule, export), stored once by their hash."""

    __tablename__ = "recipes"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str]
    settings: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Clip(Base):
    """A range of a video. A row first; files are made only on request."""

    __tablename__ = "clips"
    __table_args__ = (
        UniqueConstraint("video_id", "recipe_hash", "index"),
        Index("ix_clips_state_video_id", "state", "video_id", "index"),
        Index("ix_clips_state_id", "state", "id"),  # alone answers which clips are in a state
        Index("ix_clips_scene_state_id", "scene", "state", "id"),  # and this one, which are of a scene
        one_of("state", [s.value for s in ClipState], "state"),
        CheckConstraint("end_pts > start_pts", name="range"),
        CheckConstraint("frame_count > 0", name="frame_count"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id"), index=True)
    recipe_hash: Mapped[str] = mapped_column(ForeignKey("recipes.hash"))
    index: Mapped[int]
    start_pts: Mapped[int]  # of its first frame, in time_base units
    end_pts: Mapped[int]  # exclusive
    time_base_num: Mapped[int]
    time_base_den: Mapped[int]
    start: Mapped[float]  # s from the video's first frame
    end: Mapped[float]  # s, exclusive
    frame_count: Mapped[int]
    short: Mapped[bool] = mapped_column(default=False)  # the video is shorter than the recipe's clip length
    section_index: Mapped[int | None]  # which of the video's sections holds it; None: the video's one file
    scene: Mapped[str | None]  # smallest clip of its cluster of near-duplicates: itself, if it is alone
    state: Mapped[str] = mapped_column(default=ClipState.PLANNED)
    reason: Mapped[str | None]  # why it was filtered or rejected
    error: Mapped[str | None]  # "<class>: <what happened>" of a stage that failed on it
    path: Mapped[str | None]  # of a materialised file, which keeps the source's timestamps
    sha256: Mapped[str | None] = mapped_column(String(64))  # of that file
    bytes: Mapped[int | None]
    file_recipe: Mapped[str | None] = mapped_column(ForeignKey("recipes.hash"))  # how that file was encoded
    created_at: Mapped[datetime] = mapped_column(default=now)

    video: Mapped[Video] = relationship(back_populates="clips")
    scores: Mapped[list[Score]] = relationship(back_populates="clip")
    preview: Mapped[Preview | None] = relationship(back_populates="clip")


class Score(Base):
    """One measured number of a clip, with the recipe (kind `score`) it was measured by."""

    __tablename__ = "scores"
    __table_args__ = (Index("ix_scores_name_value", "name", "value", "clip_id"),)

    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]
    settings_hash: Mapped[str] = mapped_column(ForeignKey("recipes.hash"))
    created_at: Mapped[datetime] = mapped_column(default=now)

    clip: Mapped[Clip] = relationship(back_populates="scores")


class Fingerprint(Base):
    """Perceptual hashes of a clip, second by second, by which near-duplicates are found."""

    __tablename__ = "fingerprints"

    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), primary_key=True)
    hashes: Mapped[bytes]  # 16 bytes a hash; all zero: it says nothing
    settings_hash: Mapped[str] = mapped_column(ForeignKey("recipes.hash"))


class Rule(Base):
    """A named filter rule. Each change is a new version; the newest version of a name counts, if it is active."""

    __tablename__ = "rules"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    recipe_hash: Mapped[str] = mapped_column(ForeignKey("recipes.hash"))
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Preview(Base):
    """The small loop that the grid shows, or why there is none."""

    __tablename__ = "previews"
    __table_args__ = (CheckConstraint("(path IS NULL) != (error IS NULL)", name="path_or_error"),)

    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), primary_key=True)
    path: Mapped[str | None]  # relative to the dataset folder
    error: Mapped[str | None]
    width: Mapped[int]
    height: Mapped[int]
    fps: Mapped[float]
    frames: Mapped[int]
    appearance: Mapped[bytes | None]  # little-endian float32 features of its pictures (curation.appearance)
    created_at: Mapped[datetime] = mapped_column(default=now)

    clip: Mapped[Clip] = relationship(back_populates="preview")
