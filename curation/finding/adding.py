"""Bringing named videos into the catalogue: each once, whatever it was called when it was named again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any

from sqlalchemy import insert, select
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
    with catalogue.writing() as session:
        first_named = _each_once(found)
        known = _known(session, list(first_named))
        if len(known) == len(first_named):
            return Added(known=[known[id_] for id_ in first_named])
        query = Query(provider=provider, phrase=phrase, settings=settings)
        session.add(query)
        session.flush()
        return queue_new(session, found, query_id=query.id)


def queue_new(session: Session, found: Sequence[Found], *, query_id: int, first_rank: int = 0) -> Added:
    """Queue the videos that the catalogue does not know, as those of a query, ranked as they come from `first_rank` on.

    Known ones keep their place among the ranks, and otherwise stay as they are.
    """
    first_named = _each_once(found)
    known = _known(session, list(first_named))
    rows = [
        _row(video) | {"query_id": query_id, "query_rank": rank}
        for rank, video in enumerate(first_named.values(), first_rank)
        if video.id not in known
    ]
    if rows:
        session.execute(insert(Video), rows)
    return Added(new=[row["id"] for row in rows], known=[known[id_] for id_ in first_named if id_ in known])


def states_of(session: Session, ids: Sequence[str]) -> dict[str, str]:
    """The states of those of these videos that the catalogue knows."""
    return {id_: known.state for id_, known in _known(session, list(ids)).items()}


def _each_once(found: Sequence[Found]) -> dict[str, Found]:
    first_named: dict[str, Found] = {}
    for video in found:
        first_named.setdefault(video.id, video)
    return first_named


def _row(found: Found) -> dict[str, Any]:
    return {"id": found.id, **{part.name: getattr(found, part.name) for part in fields(found)}}


def _known(session: Session, ids: list[str]) -> dict[str, Known]:
    known: dict[str, Known] = {}
    waiting = iter(ids)
    while chunk := list(islice(waiting, CHUNK)):
        rows = session.execute(select(Video.id, Video.source, Video.state, Video.error).where(Video.id.in_(chunk)))
        known |= {id_: Known(id=id_, source=source, state=state, error=error) for id_, source, state, error in rows}
    return known
