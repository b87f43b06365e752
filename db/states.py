"""The states of videos and clips, and the one table of legal transitions.

A state never changes by assignment to a column elsewhere: `move` and `move_many` are the two ways, and both refuse what
the tables below do not list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, or_, update
from sqlalchemy.orm import Session

if TYPE_CHECKING:
    from db.models import Clip, Video


class VideoState(StrEnum):
    QUEUED = "queued"
    DOWNLOADED = "downloaded"
    FAILED = "failed"
    TAKEN_DOWN = "taken-down"


class ClipState(StrEnum):
    PLANNED = "planned"
    SCORED = "scored"
    FILTERED = "filtered"
    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    TAKEN_DOWN = "taken-down"


VIDEO_TRANSITIONS: dict[VideoState, frozenset[VideoState]] = {
    VideoState.QUEUED: frozenset({VideoState.DOWNLOADED, VideoState.FAILED, VideoState.TAKEN_DOWN}),
    # A downloaded file can turn out broken, or vanish, later on.
    VideoState.DOWNLOADED: frozenset({VideoState.QUEUED, VideoState.FAILED, VideoState.TAKEN_DOWN}),
    VideoState.FAILED: frozenset({VideoState.QUEUED, VideoState.DOWNLOADED, VideoState.TAKEN_DOWN}),
    VideoState.TAKEN_DOWN: frozenset(),
}

CLIP_TRANSITIONS: dict[ClipState, frozenset[ClipState]] = {
    ClipState.PLANNED: frozenset({ClipState.SCORED, ClipState.TAKEN_DOWN}),
    ClipState.SCORED: frozenset({ClipState.PENDING, ClipState.FILTERED, ClipState.PLANNED, ClipState.TAKEN_DOWN}),
    # Filtering is a query: a changed rule moves clips both ways.
    ClipState.FILTERED: frozenset({ClipState.PENDING, ClipState.SCORED, ClipState.PLANNED, ClipState.TAKEN_DOWN}),
    ClipState.PENDING: frozenset(
        {
            ClipState.ACCEPTED,
            ClipState.REJECTED,
            ClipState.FILTERED,
            ClipState.SCORED,
            ClipState.PLANNED,
            ClipState.TAKEN_DOWN,
        }
    ),
    # The final pass, undo and adjudication: a later decision replaces an earlier one.
    ClipState.ACCEPTED: frozenset({ClipState.REJECTED, ClipState.PENDING, ClipState.TAKEN_DOWN}),
    ClipState.REJECTED: frozenset({ClipState.ACCEPTED, ClipState.PENDING, ClipState.TAKEN_DOWN}),
    ClipState.TAKEN_DOWN: frozenset(),
}


class IllegalTransition(ValueError):
    """A state change that the tables do not allow."""


def check_video(old: VideoState, new: VideoState) -> None:
    """Raise `IllegalTransition` unless a video may go from `old` to `new` (staying is always allowed)."""
    if new != old and new not in VIDEO_TRANSITIONS[old]:
        raise IllegalTransition(f"a video cannot go from {old} to {new}")


def check_clip(old: ClipState, new: ClipState) -> None:
    """Raise `IllegalTransition` unless a clip may go from `old` to `new` (staying is always allowed)."""
    if new != old and new not in CLIP_TRANSITIONS[old]:
        raise IllegalTransition(f"a clip cannot go from {old} to {new}")


def move_video(video: Video, new: VideoState) -> None:
    """Change a video's state, if legal."""
    old = VideoState(video.state)
    try:
        check_video(old, new)
    except IllegalTransition as error:
        raise IllegalTransition(f"video {video.id}: {error}") from None
    video.state = new


def move_clip(clip: Clip, new: ClipState, reason: str | None = None) -> None:
    """Change a clip's state, if legal, with the reason that `curate status` shows."""
    old = ClipState(clip.state)
    try:
        check_clip(old, new)
    except IllegalTransition as error:
        raise IllegalTransition(f"clip {clip.id}: {error}") from None
    clip.state = new
    clip.reason = reason


def sources_of(new: ClipState) -> list[ClipState]:
    """The states from which a clip may go to `new`."""
    return [old for old, targets in CLIP_TRANSITIONS.items() if new in targets]


def move_clips(session: Session, ids: Iterable[str], new: ClipState, reason: str | None = None) -> int:
    """Change many clips' states; clips whose state forbids it stay as they are. Returns how many moved."""
    from db.models import Clip

    wanted = list(ids)
    moved = 0
    for first in range(0, len(wanted), 1000):
        statement = (
            update(Clip)
            .where(Clip.id.in_(wanted[first : first + 1000]), Clip.state.in_(sources_of(new)))
            .values(state=new, reason=reason)
            .execution_options(synchronize_session="fetch")
        )
        moved += session.execute(statement).rowcount  # type: ignore[attr-defined]
    return moved


def move_clips_each(session: Session, reasons: Mapping[str, str | None], new: ClipState) -> None:
    """Change many clips' states, each with a reason of its own; clips whose state forbids it stay as they are.

    A clip that has the state already gets the new reason.
    """
    from db.models import Clip

    if not reasons:
        return
    clips = Clip.__table__
    # One statement run many times: such a statement cannot hold an IN over a list.
    legal = or_(*(clips.c.state == old.value for old in (new, *sources_of(new))))
    session.connection().execute(
        update(clips)  # type: ignore[arg-type]
        .where(clips.c.id == bindparam("clip"), legal)
        .values(state=new.value, reason=bindparam("why")),
        [{"clip": clip, "why": why} for clip, why in reasons.items()],
    )
