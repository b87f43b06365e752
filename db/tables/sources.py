"""What is known of source videos, and how they came to be known."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.states import VideoState
from db.tables.base import Base, now, one_of

if TYPE_CHECKING:
    from db.tables.clips import Clip


class Query(Base):
    """A search or an add: how videos came to be known."""

    __tablename__ = "queries"
    __table_args__ = (one_of("state", ["open", "complete"], "state"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    provider: Mapped[str]
    phrase: Mapped[str]  # the search phrase, or the command's arguments
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(default="complete")  # "open": stopped on the way, the same command goes on
    progress: Mapped[dict[str, Any] | None]  # where an open one goes on
    created_at: Mapped[datetime] = mapped_column(default=now)


class QuotaUse(Base):
    """What was spent of a provider's daily allowance. `day` is the provider's own (YouTube's begins in California)."""

    __tablename__ = "quota_uses"

    provider: Mapped[str] = mapped_column(primary_key=True)
    bucket: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)  # ISO date
    used: Mapped[int] = mapped_column(default=0)
    exhausted: Mapped[bool] = mapped_column(default=False)  # the provider itself said so


class Pause(Base):
    """A provider that is left alone until a moment, after a bot check or the like."""

    __tablename__ = "pauses"

    provider: Mapped[str] = mapped_column(primary_key=True)  # or "web:<host>", where many sites share a provider
    error_class: Mapped[str]
    message: Mapped[str]
    tries: Mapped[int] = mapped_column(default=1)  # pauses in a row, each longer than the one before
    until: Mapped[datetime]
    cookies: Mapped[bool] = mapped_column(default=False)  # the call that met it passed cookies: they did not help
    created_at: Mapped[datetime] = mapped_column(default=now)  # of the newest pause in the row


class Video(Base):
    """A source video, from the moment it is known."""

    __tablename__ = "videos"
    __table_args__ = (
        UniqueConstraint("provider", "provider_id"),
        one_of("state", [s.value for s in VideoState], "state"),
        one_of("official_split", ["train", "val", "test"], "official_split"),
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
    channel_id: Mapped[str | None]
    published_at: Mapped[datetime | None]
    licence: Mapped[str | None]
    licence_checked_at: Mapped[datetime | None]
    label: Mapped[str | None]
    official_split: Mapped[str | None]  # of a published data set
    group_key: Mapped[str | None] = mapped_column(index=True)  # videos that its makers cut from one recording share it
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
    pruned_at: Mapped[datetime | None]  # its file was dropped on purpose; its clips have files of their own
    taken_down_at: Mapped[datetime | None]
    taken_down_reason: Mapped[str | None]

    sections: Mapped[list[Section]] = relationship(order_by="Section.index")
    clips: Mapped[list[Clip]] = relationship(back_populates="video", order_by="Clip.index")


class Section(Base):
    """A range of a video that is wanted alone: only it is fetched, into a file that keeps the source's timestamps."""

    __tablename__ = "sections"

    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True)
    start: Mapped[float]  # s from the video's first frame
    end: Mapped[float]  # s, exclusive
    first_pts: Mapped[int | None]  # of the video's first frame, in the file's time base; None: not fetched yet
    path: Mapped[str | None]  # relative to the dataset folder; None: not fetched yet
    sha256: Mapped[str | None] = mapped_column(String(64))
    bytes: Mapped[int | None]


class Extra(Base):
    """Side data of a video with one row a frame, such as a robot's actions, kept as an .npy file."""

    __tablename__ = "extras"

    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    path: Mapped[str]  # relative to the dataset folder
    sha256: Mapped[str] = mapped_column(String(64))


class Mask(Base):
    """A label map of one frame of a video, kept as an 8-bit PNG at source size."""

    __tablename__ = "masks"
    __table_args__ = (one_of("origin", ["given", "motion"], "origin"),)

    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id"), primary_key=True)
    pts: Mapped[int] = mapped_column(primary_key=True)  # of its frame, in the video's time base
    origin: Mapped[str] = mapped_column(primary_key=True)  # "motion": from the clip's own future, for training alone
    path: Mapped[str]  # relative to the dataset folder
    sha256: Mapped[str] = mapped_column(String(64))
    settings_hash: Mapped[str | None] = mapped_column(ForeignKey("recipes.hash"))  # how it was made; class names
    created_at: Mapped[datetime] = mapped_column(default=now)


class Still(Base):
    """A single image to be animated, with its label map where there is one."""

    __tablename__ = "stills"

    id: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]  # the file it was imported from
    path: Mapped[str]  # relative to the dataset folder
    mask_path: Mapped[str | None]
    sha256: Mapped[str] = mapped_column(String(64))
    label: Mapped[str | None]
    licence: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
