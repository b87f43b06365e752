"""The catalogue's tables, as SQLAlchemy 2 typed models.

Identities are text and the same on every machine: a video is `<provider>-<id or hash>`, a clip is
`<video>-<recipe hash>-<index>`; the shards carry the same identities.
Times are UTC, stored as ISO text by SQLite; positions in a video are integers in the stream's own time base.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, MetaData, String, UniqueConstraint
from sqlalchemy import DateTime as SqlDateTime
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from db.states import ClipState, VideoState


def now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """Aware datetimes on databases that only know naive ones."""

    impl = SqlDateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored; use db.models.now()")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    """Names every constraint, so that later migrations can address it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: JSON}  # noqa: RUF012


def _one_of(column: str, values: list[str], name: str) -> CheckConstraint:
    quoted = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({quoted})", name=name)


class Query(Base):
    """A search or an add: how videos came to be known."""

    __tablename__ = "queries"

    id: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[str]
    phrase: Mapped[str]  # the search phrase, or the command's arguments
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Recipe(Base):
    """Settings that results depend on (cut plan, filter rule, export), stored once by their hash."""

    __tablename__ = "recipes"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str]
    settings: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Video(Base):
    """A source video, from the moment it is known."""

    __tablename__ = "videos"
    __table_args__ = (
        UniqueConstraint("provider", "provider_id"),
        _one_of("state", [s.value for s in VideoState], "state"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str]
    provider_id: Mapped[str]
    source: Mapped[str]  # the URL, or the local file's absolute path
    state: Mapped[str] = mapped_column(default=VideoState.QUEUED, index=True)
    error_class: Mapped[str | None]  # curation.errors.ErrorClass
    error: Mapped[str | None]  # "<class>: <what happened>", as shown to people
    tries: Mapped[int] = mapped_column(default=0)
    retry_at: Mapped[datetime | None]
    query_id: Mapped[int | None] = mapped_column(ForeignKey("queries.id"))
    query_rank: Mapped[int | None]
    title: Mapped[str | None]
    channel: Mapped[str | None]
    licence: Mapped[str | None]
    licence_checked_at: Mapped[datetime | None]
    label: Mapped[str | None]
    path: Mapped[str | None]  # relative to the dataset folder, or absolute for files left where they are
    sha256: Mapped[str | None] = mapped_column(String(64))
    bytes: Mapped[int | None]
    duration: Mapped[float | None]  # of the video stream, s
    fps: Mapped[float | None]  # average
    width: Mapped[int | None]  # as displayed, after rotation
    height: Mapped[int | None]
    codec: Mapped[str | None]
    frames: Mapped[int | None]
    cut_recipe: Mapped[str | None] = mapped_column(ForeignKey("recipes.hash"))  # of its newest cut
    tools: Mapped[dict[str, Any] | None]  # versions that fetched and probed it
    created_at: Mapped[datetime] = mapped_column(default=now)
    downloaded_at: Mapped[datetime | None]

    clips: Mapped[list[Clip]] = relationship(back_populates="video", order_by="Clip.index")


class Clip(Base):
    """A range of a video. A row first; files are made only on request."""

    __tablename__ = "clips"
    __table_args__ = (
        UniqueConstraint("video_id", "recipe_hash", "index"),
        _one_of("state", [s.value for s in ClipState], "state"),
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
    state: Mapped[str] = mapped_column(default=ClipState.PLANNED, index=True)
    reason: Mapped[str | None]  # why it was filtered or rejected
    error: Mapped[str | None]  # "<class>: <what happened>" of a stage that failed on it
    path: Mapped[str | None]  # of a materialised file
    created_at: Mapped[datetime] = mapped_column(default=now)

    video: Mapped[Video] = relationship(back_populates="clips")
    scores: Mapped[list[Score]] = relationship(back_populates="clip")
    preview: Mapped[Preview | None] = relationship(back_populates="clip")


class Score(Base):
    """One measured number of a clip, with the settings it was measured with."""

    __tablename__ = "scores"
    __table_args__ = (Index("ix_scores_name_value", "name", "value"),)

    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]
    settings: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)

    clip: Mapped[Clip] = relationship(back_populates="scores")


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
    created_at: Mapped[datetime] = mapped_column(default=now)

    clip: Mapped[Clip] = relationship(back_populates="preview")


class Batch(Base):
    """Up to 25 clips shown together to one annotator. Open until confirmed; then its decisions stand."""

    __tablename__ = "batches"
    __table_args__ = (_one_of("state", ["open", "confirmed", "released"], "state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    token: Mapped[str] = mapped_column(String(32), unique=True)
    annotator: Mapped[str] = mapped_column(index=True)
    review: Mapped[str] = mapped_column(default="first")  # which pass: "first" (pending clips), "final" (accepted ones)
    state: Mapped[str] = mapped_column(default="open", index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    shown_at: Mapped[datetime | None]  # None: made ahead and not seen yet; may still go to another annotator
    confirmed_at: Mapped[datetime | None]
    seconds: Mapped[float | None]  # from shown to confirmed

    clips: Mapped[list[BatchClip]] = relationship(back_populates="batch", order_by="BatchClip.position")


class BatchClip(Base):
    """A clip's cell in a batch, and whether it is marked (saved as it is clicked)."""

    __tablename__ = "batch_clips"
    __table_args__ = (UniqueConstraint("batch_id", "clip_id"),)

    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), index=True)
    marked: Mapped[bool] = mapped_column(default=False)
    skipped: Mapped[bool] = mapped_column(default=False)  # its preview cannot play: left undecided

    batch: Mapped[Batch] = relationship(back_populates="clips")
    clip: Mapped[Clip] = relationship()


class Decision(Base):
    """One verdict on one clip. Append-only (triggers forbid change): a later row replaces an earlier one."""

    __tablename__ = "decisions"
    __table_args__ = (_one_of("verdict", ["accept", "reject", "undo"], "verdict"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), index=True)
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id"), index=True)
    annotator: Mapped[str]
    verdict: Mapped[str]
    reason: Mapped[str | None]
    review: Mapped[str] = mapped_column(default="first")
    seconds: Mapped[float | None]  # the batch was on screen, s
    share_seen: Mapped[float | None]  # of the clip's loop that was on screen, 0 to 1
    created_at: Mapped[datetime] = mapped_column(default=now)


class Split(Base):
    """Which split a video belongs to; all its clips go with it."""

    __tablename__ = "splits"
    __table_args__ = (_one_of("name", ["train", "val", "test"], "name"),)

    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id"), primary_key=True)
    name: Mapped[str]
    component: Mapped[str]  # id of the smallest video of its connected component
    seed: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Export(Base):
    """One version of the shards; complete once its manifest is in place."""

    __tablename__ = "exports"

    version: Mapped[int] = mapped_column(primary_key=True)
    recipe_hash: Mapped[str] = mapped_column(ForeignKey("recipes.hash"))
    manifest: Mapped[str]  # relative to the dataset folder
    complete: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)

    shards: Mapped[list[Shard]] = relationship(secondary="export_shards", order_by="Shard.file")


class Shard(Base):
    """One closed, immutable HDF5 file."""

    __tablename__ = "shards"

    id: Mapped[int] = mapped_column(primary_key=True)
    file: Mapped[str] = mapped_column(unique=True)  # relative to the dataset folder
    split: Mapped[str]
    recipe_hash: Mapped[str] = mapped_column(ForeignKey("recipes.hash"))
    sha256: Mapped[str] = mapped_column(String(64))
    bytes: Mapped[int]
    frames: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)

    clips: Mapped[list[ShardClip]] = relationship(back_populates="shard", order_by="ShardClip.position")


class ExportShard(Base):
    """A shard's part in an export; an unchanged shard is part of many."""

    __tablename__ = "export_shards"

    version: Mapped[int] = mapped_column(ForeignKey("exports.version"), primary_key=True)
    shard_id: Mapped[int] = mapped_column(ForeignKey("shards.id"), primary_key=True)


class ShardClip(Base):
    """Which clip stands where in a shard: together with the recipe, all that its bytes depend on."""

    __tablename__ = "shard_clips"

    shard_id: Mapped[int] = mapped_column(ForeignKey("shards.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    clip_id: Mapped[str] = mapped_column(ForeignKey("clips.id"), index=True)
    length: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))

    shard: Mapped[Shard] = relationship(back_populates="clips")


class Attempt(Base):
    """One try of one stage on one item, and how it ended."""

    __tablename__ = "attempts"
    __table_args__ = (_one_of("outcome", ["done", "failed"], "outcome"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    stage: Mapped[str]
    item_id: Mapped[str] = mapped_column(index=True)  # a video's or a clip's id
    worker: Mapped[str]
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime] = mapped_column(default=now)
    outcome: Mapped[str]
    error_class: Mapped[str | None]
    message: Mapped[str | None]


class Lease(Base):
    """Who works on an item now. `token` grows with each claim, so that a late finisher is told apart."""

    __tablename__ = "leases"

    stage: Mapped[str] = mapped_column(primary_key=True)
    item_id: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str | None]  # None: free
    token: Mapped[int] = mapped_column(default=1)
    expires_at: Mapped[datetime]
