"""Splits, exported versions and their shards."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from db.tables.base import Base, now, one_of


class Split(Base):
    """Which split a video belongs to; all its clips go with it."""

    __tablename__ = "splits"
    __table_args__ = (one_of("name", ["train", "val", "test"], "name"),)

    video_id: Mapped[str] = mapped_column(ForeignKey("videos.id"), primary_key=True)
    name: Mapped[str]
    component: Mapped[str]  # id of the smallest video of its connected component
    seed: Mapped[int]
    recipe_hash: Mapped[str | None] = mapped_column(ForeignKey("recipes.hash"))  # what was held together; None: videos
    created_at: Mapped[datetime] = mapped_column(default=now)


class Export(Base):
    """One version of the shards; complete once its manifest is in place."""

    __tablename__ = "exports"
    __table_args__ = (one_of("format", ["hdf5", "webdataset"], "format"),)

    version: Mapped[int] = mapped_column(primary_key=True)
    recipe_hash: Mapped[str] = mapped_column(ForeignKey("recipes.hash"))
    format: Mapped[str] = mapped_column(default="hdf5")  # each format has versions of its own line
    manifest: Mapped[str]  # relative to the dataset folder
    complete: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)

    shards: Mapped[list[Shard]] = relationship(secondary="export_shards", order_by="Shard.file")


class Shard(Base):
    """One closed, immutable file: HDF5, or tar for WebDataset."""

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
    sha256: Mapped[str] = mapped_column(String(64))  # of its frame bytes; where they are encoded, of the encoded ones
    side: Mapped[str | None] = mapped_column(String(64))  # which extras and masks it was made from; None: none

    shard: Mapped[Shard] = relationship(back_populates="clips")
