"""What an export has to do: which clips are wanted, which shards still serve, which have to be made.

A clip already in a shard of the same recipe and split stays there for as long as the whole shard is wanted; all other
clips go to new shards. Nothing is decoded here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.resample import Grid
from db.models import Clip, Export, ExportShard, Shard, ShardClip, Split, Video
from db.recipes import recipe_hash
from db.shards import SPLITS, ClipRow
from db.states import ClipState

SHARD_NAME = re.compile(rf"({'|'.join(SPLITS)})-(\d{{5,}})\.h5")
SHARDS = "shards"  # the folder, in the dataset


class SplitMissingError(Exception):
    """Accepted clips whose videos have no split yet."""


@dataclass(frozen=True, kw_only=True)
class ExportRecipe:
    """All that the pixels of an export depend on. Frames are `size` x `size`; `fps` None keeps the source's frames."""

    size: int = 128
    fit: Literal["crop", "squash"] = "crop"
    fps: Fraction | None = Fraction(25)

    def __post_init__(self) -> None:
        if not 8 <= self.size <= 4096:
            raise ValueError(f"size must be from 8 to 4096 pixels, not {self.size}")
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise ValueError(f"fps must be above 0 and at most 1000, not {self.fps}")

    def settings(self) -> dict[str, Any]:
        """As stored and hashed."""
        return {
            "kind": "export",
            "version": 1,
            "size": self.size,
            "fit": self.fit,
            "fps": "native" if self.fps is None else str(self.fps),
            "codec": "raw",
        }

    @property
    def hash(self) -> str:
        return recipe_hash(self.settings())

    @property
    def shard_fps(self) -> float:
        """As a shard states it: 0 for native."""
        return 0.0 if self.fps is None else float(self.fps)


@dataclass(frozen=True, kw_only=True)
class WantedClip:
    """An accepted clip, as it shall stand in a shard."""

    row: ClipRow
    split: str
    grid: Grid


@dataclass(frozen=True, kw_only=True)
class NewShard:
    """A shard to be made, of these clips in this order."""

    file: str  # in the shards folder
    split: str
    clips: tuple[WantedClip, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`kept`: ids of the shards that still serve; `dropped`: files of the newest export that do not."""

    kept: tuple[int, ...]
    new: tuple[NewShard, ...]
    dropped: tuple[str, ...]


def wanted_clips(session: Session, recipe: ExportRecipe) -> dict[str, WantedClip]:
    """All accepted clips by id, in the order in which new shards take them: by video, then by time.

    Raises `SplitMissingError` if a video has no split.
    """
    rows = session.execute(
        select(Clip, Video, Split.name)
        .join(Video, Video.id == Clip.video_id)
        .outerjoin(Split, Split.video_id == Clip.video_id)
        .where(Clip.state == ClipState.ACCEPTED)
        .order_by(Clip.video_id, Clip.start_pts, Clip.id)
    )
    wanted: dict[str, WantedClip] = {}
    missing: set[str] = set()
    for clip, video, split in rows:
        if split is None:
            missing.add(video.id)
            continue
        grid = Grid(
            start_pts=clip.start_pts,
            end_pts=clip.end_pts,
            time_base=Fraction(clip.time_base_num, clip.time_base_den),
            frame_count=clip.frame_count,
            fps=recipe.fps,
        )
        row = ClipRow(
            id=clip.id,
            video_id=video.id,
            source_url=video.source,
            licence=video.licence or "",
            label=video.label or "",
            start=clip.start,
            end=clip.end,
            fps=grid.rate,
            length=grid.length,
        )
        wanted[clip.id] = WantedClip(row=row, split=split, grid=grid)
    if missing:
        raise SplitMissingError(f"no split yet for {len(missing):,} of the videos with accepted clips")
    return wanted


def plan_export(
    session: Session, folder: Path, recipe: ExportRecipe, wanted: Mapping[str, WantedClip], shard_bytes: int
) -> Plan:
    """Which shards to keep and which to make so that every wanted clip is in exactly one. `folder`: the dataset's."""
    newest = newest_export(session)
    current = (
        []
        if newest is None
        else list(session.scalars(select(ExportShard.shard_id).where(ExportShard.version == newest.version)))
    )
    kept = _kept(session, folder, recipe, wanted, set(current))
    covered = set(session.scalars(select(ShardClip.clip_id).where(ShardClip.shard_id.in_(kept))))
    dropped = session.scalars(
        select(Shard.file)
        .where(Shard.id.in_(set(current) - set(kept)), Shard.recipe_hash == recipe.hash)
        .order_by(Shard.file)
    )
    left = [clip for clip in wanted.values() if clip.row.id not in covered]
    frame_bytes = recipe.size * recipe.size * 3
    numbers = next_numbers(session, folder)
    new = []
    for split in SPLITS:
        groups = _groups([clip for clip in left if clip.split == split], frame_bytes, shard_bytes)
        for number, clips in enumerate(groups, numbers[split]):
            new.append(NewShard(file=f"{split}-{number:05d}.h5", split=split, clips=tuple(clips)))
    return Plan(kept=tuple(kept), new=tuple(new), dropped=tuple(dropped))


def newest_export(session: Session) -> Export | None:
    """The newest finished export."""
    return session.scalar(select(Export).where(Export.complete).order_by(Export.version.desc()).limit(1))


def next_numbers(session: Session, folder: Path) -> dict[str, int]:
    """The next shard number of each split, above all that were ever used."""
    names = [Path(file).name for file in session.scalars(select(Shard.file))]
    names += [path.name for path in (folder / SHARDS).glob("*.h5")]
    numbers = dict.fromkeys(SPLITS, 0)
    for name in names:
        if found := SHARD_NAME.fullmatch(name):
            numbers[found[1]] = max(numbers[found[1]], int(found[2]) + 1)
    return numbers


def _kept(
    session: Session, folder: Path, recipe: ExportRecipe, wanted: Mapping[str, WantedClip], current: set[int]
) -> list[int]:
    """Shards that are wanted whole and hold no clip twice, those of the newest export first, then newer ones."""
    shards = session.scalars(select(Shard).where(Shard.recipe_hash == recipe.hash)).all()
    members: dict[int, list[str]] = defaultdict(list)
    for shard_id, clip_id in session.execute(
        select(ShardClip.shard_id, ShardClip.clip_id).join(Shard).where(Shard.recipe_hash == recipe.hash)
    ):
        members[shard_id].append(clip_id)
    kept: list[int] = []
    covered: set[str] = set()
    for shard in sorted(shards, key=lambda shard: (shard.id not in current, -shard.id)):
        clips = members[shard.id]
        if covered.isdisjoint(clips) and _serves(shard, clips, folder, wanted):
            kept.append(shard.id)
            covered.update(clips)
    return kept


def _serves(shard: Shard, clips: Iterable[str], folder: Path, wanted: Mapping[str, WantedClip]) -> bool:
    path = folder / shard.file
    return (
        all(clip in wanted and wanted[clip].split == shard.split for clip in clips)
        and path.is_file()
        and path.stat().st_size == shard.bytes
    )


def _groups(clips: Sequence[WantedClip], frame_bytes: int, shard_bytes: int) -> list[list[WantedClip]]:
    """Clips in order, cut into shards of at most `shard_bytes` of frames; a larger clip is a shard of its own."""
    groups: list[list[WantedClip]] = []
    filled = 0
    for clip in clips:
        size = clip.row.length * frame_bytes
        if not groups or filled + size > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append(clip)
        filled += size
    return groups
