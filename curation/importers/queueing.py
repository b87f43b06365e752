"""Video files that stay where they are: queued, so that `curate download` checks each of them where it lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import bindparam, func, select, update

from curation.finding.adding import CHUNK, add_found
from curation.providers.found import Found
from db.engine import Catalogue
from db.models import Video
from db.states import VideoState, move_video

T = TypeVar("T")
FILLED = ("label", "title", "licence", "official_split", "group_key")


@dataclass(frozen=True, kw_only=True)
class Queued:
    """What queueing came to; all but `known` and `filled` are ids."""

    new: list[str]
    known: int
    filled: int  # known ones that got a split, group, label or terms that they lacked
    other_split: list[str]  # known ones that keep another official split
    moved: list[str]  # known ones that were gone, and are queued from where the data set lies now


def queue_files(
    catalogue: Catalogue, found: Sequence[Found], *, provider: str, phrase: str, settings: dict[str, Any]
) -> Queued:
    """Queue the files that the catalogue does not know."""
    added = add_found(catalogue, found, provider=f"import {provider}", phrase=phrase, settings=settings)
    known = {video.id for video in added.known}
    again = [video for video in found if video.id in known]
    filled, other_split = complete(catalogue, again)
    moved = _follow(catalogue, {video.id: video.source for video in again})
    return Queued(new=added.new, known=len(known), filled=filled, other_split=other_split, moved=moved)


def complete(catalogue: Catalogue, found: Sequence[Found]) -> tuple[int, list[str]]:
    """Fill what the rows of known videos lack (a split file may have come later); nothing that is there changes.

    Returns how many rows were filled, and the ids of videos whose official split is another one.
    """
    videos = Video.__table__
    filled: set[str] = set()
    other: list[str] = []
    for chunk in _chunks(found):
        new = {video.id: video for video in chunk}
        columns = [videos.c.id, *(videos.c[name] for name in FILLED)]
        with catalogue.reading() as session:
            rows = session.execute(select(*columns).where(videos.c.id.in_(list(new)))).all()
        lacking: dict[str, list[dict[str, Any]]] = {name: [] for name in FILLED}
        for row in rows:
            for name in FILLED:
                value = getattr(new[row.id], name)
                if value is not None and getattr(row, name) is None:
                    lacking[name].append({"video": row.id, "value": value})
            if row.official_split and new[row.id].official_split not in (None, row.official_split):
                other.append(row.id)
        if any(lacking.values()):
            with catalogue.writing() as session:
                for name, values in lacking.items():
                    if values:
                        statement = (
                            update(videos)  # type: ignore[arg-type]
                            .where(videos.c.id == bindparam("video"))
                            .values({name: func.coalesce(videos.c[name], bindparam("value"))})
                        )
                        session.connection().execute(statement, values)
                        filled.update(value["video"] for value in values)
    return len(filled), other


def _follow(catalogue: Catalogue, sources: Mapping[str, str]) -> list[str]:
    """Queue anew the known videos whose file is gone from where it was, and is where the data set lies now."""
    moved: list[str] = []
    for chunk in _chunks(list(sources)):
        with catalogue.reading() as session:
            rows = session.execute(select(Video.id, Video.source, Video.state).where(Video.id.in_(chunk))).all()
        gone = [
            id_
            for id_, source, state in rows
            if state != VideoState.TAKEN_DOWN and source != sources[id_] and not Path(source).is_file()
        ]
        if gone:
            with catalogue.writing() as session:
                for video in session.scalars(select(Video).where(Video.id.in_(gone))):
                    if video.state != VideoState.TAKEN_DOWN and video.pruned_at is None:
                        move_video(video, VideoState.QUEUED)
                        video.source, video.path = sources[video.id], None
                        video.error = video.error_class = video.retry_at = None
                        moved.append(video.id)
    return moved


def _chunks(items: Sequence[T]) -> Iterator[list[T]]:
    waiting = iter(items)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk
