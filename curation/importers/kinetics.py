"""Kinetics (Kay et al. 2017: arXiv 1705.06950), and other lists of ranges of web videos: queued for `curate download`.

A video with ranges is fetched in sections, and each becomes a clip. Where one video's rows disagree on label or split,
the first stands: a video is on one side of a split only, whatever its list says, and the leak is told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from curation.finding.adding import queue_new
from curation.importers.queueing import complete
from curation.importers.ranges_csv import Ranged
from curation.providers.found import Found
from db.engine import Catalogue
from db.models import Query, Section, Video
from db.states import VideoState

PROVIDER = "kinetics"
TOGETHER = 500  # videos queued in one transaction
NAMED = ("label", "official_split", "licence")
T = TypeVar("T")


@dataclass(kw_only=True)
class Source:
    """What the rows of one video come to."""

    found: Found  # with the label, split and licence that the first rows name
    ranges: dict[tuple[float, float], None] = field(default_factory=dict)  # each once, in the order of the rows
    whole: bool = False
    splits: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


@dataclass(kw_only=True)
class Brought:
    """What an import of ranges came to."""

    new: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    sections: int = 0  # added, to new videos and known ones
    kept: dict[str, int] = field(default_factory=dict)  # known videos that stay as they are: id -> ranges left out
    filled: int = 0  # known ones that got a label, split or licence that they lacked
    other_split: list[str] = field(default_factory=list)  # known ones that keep another official split


def gather(rows: Iterable[Ranged]) -> dict[str, Source]:
    """The rows by video, in the order in which the videos are first named."""
    sources: dict[str, Source] = {}
    for row in rows:
        source = sources.setdefault(row.found.id, Source(found=row.found))
        if row.range is None:
            source.whole = True
        else:
            source.ranges[row.range] = None
        named = {name: getattr(row.found, name) for name in NAMED if getattr(source.found, name) is None}
        if any(named.values()):
            source.found = replace(source.found, **named)
        source.splits[row.found.official_split or "none"] += 1
        if row.found.label is not None:
            source.labels[row.found.label] += 1
    return sources


def leaks(sources: dict[str, Source]) -> dict[str, dict[str, int]]:
    """Videos whose rows are on more than one side of the split: id -> rows by split."""
    return {
        id_: dict(source.splits) for id_, source in sources.items() if sum(name != "none" for name in source.splits) > 1
    }


def bring_in(
    catalogue: Catalogue,
    sources: dict[str, Source],
    *,
    provider: str = f"import {PROVIDER}",
    phrase: str,
    settings: dict[str, Any],
    each: Callable[[int], None] = lambda videos: None,
) -> Brought:
    """Queue the videos, each with its sections; a few hundred a transaction, so that others are not kept waiting.

    A known video that waits to be fetched in sections gets those that it lacks. Any other known video stays as it is.
    `each` is called with the number of videos of each transaction.
    """
    done = Brought()
    query_id: int | None = None
    for part in _parts(list(sources.values())):
        with catalogue.writing() as session:
            before = _known(session, [source.found.id for source in part])
            if query_id is None and len(before) < len(part):
                query = Query(provider=provider, phrase=phrase, settings=settings)
                session.add(query)
                session.flush()
                query_id = query.id
            if query_id is not None:
                found = [source.found for source in part]
                done.new += queue_new(session, found, query_id=query_id, first_rank=len(done.new) + len(done.known)).new
            rows = list(_sections(part, before, done))
            if rows:
                session.execute(insert(Section), rows)
            done.sections += len(rows)
            done.known += [source.found.id for source in part if source.found.id in before]
        filled, other = complete(catalogue, [source.found for source in part if source.found.id in before])
        done.filled += filled
        done.other_split += other
        each(len(part))
    return done


def _parts(items: Sequence[T]) -> Iterator[list[T]]:
    waiting = iter(items)
    while part := list(islice(waiting, TOGETHER)):
        yield part


@dataclass(kw_only=True)
class _Before:
    """A video that was known, and its sections."""

    state: str
    ranges: set[tuple[float, float]] = field(default_factory=set)
    next_index: int = 0


def _known(session: Session, ids: list[str]) -> dict[str, _Before]:
    rows = session.execute(select(Video.id, Video.state).where(Video.id.in_(ids)))
    known = {id_: _Before(state=state) for id_, state in rows}
    sections = select(Section.video_id, Section.index, Section.start, Section.end).where(Section.video_id.in_(ids))
    for id_, index, start, end in session.execute(sections):
        known[id_].ranges.add((start, end))
        known[id_].next_index = max(known[id_].next_index, index + 1)
    return known


def _sections(part: list[Source], before: dict[str, _Before], done: Brought) -> Iterator[dict[str, Any]]:
    """The rows of the sections that are to be added."""
    for source in part:
        video = source.found.id
        known = before.get(video)
        if source.whole:  # its ranges come with it
            missing = []
        else:
            missing = [each for each in source.ranges if known is None or each not in known.ranges]
        waits = known is not None and known.state in (VideoState.QUEUED, VideoState.FAILED) and bool(known.ranges)
        if known is not None and missing and not waits:
            done.kept[video] = len(missing)
            continue
        first = 0 if known is None else known.next_index
        for index, (start, end) in enumerate(missing, first):
            yield {"video_id": video, "index": index, "start": start, "end": end}
