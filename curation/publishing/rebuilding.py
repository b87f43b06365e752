"""Rebuilding a published data set: its videos queued as published, and its shards' layout prescribed to exports.

The manifest is kept in the dataset folder: `curation.cutting.published` and exports read it again.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from curation.cutting.cut import PUBLISHED
from curation.exporting.plan import Prescribed
from curation.exporting.recipe import ExportRecipe
from curation.providers.urls import is_url
from curation.publishing.published import Published, PublishedVideo, read_published
from curation.recipes import keep_recipe
from db.engine import Catalogue
from db.files import replacing, sha256_of
from db.models import Query, Video
from db.states import VideoState

MANIFESTS = "manifests"  # the folder, in the dataset


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
