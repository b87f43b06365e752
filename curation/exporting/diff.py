"""What is different between two exported versions: clips, shards, recipe. Asked of the catalogue; no file is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Export, ExportShard, Recipe, Shard, ShardClip
from db.shards import SPLITS


class NoSuchVersionError(Exception):
    """A version that was never exported; the message says which there are."""


@dataclass(frozen=True, kw_only=True)
class Diff:
    """From version `old` to version `new`.

    `added` and `removed`: split -> clips, in their order. `moved`: (clip, split before, split now). Clips that changed
    beside their frames (extras, masks) are `changed`. `recipe`: setting -> (before, now), None where there was none.
    """

    old: int
    new: int
    added: Mapping[str, tuple[str, ...]]
    removed: Mapping[str, tuple[str, ...]]
    moved: tuple[tuple[str, str, str], ...]
    changed: tuple[str, ...]
    kept: int  # clips in both, in the same split
    shards_new: tuple[str, ...]
    shards_dropped: tuple[str, ...]
    shards_kept: tuple[str, ...]
    recipe: Mapping[str, tuple[Any, Any]]


def diff_versions(session: Session, old: int, new: int) -> Diff:
    """Compare two versions, which may be of two formats. Raises `NoSuchVersionError`."""
    before, now = (_version(session, number) for number in (old, new))
    clips_before, clips_now = _clips(session, old), _clips(session, new)
    both = clips_before.keys() & clips_now.keys()
    files_before, files_now = _files(session, old), _files(session, new)
    settings_before, settings_now = _settings(session, before), _settings(session, now)
    return Diff(
        old=old,
        new=new,
        added=_by_split(clips_now, clips_now.keys() - clips_before.keys()),
        removed=_by_split(clips_before, clips_before.keys() - clips_now.keys()),
        moved=tuple(
            (clip, clips_before[clip][0], clips_now[clip][0])
            for clip in sorted(both)
            if clips_before[clip][0] != clips_now[clip][0]
        ),
        changed=tuple(clip for clip in sorted(both) if clips_before[clip][1] != clips_now[clip][1]),
        kept=sum(clips_before[clip][0] == clips_now[clip][0] for clip in both),
        shards_new=tuple(sorted(files_now - files_before)),
        shards_dropped=tuple(sorted(files_before - files_now)),
        shards_kept=tuple(sorted(files_before & files_now)),
        recipe={
            name: (settings_before.get(name), settings_now.get(name))
            for name in sorted(settings_before.keys() | settings_now.keys())
            if settings_before.get(name) != settings_now.get(name)
        },
    )


def _version(session: Session, number: int) -> Export:
    found = session.get(Export, number)
    if found is None or not found.complete:
        known = session.execute(select(Export.version, Export.format).where(Export.complete).order_by(Export.version))
        names = [f"{version} ({name})" for version, name in known]
        listed = ", ".join([*names[:3], "...", *names[-3:]] if len(names) > 6 else names) or "none"
        raise NoSuchVersionError(f"there is no version {number}; there are: {listed}")
    return found


def _clips(session: Session, version: int) -> dict[str, tuple[str, str]]:
    """Each clip of a version -> (split, what it was made from beside its frames)."""
    rows = session.execute(
        select(ShardClip.clip_id, Shard.split, ShardClip.side)
        .join(Shard, Shard.id == ShardClip.shard_id)
        .join(ExportShard, ExportShard.shard_id == Shard.id)
        .where(ExportShard.version == version)
    )
    return {clip: (split, side or "") for clip, split, side in rows}


def _files(session: Session, version: int) -> set[str]:
    return set(
        session.scalars(
            select(Shard.file).join(ExportShard, ExportShard.shard_id == Shard.id).where(ExportShard.version == version)
        )
    )


def _settings(session: Session, export: Export) -> dict[str, Any]:
    return session.get_one(Recipe, export.recipe_hash).settings


def _by_split(clips: Mapping[str, tuple[str, str]], some: set[str]) -> dict[str, tuple[str, ...]]:
    return {split: tuple(sorted(clip for clip in some if clips[clip][0] == split)) for split in SPLITS}
