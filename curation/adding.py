"""Bringing named videos into the catalogue: each once, whatever it was called when it was named again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.providers.found import Found
from db.engine import Catalogue
from db.models import Query, Video

CHUNK = 500  # ids in one query


@dataclass(frozen=True, kw_only=True)
class Known:
    """A video that was in the catalogue already."""

    id: str
    source: str
    state: str
    error: str | None


@dataclass(kw_only=True)
class Added:
    """What an add came to: ids of new videos in the order given, and those known before or named twice."""

    new: list[str] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)


def add_found(
    catalogue: Catalogue, found: Sequence[Found], *, provider: str, phrase: str, settings: dict[str, Any]
) -> Added:
    """Queue the videos that the catalogue does not know, and record the query that they came from, in one transaction.

    Known ones stay as they are: a taken-down video stays down, a failed one keeps its error. Without a new video no
    query is recorded, so that the same command again changes nothing.
    """
    first_named: dict[str, Found] = {}
    for video in found:
        first_named.setdefault(video.id, video)
    added = Added()
    with catalogue.writing() as session:
        known = _known(session, list(first_named))
        added.known = [known[id_] for id_ in first_named if id_ in known]
        added.new = [id_ for id_ in first_named if id_ not in known]
        if not added.new:
            return added
        query = Query(provider=provider, phrase=phrase, settings=settings)
        session.add(query)
        session.flush()
        session.add_all(
            Video(
                id=id_,
                provider=first_named[id_].provider,
                provider_id=first_named[id_].provider_id,
                source=first_named[id_].source,
                label=first_named[id_].label,
                title=first_named[id_].title,
                licence=first_named[id_].licence,
                official_split=first_named[id_].official_split,
                group_key=first_named[id_].group_key,
                query_id=query.id,
                query_rank=rank,
            )
            for rank, id_ in enumerate(first_named)
            if id_ not in known
        )
    return added


def _known(session: Session, ids: list[str]) -> dict[str, Known]:
    known: dict[str, Known] = {}
    waiting = iter(ids)
    while chunk := list(islice(waiting, CHUNK)):
        rows = session.execute(select(Video.id, Video.source, Video.state, Video.error).where(Video.id.in_(chunk)))
        known |= {id_: Known(id=id_, source=source, state=state, error=error) for id_, source, state, error in rows}
    return known
