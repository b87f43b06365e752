"""Rebuilding a published data set: its videos named as published, its clips cut at the published times, accepted by
decisions of annotator `manifest`, split as published, and laid out in the published shards.

The manifest is kept in the dataset folder: cutting and exporting read it again.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Select, bindparam, insert, select, update
from sqlalchemy.orm import Session

from curation.cut import PUBLISHED, fail_video
from curation.errors import ErrorClass, StageError
from curation.export_plan import Prescribed
from curation.export_recipe import ExportRecipe
from curation.probe import VideoInfo, probe
from curation.providers.urls import is_url
from curation.published import Published, PublishedClip, PublishedVideo, read_published
from curation.recipes import keep_recipe
from curation.sources import locate
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.files import replacing, sha256_of
from db.models import Clip, Decision, Query, Split, Video
from db.states import ClipState, VideoState

MANIFESTS = "manifests"  # the folder, in the dataset
ANNOTATOR = "manifest"


@dataclass(kw_only=True)
class AddedPublished:
    """What adding a manifest came to. Ids of videos."""

    published: Published
    new: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # queued, failed or downloaded before, and cut as published now
    own_way: list[str] = field(default_factory=list)  # cut otherwise before: they keep the clips they have
    taken_down: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)  # files of --media, by their hash
    not_found: list[str] = field(default_factory=list)  # local files that are not there


def add_published(catalogue: Catalogue, path: Path, media: Path | None = None) -> AddedPublished:
    """Queue the videos of a manifest. `media`: a folder where files are looked for by size and SHA-256.

    Raises `ManifestError` if the file is no manifest.
    """
    published = read_published(path)
    digest = sha256_of(path)
    stored = f"{MANIFESTS}/{digest[:12]}.json"
    kept = catalogue.path(stored)
    kept.parent.mkdir(exist_ok=True)
    if not kept.exists():
        with replacing(kept) as temporary:
            shutil.copyfile(path, temporary)
    found = find_media(published.videos, media) if media is not None else {}
    added = AddedPublished(published=published, found=sorted(found))
    with catalogue.writing() as session:
        for settings in published.recipes.values():
            keep_recipe(session, settings["kind"], settings)
        query = _query(session, path, stored, digest, published)
        states = {
            row.id: row for row in session.execute(select(Video.id, Video.state, Video.cut_recipe, Video.query_id))
        }
        taken = {(row.provider, row.provider_id): row.id for row in session.execute(_IDENTITIES)}
        rows = []
        adopted = []
        for rank, video in enumerate(published.videos):
            same = taken.setdefault((video.provider, video.provider_id), video.id)
            known = states.get(video.id) or states.get(same)
            if known is None and same != video.id:  # the manifest lists it under two ids
                added.own_way.append(video.id)
            elif known is None:
                rows.append(_row(video, query, rank, found.get(video.id)))
                added.new.append(video.id)
            elif known.state == VideoState.TAKEN_DOWN:
                added.taken_down.append(known.id)
            elif known.id == video.id and (known.cut_recipe is None or known.query_id == query):
                adopted.append({"video": video.id, "query": query})
                added.known.append(video.id)
            else:
                added.own_way.append(known.id)
        if rows:
            session.execute(insert(Video), rows)
        if adopted:
            table = Video.__table__
            session.connection().execute(
                update(table).where(table.c.id == bindparam("video")).values(query_id=bindparam("query")),  # type: ignore[arg-type]
                adopted,
            )
        for video_id, file in found.items():
            open_ = Video.state.in_((VideoState.QUEUED, VideoState.FAILED))
            session.execute(update(Video).where(Video.id == video_id, open_).values(path=str(file)))
    here = {video.id for video in published.videos if is_url(video.source) or Path(video.source).is_file()}
    added.not_found = [id_ for id_ in [*added.new, *added.known] if id_ not in here and id_ not in found]
    return added


_IDENTITIES = select(Video.provider, Video.provider_id, Video.id)


def _query(session: Session, path: Path, stored: str, digest: str, published: Published) -> int:
    known = session.scalars(select(Query).where(Query.provider == PUBLISHED)).all()
    for query in known:
        if query.settings["sha256"] == digest:
            return query.id
    settings = {"manifest": stored, "sha256": digest, "versions": dict(published.versions)}
    query = Query(provider=PUBLISHED, phrase=str(path), settings=settings)
    session.add(query)
    session.flush()
    return query.id


def _row(video: PublishedVideo, query: int, rank: int, file: Path | None) -> dict[str, Any]:
    return {
        "id": video.id,
        "provider": video.provider,
        "provider_id": video.provider_id,
        "source": video.source,
        "state": VideoState.QUEUED,
        "query_id": query,
        "query_rank": rank,
        "title": video.title,
        "channel": video.channel,
        "channel_id": video.channel_id,
        "licence": video.licence,
        "label": video.label,
        "official_split": video.official_split,
        "group_key": video.group_key,
        "path": None if file is None else str(file),
    }


def find_media(videos: Sequence[PublishedVideo], folder: Path) -> dict[str, Path]:
    """Each video -> the file of a folder that has its SHA-256; those of its name are tried first.

    Only files of a published size are read.
    """
    sizes: dict[int, list[Path]] = defaultdict(list)
    wanted = {video.bytes for video in videos if video.sha256 is not None}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.stat().st_size in wanted:
            sizes[path.stat().st_size].append(path.absolute())
    hashes: dict[Path, str] = {}
    found: dict[str, Path] = {}
    for video in videos:
        if video.sha256 is None or video.bytes is None:
            continue
        name = Path(video.source).name
        for path in sorted(sizes[video.bytes], key=lambda path: (path.name != name, path.stem != video.id)):
            if path not in hashes:
                hashes[path] = sha256_of(path)
            if hashes[path] == video.sha256:
                found[video.id] = path
                break
    return found


def manifests(session: Session, catalogue: Catalogue) -> Iterator[tuple[int, Published]]:
    """The manifests that were added to this dataset, each with its query's id."""
    for query in session.scalars(select(Query).where(Query.provider == PUBLISHED).order_by(Query.id)):
        yield query.id, read_published(catalogue.path(query.settings["manifest"]))


def prescribed(catalogue: Catalogue, recipe: ExportRecipe) -> list[Prescribed]:
    """The published shards of a recipe; those of other recipes of its format without clips, for their names."""
    with catalogue.reading() as session:
        return [
            Prescribed(file=shard.file, split=shard.split, clips=shard.clips if shard.recipe == recipe.hash else ())
            for _, published in manifests(session, catalogue)
            for shard in published.shards
            if shard.format == recipe.format
        ]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One video to cut as published. `path` None: its file is the published one, byte by byte."""

    path: Path | None
    clips: tuple[PublishedClip, ...]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The clips of a video, as they can be had from its file."""

    clips: tuple[PublishedClip, ...]
    as_published: bool  # frame by frame; else planned anew, by time


def place(job: Job) -> Placed:
    """Find the published clips in a file. Raises `StageError`: corrupt if none of them is in it."""
    if job.path is None:
        return Placed(clips=job.clips, as_published=True)
    info = probe(job.path)
    if all(_stands(clip, info) for clip in job.clips):
        return Placed(clips=job.clips, as_published=True)
    placed = tuple(found for clip in job.clips if (found := _by_time(clip, info)) is not None)
    if not placed:
        raise StageError(
            ErrorClass.CORRUPT,
            f"{job.path.name}: not the published video, and none of its {len(job.clips)} clips is in it",
        )
    return Placed(clips=placed, as_published=False)


def _stands(clip: PublishedClip, info: VideoInfo) -> bool:
    low, high = np.searchsorted(info.pts, [clip.start_pts, clip.end_pts])
    return (
        Fraction(*clip.time_base) == info.time_base
        and int(high - low) == clip.frames
        and int(info.pts[low]) == clip.start_pts
    )


def _by_time(clip: PublishedClip, info: VideoInfo) -> PublishedClip | None:
    """The clip with the same seconds in another encoding of the video; None if that is too short."""
    base = Fraction(*clip.time_base)
    ticks = round(Fraction(str(clip.start)) / info.time_base) + int(info.pts[0])
    # A tick of the published file is no finer than half of itself.
    low = int(np.searchsorted(info.pts, ticks - max(1, round(base / info.time_base / 2))))
    if low == len(info.pts):
        return None
    start = int(info.pts[low])
    end = start + round((clip.end_pts - clip.start_pts) * base / info.time_base)
    frame = (info.end_pts - int(info.pts[0])) / info.frames
    if end > info.end_pts + frame:
        return None
    end = min(end, info.end_pts)
    frames = int(np.searchsorted(info.pts, end)) - low
    return PublishedClip(
        **{
            **vars(clip),
            "start_pts": start,
            "end_pts": end,
            "time_base": (info.time_base.numerator, info.time_base.denominator),
            "start": float(info.seconds(start)),
            "end": float(info.seconds(end)),
            "frames": frames,
        }
    )


def left() -> Select[Any]:
    """Ids of the downloaded videos of manifests that are not cut yet."""
    return (
        select(Video.id)
        .join(Query, Query.id == Video.query_id)
        .where(Query.provider == PUBLISHED, Video.state == VideoState.DOWNLOADED)
        .where(Video.cut_recipe.is_(None), Video.pruned_at.is_(None))
        .order_by(Video.query_id, Video.query_rank, Video.id)
    )


def cut_published(catalogue: Catalogue, *, workers: int = 1, done: Callable[[str], None] = lambda item: None) -> Result:
    """Cut the videos of manifests as published: clips with their ids, accepted, and their videos' splits."""
    with catalogue.reading() as session:
        if session.scalar(select(Video.id).where(Video.id.in_(left())).limit(1)) is None:
            return Result()
        loaded = dict(manifests(session, catalogue))
    videos = {(query, video.id): video for query, published in loaded.items() for video in published.videos}
    clips: dict[tuple[int, str], list[PublishedClip]] = defaultdict(list)
    for query, published in loaded.items():
        for clip in published.clips:
            clips[query, clip.video].append(clip)

    def job(session: Session, video_id: str) -> Job:
        video = session.get_one(Video, video_id)
        key = (video.query_id or 0, video_id)
        path = locate(catalogue, video)
        same = video.sha256 is not None and video.sha256 == videos[key].sha256
        return Job(path=None if same else path, clips=tuple(clips[key]))

    def store(session: Session, video_id: str, placed: Placed) -> None:
        video = session.get_one(Video, video_id)
        key = (video.query_id or 0, video_id)
        _store(session, video, videos[key], loaded[key[0]], placed)

    stage: Stage[Job, Placed] = Stage(name="cut", candidates=left(), job=job, work=place, store=store, fail=fail_video)
    return run_stage(catalogue, stage, workers=workers, done=done)


def _store(session: Session, video: Video, source: PublishedVideo, published: Published, placed: Placed) -> None:
    # What the shards say of a video is what they said when they were published.
    video.licence, video.label = source.licence, source.label
    video.cut_recipe = placed.clips[0].recipe
    versions = ", ".join(f"{name} version {number}" for name, number in published.versions.items())
    for clip in placed.clips:
        session.add(
            Clip(
                id=clip.id,
                video_id=video.id,
                recipe_hash=clip.recipe,
                index=clip.index,
                start_pts=clip.start_pts,
                end_pts=clip.end_pts,
                time_base_num=clip.time_base[0],
                time_base_den=clip.time_base[1],
                start=clip.start,
                end=clip.end,
                frame_count=clip.frames,
                short=clip.short,
                scene=clip.scene,
                state=ClipState.ACCEPTED,
            )
        )
    session.flush()
    session.add_all(
        Decision(clip_id=clip.id, annotator=ANNOTATOR, verdict="accept", reason=f"published: {versions}")
        for clip in placed.clips
    )
    if session.get(Split, video.id) is None:
        key = next((key for key, settings in published.recipes.items() if settings["kind"] == "split"), None)
        session.add(Split(video_id=video.id, name=source.split, component=source.component, seed=0, recipe_hash=key))


def changed_sources(catalogue: Catalogue) -> list[str]:
    """Downloaded videos of manifests whose file is not the published one: their site has encoded them anew, say."""
    with catalogue.reading() as session:
        expected: dict[tuple[int, str], str | None] = {
            (query, video.id): video.sha256
            for query, published in manifests(session, catalogue)
            for video in published.videos
            if video.sha256 is not None
        }
        if not expected:
            return []
        rows = session.execute(
            select(Video.id, Video.query_id, Video.sha256)
            .join(Query, Query.id == Video.query_id)
            .where(Query.provider == PUBLISHED, Video.state == VideoState.DOWNLOADED)
            .order_by(Video.id)
        )
        found = [(query or 0, video, sha256) for video, query, sha256 in rows]
    return [video for query, video, sha256 in found if expected.get((query, video), sha256) != sha256]
