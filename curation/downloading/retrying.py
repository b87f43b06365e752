"""Giving failed items another try: videos back into the queue, clips and previews back to the stages that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import ColumnElement, delete, or_, select, true, update
from sqlalchemy.orm import InstrumentedAttribute, Session

from curation.errors import ErrorClass
from db.engine import Catalogue
from db.models import Clip, Pause, Preview, Video
from db.states import VideoState, move_video

CHUNK = 500  # ids in one query


@dataclass(frozen=True, kw_only=True)
class Again:
    """What to try again: items of these videos, of these error classes; None: whatever the video, or the class."""

    videos: tuple[str, ...] | None = None
    classes: frozenset[ErrorClass] | None = None


@dataclass(kw_only=True)
class Retried:
    """What is tried again: videos, clips and previews by the class of their error."""

    videos: Counter[str] = field(default_factory=Counter)
    clips: Counter[str] = field(default_factory=Counter)
    previews: Counter[str] = field(default_factory=Counter)
    resumed: list[str] = field(default_factory=list)  # providers whose pause was lifted
    refused: dict[str, str] = field(default_factory=dict)  # named videos that cannot be tried again, and why
    well: list[str] = field(default_factory=list)  # named videos with nothing that failed


def retry(catalogue: Catalogue, again: Again) -> Retried:
    """Clear the errors that `again` selects, in one transaction.

    Videos go back to `queued`, as if never tried. A provider's pause is lifted where its class is selected for all
    videos. Taken-down videos stay down.
    """
    done = Retried()
    with catalogue.writing() as session:
        named = None if again.videos is None else _named(session, again.videos, done)
        parts = [None] if named is None else [named[i : i + CHUNK] for i in range(0, len(named), CHUNK)]
        touched: set[str] = set()
        for part in parts:
            touched |= _videos(session, part, again, done)
            touched |= _clips(session, part, again, done)
            touched |= _previews(session, part, again, done)
        done.well = [video for video in named or [] if video not in touched]
        if again.videos is None:
            done.resumed = _lift_pauses(session, again.classes)
    return done


def _named(session: Session, names: Collection[str], done: Retried) -> list[str]:
    """The ids of the named videos, by id or source; those that cannot be tried again are noted as refused."""
    wanted = list(dict.fromkeys(names))
    ids: list[str] = []
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        states: dict[str, tuple[str, str]] = {}
        rows = select(Video.id, Video.source, Video.state).where(or_(Video.id.in_(chunk), Video.source.in_(chunk)))
        for id_, source, state in session.execute(rows):
            states[source] = states[id_] = (id_, state)
        for name in chunk:
            if name not in states:
                done.refused[name] = "no such video (its id or source is listed by: curate status --json)"
            elif states[name][1] == VideoState.TAKEN_DOWN:
                done.refused[name] = "was taken down, and stays so"
            else:
                ids.append(states[name][0])
    return list(dict.fromkeys(ids))


def _videos(session: Session, ids: list[str] | None, again: Again, done: Retried) -> set[str]:
    failed = select(Video).where(Video.state == VideoState.FAILED, _among(Video.id, ids))
    if again.classes is not None:
        failed = failed.where(Video.error_class.in_(again.classes))
    videos = session.scalars(failed).all()
    for video in videos:
        done.videos[video.error_class or ErrorClass.UNKNOWN] += 1
        move_video(video, VideoState.QUEUED)
        video.error = video.error_class = video.retry_at = None
        video.tries = 0
    return {video.id for video in videos}


def _clips(session: Session, ids: list[str] | None, again: Again, done: Retried) -> set[str]:
    which = (Clip.error.is_not(None), _of_class(Clip.error, again), _among(Clip.video_id, ids))
    rows = session.execute(select(Clip.video_id, Clip.error).where(*which)).all()
    done.clips.update(_class_of(error) for _, error in rows)
    if rows:
        session.execute(update(Clip).where(*which).values(error=None).execution_options(synchronize_session=False))
    return {video for video, _ in rows}


def _previews(session: Session, ids: list[str] | None, again: Again, done: Retried) -> set[str]:
    """A preview's error stands in its row: without the row, the stage makes it anew."""
    which = (Preview.error.is_not(None), _of_class(Preview.error, again))
    chosen = select(Preview.clip_id, Clip.video_id, Preview.error).join(Clip, Clip.id == Preview.clip_id)
    rows = session.execute(chosen.where(*which, _among(Clip.video_id, ids))).all()
    done.previews.update(_class_of(error) for _, _, error in rows)
    for start in range(0, len(rows), CHUNK):
        clips = [clip for clip, _, _ in rows[start : start + CHUNK]]
        session.execute(delete(Preview).where(Preview.clip_id.in_(clips)).execution_options(synchronize_session=False))
    return {video for _, video, _ in rows}


def _lift_pauses(session: Session, classes: frozenset[ErrorClass] | None) -> list[str]:
    which = true() if classes is None else Pause.error_class.in_(classes)
    providers = list(session.scalars(select(Pause.provider).where(which).order_by(Pause.provider)))
    session.execute(delete(Pause).where(which))
    return providers


def _among(column: InstrumentedAttribute[str], ids: list[str] | None) -> ColumnElement[bool]:
    return true() if ids is None else column.in_(ids)


def _of_class(column: InstrumentedAttribute[str | None], again: Again) -> ColumnElement[bool]:
    """Whether an error's text, "<class>: <message>", is of the selected classes."""
    if again.classes is None:
        return true()
    return or_(*(column.startswith(f"{error_class}: ", autoescape=True) for error_class in again.classes))


def _class_of(error: str | None) -> str:
    return (error or "").partition(":")[0] or ErrorClass.UNKNOWN
