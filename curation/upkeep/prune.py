"""Pruning: sources that nothing needs any more, and files that nobody will finish or show.

A source goes when no clip of its video needs it: each has a file of its own that is in place, or was filtered out or
rejected, or, if asked, stands in the newest export. The row says so before the file goes, so that a kill leaves a file
too many, which the next prune finds, and never a row too few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update
from sqlalchemy.orm import Session

from curation.cutting.materialise import CLIPS
from curation.downloading.fetching import PARTIAL, VIDEOS
from curation.downloading.orphans import STAGE as DOWNLOAD
from curation.downloading.orphans import sweep
from curation.exporting.lock import exporting
from curation.exporting.plan import SHARDS, newest_exports
from curation.media import Removed, own, remove, settled
from db.engine import Catalogue
from db.models import Clip, ExportShard, Lease, Preview, Section, ShardClip, Video, now
from db.states import ClipState, VideoState

PREVIEWS = "previews"
DROPPED = (ClipState.FILTERED, ClipState.REJECTED, ClipState.TAKEN_DOWN)


@dataclass(kw_only=True)
class PruneReport:
    """What was, or would be, deleted."""

    sources: Removed = field(default_factory=Removed)
    leftovers: Removed = field(default_factory=Removed)  # previews, clip files and partial files that nothing names
    videos: list[str] = field(default_factory=list)
    lost_clips: int = 0  # filtered or rejected ones that have no file: no changed rule can bring them back
    only_exported: int = 0  # accepted ones that live on in the shards alone
    needed: int = 0  # videos that a clip still needs
    elsewhere: int = 0  # videos whose file lies outside the dataset folder
    broken: list[str] = field(default_factory=list)  # clips whose own file is not in place as it was written


def prune(
    catalogue: Catalogue,
    *,
    dry_run: bool = False,
    exported: bool = False,
    done: Callable[[str], None] = lambda item: None,
) -> PruneReport:
    """Delete what nothing needs. Raises `ExportBusyError` while an export reads the sources.

    `exported`: clips of the newest export of each format do not need their source either.
    """
    report = PruneReport()
    with exporting(catalogue):
        for video in _candidates(catalogue, exported, report):
            if not dry_run and not _say_so(catalogue, video.id, exported):
                continue
            report.videos.append(video.id)
            report.lost_clips += video.lost
            report.only_exported += video.only_exported
            remove(catalogue, video.files, report.sources, dry_run=dry_run)
            done(video.id)
        _sweep(catalogue, report.leftovers, dry_run=dry_run)
    return report


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    id: str
    files: tuple[str, ...]
    lost: int
    only_exported: int


def _missing(catalogue: Catalogue, clips: dict[str, tuple[str, int | None]]) -> set[str]:
    """Those of these clips (id -> stored path, size) whose file is not there as it was written."""
    gone = set()
    for clip, (stored, size) in clips.items():
        try:
            there = catalogue.path(stored).stat().st_size == size
        except OSError:
            there = False
        if not there:
            gone.add(clip)
    return gone


def _needs_source(versions: list[int], exported: bool) -> ColumnElement[bool]:
    """Whether a clip cannot do without its video's file or section."""
    needs = and_(Clip.path.is_(None), Clip.state.not_in(DROPPED))
    return and_(needs, ~_is_exported(versions)) if exported else needs


def _is_exported(versions: list[int]) -> ColumnElement[bool]:
    return and_(
        Clip.state == ClipState.ACCEPTED,
        exists().where(
            ShardClip.clip_id == Clip.id,
            ExportShard.shard_id == ShardClip.shard_id,
            ExportShard.version.in_(versions),
        ),
    )


def _versions(session: Session) -> list[int]:
    return [export.version for export in newest_exports(session).values()]


def _cut_and_whole() -> ColumnElement[bool]:
    return and_(Video.state == VideoState.DOWNLOADED, Video.pruned_at.is_(None), Video.cut_recipe.is_not(None))


def _candidates(catalogue: Catalogue, exported: bool, report: PruneReport) -> Iterator[_Candidate]:
    with catalogue.reading() as session:
        versions = _versions(session)
        needs = func.sum(case((_needs_source(versions, exported), 1), else_=0))
        lost = func.sum(
            case((and_(Clip.path.is_(None), Clip.state.in_((ClipState.FILTERED, ClipState.REJECTED))), 1), else_=0)
        )
        only_exported = func.sum(case((and_(Clip.path.is_(None), Clip.state == ClipState.ACCEPTED), 1), else_=0))
        rows = session.execute(
            select(Video.id, Video.path, needs, lost, only_exported)
            .join(Clip, Clip.video_id == Video.id)
            .where(_cut_and_whole())
            .group_by(Video.id, Video.path)
            .order_by(Video.id)
        ).all()
        sections: dict[str, list[str]] = defaultdict(list)
        for video, stored in session.execute(
            select(Section.video_id, Section.path).where(Section.path.is_not(None)).order_by(Section.index)
        ):
            sections[video].append(str(stored))
        own_files: dict[str, dict[str, tuple[str, int | None]]] = defaultdict(dict)
        for clip, video, stored, size in session.execute(
            select(Clip.id, Clip.video_id, Clip.path, Clip.bytes).where(
                Clip.path.is_not(None), Clip.state.not_in(DROPPED)
            )
        ):
            own_files[video][clip] = (str(stored), size)
    for video, stored, needed, gone, kept_in_shards in rows:
        files = tuple(name for name in (stored, *sections[video]) if name is not None)
        ours = tuple(name for name in files if own(catalogue, name) is not None)
        if needed:
            report.needed += 1
        elif not ours:
            report.elsewhere += bool(files)
        elif broken := _missing(catalogue, own_files[video]):
            report.broken += sorted(broken)
        else:
            yield _Candidate(id=video, files=ours, lost=gone, only_exported=kept_in_shards)


def _say_so(catalogue: Catalogue, video_id: str, exported: bool) -> bool:
    """Take the files from the rows. False if a clip came to need them meanwhile, or a worker holds one."""
    with catalogue.writing() as session:
        needed = session.scalar(
            select(func.count())
            .select_from(Clip)
            .where(Clip.video_id == video_id, _needs_source(_versions(session), exported))
        )
        clips = select(Clip.id).where(Clip.video_id == video_id)
        busy = session.scalar(
            select(func.count())
            .select_from(Lease)
            .where(Lease.owner.is_not(None), Lease.expires_at > now())
            .where(or_(Lease.item_id == video_id, Lease.item_id.in_(clips)))
        )
        if needed or busy:
            return False
        session.execute(update(Video).where(Video.id == video_id, _cut_and_whole()).values(path=None, pruned_at=now()))
        session.execute(update(Section).where(Section.video_id == video_id).values(path=None))
    return True


def _sweep(catalogue: Catalogue, removed: Removed, *, dry_run: bool) -> None:
    """Files that no row names and nobody is writing."""
    with catalogue.reading() as session:
        leased = session.scalars(
            select(Lease.item_id).where(Lease.stage == DOWNLOAD, Lease.owner.is_not(None), Lease.expires_at > now())
        ).all()
        clips = {clip: (path, state) for clip, path, state in session.execute(select(Clip.id, Clip.path, Clip.state))}
        shown = set(session.scalars(select(Preview.path).where(Preview.path.is_not(None))))
        # Their rows gave the files up already.
        given_up = select(Video.id).where(
            Video.path.is_(None), or_(Video.pruned_at.is_not(None), Video.state == VideoState.TAKEN_DOWN)
        )
        dropped = set(session.scalars(given_up))
    stray: list[str] = []
    for path in _files(catalogue, PREVIEWS):
        known = clips.get(path.stem)
        if (
            known is None
            or known[1] == ClipState.TAKEN_DOWN
            or (f"{PREVIEWS}/{path.name}" not in shown and settled(path))
        ):
            stray.append(f"{PREVIEWS}/{path.name}")
    for path in _files(catalogue, CLIPS):
        known = clips.get(path.stem)
        named = known is not None and known[0] == f"{CLIPS}/{path.name}"
        if not named and (known is None or known[1] == ClipState.TAKEN_DOWN or settled(path)):
            stray.append(f"{CLIPS}/{path.name}")
    stray += [f"{VIDEOS}/{path.name}" for path in _files(catalogue, VIDEOS) if path.name.split(".")[0] in dropped]
    for folder in (VIDEOS, CLIPS, PREVIEWS, SHARDS):
        parts = (catalogue.folder / folder).glob(".*.part")
        stray += [f"{folder}/{path.name}" for path in sorted(parts) if path.is_file() and settled(path)]
    remove(catalogue, stray, removed, dry_run=dry_run)
    if not dry_run:
        partial = catalogue.folder / VIDEOS / PARTIAL
        removed.files += [f"{VIDEOS}/{PARTIAL}/{name}" for name in sweep(catalogue, partial, leased)]


def _files(catalogue: Catalogue, folder: str) -> Iterator[Path]:
    """The visible files of a folder of the dataset, by name."""
    place = catalogue.folder / folder
    if place.is_dir():
        yield from sorted(path for path in place.iterdir() if not path.name.startswith(".") and not path.is_dir())
