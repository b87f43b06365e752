"""Taking videos down: never fetched again, their media deleted, the shards that held them made anew without them.

Each step can be repeated. The tombstone comes first, in one transaction: whatever is killed after it, the same command
again does the rest.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from curation.cutting.materialise import CLIPS
from curation.downloading.fetching import PARTIAL, VIDEOS
from curation.downloading.orphans import remove_tree
from curation.exporting.rewrite import Rewritten, rewrite_exports
from curation.media import Removed, remove
from curation.preview import preview_path
from db.engine import Catalogue
from db.files import replacing
from db.models import (
    Clip,
    Export,
    ExportShard,
    Extra,
    Fingerprint,
    Mask,
    Preview,
    Section,
    Shard,
    ShardClip,
    Video,
    now,
)
from db.states import ClipState, VideoState, move_clips, move_video


@dataclass(kw_only=True)
class TakenDown:
    """What a take-down did."""

    videos: list[str] = field(default_factory=list)  # taken down by this call
    before: list[str] = field(default_factory=list)  # named, and taken down before: finished where that was cut short
    clips: int = 0
    media: Removed = field(default_factory=Removed)
    rewritten: list[Rewritten] = field(default_factory=list)  # a format each
    shards: list[str] = field(default_factory=list)  # files that held them, deleted now
    runs: dict[str, list[str]] = field(default_factory=dict)  # run folder -> the shards it read that held them


def resolve(session: Session, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Ids of the videos that are named by id, address or file, and the names that no video has."""
    wanted = list(dict.fromkeys(names))
    found: dict[str, str] = {}
    for first in range(0, len(wanted), 500):
        some = wanted[first : first + 500]
        paths = {os.path.realpath(name): name for name in some if "\0" not in name}
        rows = session.execute(
            select(Video.id, Video.source).where(
                or_(Video.id.in_(some), Video.source.in_(some), Video.source.in_(list(paths)))
            )
        )
        for video, source in rows:
            for name in (video, source, paths.get(source)):
                if name in some:
                    found[str(name)] = video
    return list(dict.fromkeys(found.values())), [name for name in wanted if name not in found]


def take_down(
    catalogue: Catalogue,
    videos: Sequence[str],
    *,
    reason: str | None = None,
    runs: Path | None = None,
    done: Callable[[str], None] = lambda shard: None,
) -> TakenDown:
    """Take videos down, by id, and finish every take-down that was cut short. `done` is called after each new shard.

    Raises `ExportBusyError` if an export is running: the videos are tombstones then, and their media are deleted.
    """
    told = TakenDown()
    _bury(catalogue, videos, reason, told)
    _purge(catalogue, told.media)
    told.rewritten = rewrite_exports(catalogue, done=done)
    with catalogue.reading() as session:
        held = _shards_that_held(session)
        of_named = {file: sha256 for file, (sha256, ids) in held.items() if ids & set(videos)}
    told.shards = _delete_shards(catalogue, held)
    _note_in_manifests(catalogue)
    if runs is not None:
        told.runs = runs_that_read(runs, {sha256: file for file, sha256 in of_named.items()})
    return told


def unfinished(session: Session) -> list[str]:
    """Ids of all videos that are taken down."""
    return list(session.scalars(select(Video.id).where(Video.state == VideoState.TAKEN_DOWN).order_by(Video.id)))


def _bury(catalogue: Catalogue, videos: Sequence[str], reason: str | None, told: TakenDown) -> None:
    with catalogue.writing() as session:
        for video_id in videos:
            video = session.get_one(Video, video_id)
            if video.state == VideoState.TAKEN_DOWN:
                told.before.append(video_id)
            else:
                move_video(video, VideoState.TAKEN_DOWN)
                video.taken_down_at, video.taken_down_reason = now(), reason
                video.error = video.error_class = video.retry_at = None
                told.videos.append(video_id)
        session.flush()
        clips = session.scalars(
            select(Clip.id)
            .join(Video, Video.id == Clip.video_id)
            .where(Video.state == VideoState.TAKEN_DOWN, Clip.state != ClipState.TAKEN_DOWN)
        ).all()
        told.clips = move_clips(session, clips, ClipState.TAKEN_DOWN, "its video was taken down")


def _purge(catalogue: Catalogue, removed: Removed) -> None:
    """Delete the media of all that is taken down: what the rows name, and what a killed worker left beside it."""
    down = select(Video.id).where(Video.state == VideoState.TAKEN_DOWN)
    clips = select(Clip.id).where(Clip.video_id.in_(down))
    with catalogue.reading() as session:
        videos = list(session.scalars(down))
        stored: list[str] = []
        for statement in (
            select(Video.path).where(Video.id.in_(down), Video.path.is_not(None)),
            select(Section.path).where(Section.video_id.in_(down), Section.path.is_not(None)),
            select(Clip.path).where(Clip.video_id.in_(down), Clip.path.is_not(None)),
            select(Preview.path).where(Preview.clip_id.in_(clips), Preview.path.is_not(None)),
            select(Extra.path).where(Extra.video_id.in_(down)),
            select(Mask.path).where(Mask.video_id.in_(down)),
        ):
            stored += [str(path) for path in session.scalars(statement)]
        ids = list(session.scalars(clips))
    folder = catalogue.folder / VIDEOS
    gone = set(videos)
    # Named after the video, by a worker that was killed before it could say so.
    stored += [f"{VIDEOS}/{path.name}" for path in folder.glob("*.*") if path.name.split(".")[0] in gone]
    stored += [name for clip in ids for name in (preview_path(clip), f"{CLIPS}/{clip}.mp4")]
    remove(catalogue, dict.fromkeys(stored), removed)
    for video in videos:
        remove_tree(folder / PARTIAL / video)
        remove_tree(folder / video)  # of sections
    with catalogue.writing() as session:
        quiet: dict[str, Any] = {"synchronize_session": False}
        nothing = {"path": None, "bytes": None}
        session.execute(update(Video).where(Video.id.in_(down)).values(nothing).execution_options(**quiet))
        session.execute(update(Section).where(Section.video_id.in_(down)).values(nothing).execution_options(**quiet))
        session.execute(
            update(Clip).where(Clip.video_id.in_(down)).values(**nothing, sha256=None).execution_options(**quiet)
        )
        for table, column in ((Preview, Preview.clip_id), (Fingerprint, Fingerprint.clip_id)):
            session.execute(delete(table).where(column.in_(clips)).execution_options(**quiet))
        session.execute(delete(Extra).where(Extra.video_id.in_(down)).execution_options(**quiet))
        session.execute(delete(Mask).where(Mask.video_id.in_(down)).execution_options(**quiet))


def _shards_that_held(session: Session) -> dict[str, tuple[str, set[str]]]:
    """All shards, of any version, with clips of what is taken down: file -> (SHA-256, videos)."""
    held: dict[str, tuple[str, set[str]]] = {}
    for file, sha256, video in session.execute(
        select(Shard.file, Shard.sha256, Clip.video_id)
        .join(ShardClip, ShardClip.shard_id == Shard.id)
        .join(Clip, Clip.id == ShardClip.clip_id)
        .join(Video, Video.id == Clip.video_id)
        .where(Video.state == VideoState.TAKEN_DOWN)
        .distinct()
    ):
        held.setdefault(file, (sha256, set()))[1].add(video)
    return held


def _delete_shards(catalogue: Catalogue, held: Iterable[str]) -> list[str]:
    removed = Removed()
    remove(catalogue, sorted(held), removed)
    return removed.files


def _note_in_manifests(catalogue: Catalogue) -> None:
    """Older versions' manifests stay, as history, and say which of their files are gone and since when."""
    notes: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    with catalogue.reading() as session:
        rows = session.execute(
            select(Export.manifest, Shard.file, Clip.video_id, Video.taken_down_at)
            .join(ExportShard, ExportShard.version == Export.version)
            .join(Shard, Shard.id == ExportShard.shard_id)
            .join(ShardClip, ShardClip.shard_id == Shard.id)
            .join(Clip, Clip.id == ShardClip.clip_id)
            .join(Video, Video.id == Clip.video_id)
            .where(Video.state == VideoState.TAKEN_DOWN)
            .order_by(Export.version, Shard.file, Clip.video_id)
            .distinct()
        )
        for manifest, file, video, moment in rows:
            note = notes[manifest].setdefault(Path(file).name, {"file": Path(file).name, "videos": {}})
            note["videos"][video] = None if moment is None else moment.isoformat(timespec="seconds")
    for manifest, files in notes.items():
        path = catalogue.path(manifest)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # gone or damaged: it says nothing that is not in the catalogue
            continue
        wanted = list(files.values())
        if content.get("taken_down") != wanted:
            with replacing(path) as temporary:
                text = json.dumps(content | {"taken_down": wanted}, indent=1, ensure_ascii=False)
                temporary.write_text(text + "\n", encoding="utf-8")


def runs_that_read(folder: Path, shards: dict[str, str]) -> dict[str, list[str]]:
    """Run folders below `folder` whose environment.json names one of these shards (SHA-256 -> file): their files.

    Raises `OSError` if the folder cannot be read; an environment.json that cannot be is listed as "unreadable".
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("environment.json")):
        try:
            hashes = set(_hashes(json.loads(path.read_text(encoding="utf-8"))))
        except ValueError:
            found[str(path.parent)] = ["unreadable"]
            continue
        if read := sorted(file for sha256, file in shards.items() if sha256 in hashes):
            found[str(path.parent)] = read
    return found


def _hashes(content: Any) -> Iterable[str]:
    """All values of all objects named `shards`: a run that was resumed on other data names both."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name == "shards" and isinstance(value, dict):
                yield from (str(sha256) for sha256 in value.values())
            else:
                yield from _hashes(value)
    elif isinstance(content, list):
        for value in content:
            yield from _hashes(value)
