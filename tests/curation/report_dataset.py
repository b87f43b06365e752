"""A catalogue in which everything that a report tells has happened, with hostile names throughout."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from curation.filtering.rules import DEFAULT, Rule, proposed, store
from db.engine import Catalogue
from db.models import (
    Batch,
    BatchClip,
    Clip,
    Decision,
    Export,
    ExportShard,
    Preview,
    Recipe,
    Score,
    Shard,
    ShardClip,
    Split,
    Video,
)
from db.states import ClipState, VideoState

HOSTILE = '<script>document.title = "owned"</script>"\'><img src=x onerror=alert(1)>&amp;\u202egpj.exe\x07'
BEGUN = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
CUT, SCORED, EXPORT = "c" * 64, "s" * 64, "e" * 64
STATES = (
    ClipState.PLANNED, ClipState.SCORED, ClipState.FILTERED, ClipState.PENDING, ClipState.ACCEPTED, ClipState.ACCEPTED,
    ClipState.REJECTED, ClipState.REJECTED,
)  # fmt: skip


def fill(catalogue: Catalogue, source: Path, preview: str) -> None:
    """Five videos, two of them with eight clips each; `source` has 50 frames, `preview` is a stored path."""
    videos = [("downloaded", "Calm sea"), ("downloaded", HOSTILE), ("failed", "x" * 5000), ("queued", None)]
    with catalogue.writing() as session:
        for key, kind in ((CUT, "cut"), (SCORED, "score"), (EXPORT, "export")):
            session.add(Recipe(hash=key, kind=kind, settings={}))
        session.flush()
        for number, (state, title) in enumerate([*videos, ("taken-down", "Somebody's")]):
            session.add(_video(number, state, title, source))
        session.flush()
        for video in range(2):
            for index, state in enumerate(STATES):
                _clip(session, video, index, state, preview)
    with catalogue.writing() as session:
        store(session, proposed(proposed([], "default", DEFAULT), "clean", Rule(maximum={"fade": 0.5, "never": 1.0})))
        _review(session)
        for video, name in (("v0", "train"), ("v1", "val")):
            session.add(Split(video_id=video, name=name, component=video, seed=0))
        session.add(Export(version=1, recipe_hash=EXPORT, manifest="shards/manifest-1.json", complete=True))
        file = "shards/train-00000.h5"
        session.add(Shard(id=1, file=file, split="train", recipe_hash=EXPORT, sha256="a" * 64, bytes=123456, frames=50))
        session.flush()
        session.add(ExportShard(version=1, shard_id=1))
        session.add(ShardClip(shard_id=1, position=0, clip_id="v0-4", length=50, sha256="b" * 64))


def _video(number: int, state: str, title: str | None, source: Path) -> Video:
    failed, down = state == VideoState.FAILED, state == VideoState.TAKEN_DOWN
    return Video(
        id=f"v{number}",
        provider="web",
        provider_id=str(number),
        title=title,
        state=state,
        source="javascript:alert(1)" if number == 1 else f"https://example.org/{number}?a=1&b=2",
        channel=HOSTILE,
        licence=(None, HOSTILE, "CC BY")[number % 3],
        duration=60.0 * number,
        path=str(source),
        bytes=source.stat().st_size,
        cut_recipe=CUT,
        error_class="gone" if failed else None,
        error=f"gone: {HOSTILE}" if failed else None,
        taken_down_at=BEGUN if down else None,
        taken_down_reason=HOSTILE if down else None,
        created_at=BEGUN + timedelta(seconds=number),
    )


def _clip(session: Session, video: int, index: int, state: ClipState, preview: str) -> None:
    clip = f"v{video}-{index}"
    reasons = {ClipState.FILTERED: "variance 0.0001 < 0.001 (rule default, version 1)", ClipState.REJECTED: HOSTILE}
    session.add(
        Clip(
            id=clip,
            video_id=f"v{video}",
            recipe_hash=CUT,
            index=index,
            start_pts=0,
            end_pts=25 * 512,
            time_base_num=1,
            time_base_den=25 * 512,
            start=10.0 * index,
            end=10.0 * index + 10,
            frame_count=25,
            state=state,
            reason=reasons.get(state),
        )
    )
    session.flush()
    if state != ClipState.PLANNED:
        variance = 0.0001 if state == ClipState.FILTERED else 0.002 * (index + 1)
        session.add(Score(clip_id=clip, name="variance", value=variance, settings_hash=SCORED))
        session.add(Score(clip_id=clip, name="fade", value=0.0, settings_hash=SCORED))
    if state in (ClipState.PENDING, ClipState.ACCEPTED, ClipState.REJECTED):
        session.add(Preview(clip_id=clip, path=preview, width=160, height=90, fps=10, frames=20))


def _review(session: Session) -> None:
    """Two sessions of Ada's, an hour apart; one decision by a script."""
    for number, (video, minutes) in enumerate(((0, 0), (1, 60)), 1):
        at = BEGUN + timedelta(minutes=minutes)
        session.add(
            Batch(
                id=number, token=str(number), annotator=f"ada{HOSTILE}", state="confirmed", shown_at=at, seconds=30.0,
                created_at=at, confirmed_at=at + timedelta(seconds=30),
            )
        )  # fmt: skip
        session.flush()
        for position, index in enumerate((4, 5, 6)):
            clip, rejected = f"v{video}-{index}", index == 6
            session.add(BatchClip(batch_id=number, position=position, clip_id=clip, marked=rejected))
            session.add(
                Decision(
                    clip_id=clip, batch_id=number, annotator="ada", verdict="reject" if rejected else "accept",
                    reason=HOSTILE if rejected else None,
                )
            )  # fmt: skip
    session.add(Decision(clip_id="v0-7", annotator="script", verdict="reject"))
