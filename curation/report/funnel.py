"""The funnel: how many videos and clips came how far, and what became of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from curation.filtering.judging import Verdicts
from curation.report.text import clean
from curation.status import counts
from db.models import Clip, Decision, Export, ExportShard, ShardClip, Split, Video
from db.states import ClipState, VideoState

MOST_REASONS = 12


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Items that went no further, and why; `waiting`: not lost, only not there yet."""

    number: int
    reason: str
    waiting: bool = False


@dataclass(frozen=True, kw_only=True)
class Step:
    """How many items came this far, and what kept others from the next step."""

    name: str
    number: int
    losses: tuple[Loss, ...] = ()
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """Both halves; each is drawn on a scale of its own."""

    videos: tuple[Step, ...]
    clips: tuple[Step, ...]


def funnel(session: Session, verdicts: Verdicts) -> Funnel:
    """What the catalogue knows of every video and clip. `verdicts`: of the active rules."""
    found = counts(session)
    videos, clips = Counter(found["videos"]), Counter(found["clips"])
    return Funnel(videos=_videos(session, videos), clips=_clips(session, clips, verdicts))


def _videos(session: Session, videos: Counter[str]) -> tuple[Step, ...]:
    losses = _failures(session)
    if videos[VideoState.TAKEN_DOWN]:
        losses.append(Loss(number=videos[VideoState.TAKEN_DOWN], reason="taken down"))
    if videos[VideoState.QUEUED]:
        losses.append(Loss(number=videos[VideoState.QUEUED], reason="not downloaded yet", waiting=True))
    providers = select(Video.provider, func.count()).group_by(Video.provider).order_by(Video.provider)
    found = Step(
        name="found",
        number=videos.total(),
        losses=tuple(losses),
        note=", ".join(f"{number:,} by {clean(provider, 40)}" for provider, number in session.execute(providers)),
    )
    uncut = session.scalar(
        select(func.count()).select_from(Video).where(Video.state == VideoState.DOWNLOADED, Video.cut_recipe.is_(None))
    )
    waiting = (Loss(number=uncut, reason="not cut yet", waiting=True),) if uncut else ()
    return found, Step(name="downloaded", number=videos[VideoState.DOWNLOADED], losses=waiting)


def _failures(session: Session) -> list[Loss]:
    rows = session.execute(
        select(Video.error_class, func.count())
        .where(Video.state == VideoState.FAILED)
        .group_by(Video.error_class)
        .order_by(func.count().desc(), Video.error_class)
    )
    return [Loss(number=number, reason=f"failed: {clean(name or 'unknown', 40)}") for name, number in rows]


def _clips(session: Session, clips: Counter[str], verdicts: Verdicts) -> tuple[Step, ...]:
    unscored = clips[ClipState.PLANNED]
    broken = session.scalar(
        select(func.count()).select_from(Clip).where(Clip.state == ClipState.PLANNED, Clip.error.is_not(None))
    )
    broken = broken or 0
    cut = [Loss(number=broken, reason="does not decode")] if broken else []
    if unscored - broken:
        cut.append(Loss(number=unscored - broken, reason="not scored yet", waiting=True))
    if clips[ClipState.TAKEN_DOWN]:
        cut.append(Loss(number=clips[ClipState.TAKEN_DOWN], reason="taken down"))
    scored = clips.total() - unscored - clips[ClipState.TAKEN_DOWN]
    filtered = [
        Loss(number=len(one.clips), reason=f"not {one.condition} (rule {one.rule.name} v{one.rule.version})")
        for one in verdicts.broken
        if one.clips
    ]
    overlap = clips[ClipState.FILTERED] and sum(loss.number for loss in filtered) > clips[ClipState.FILTERED]
    if clips[ClipState.SCORED]:
        filtered.append(
            Loss(number=clips[ClipState.SCORED], reason="not filtered yet, or short of a score", waiting=True)
        )
    passed = clips[ClipState.PENDING] + clips[ClipState.ACCEPTED] + clips[ClipState.REJECTED]
    judged = _rejections(session, clips[ClipState.REJECTED])
    if clips[ClipState.PENDING]:
        judged.append(Loss(number=clips[ClipState.PENDING], reason="awaiting review", waiting=True))
    accepted = clips[ClipState.ACCEPTED]
    split, exported = _split(session), _exported(session)
    unsplit = (Loss(number=accepted - split, reason="no split yet", waiting=True),) if accepted > split else ()
    missing = (Loss(number=split - exported, reason="not exported yet", waiting=True),) if split > exported else ()
    return (
        Step(name="cut", number=clips.total(), losses=tuple(cut)),
        Step(
            name="scored",
            number=scored,
            losses=tuple(filtered),
            note=f"{clips[ClipState.FILTERED]:,} filtered; a clip can break several conditions" if overlap else "",
        ),
        Step(name="passed the filter", number=passed, losses=tuple(judged)),
        Step(name="accepted", number=accepted, losses=unsplit),
        Step(name="in a split", number=split, losses=missing),
        Step(name="exported", number=exported),
    )


def _rejections(session: Session, rejected: int) -> list[Loss]:
    """Rejected clips by the reason of their newest decision."""
    if not rejected:
        return []
    newest = (
        select(func.max(Decision.id).label("id"))
        .join(Clip, Clip.id == Decision.clip_id)
        .where(Clip.state == ClipState.REJECTED)
        .group_by(Decision.clip_id)
        .subquery()
    )
    rows = session.execute(
        select(Decision.reason, func.count())
        .join(newest, newest.c.id == Decision.id)
        .group_by(Decision.reason)
        .order_by(func.count().desc(), Decision.reason)
    ).all()
    named = [(clean(reason, 60), number) for reason, number in rows if reason][:MOST_REASONS]
    unnamed = rejected - sum(number for _, number in named)
    losses = [Loss(number=number, reason=f"rejected: {reason}") for reason, number in named]
    if unnamed:
        losses.append(Loss(number=unnamed, reason="rejected, other reasons" if named else "rejected, no reason given"))
    return losses


def _split(session: Session) -> int:
    return (
        session.scalar(
            select(func.count())
            .select_from(Clip)
            .join(Split, Split.video_id == Clip.video_id)
            .where(Clip.state == ClipState.ACCEPTED)
        )
        or 0
    )


def _exported(session: Session) -> int:
    """Accepted clips that are in the newest version of any format."""
    newest = select(func.max(case((Export.complete, Export.version)))).group_by(Export.format)
    return (
        session.scalar(
            select(func.count(ShardClip.clip_id.distinct()))
            .join(ExportShard, ExportShard.shard_id == ShardClip.shard_id)
            .join(Clip, Clip.id == ShardClip.clip_id)
            .where(ExportShard.version.in_(newest), Clip.state == ClipState.ACCEPTED)
        )
        or 0
    )
