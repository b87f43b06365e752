"""Catalogues of clips with scores, straight from numbers: no video behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import delete, insert

from db.engine import Catalogue
from db.models import Clip, Recipe, Score, Video
from db.states import ClipState

CUT, SCORED = "c" * 64, "s" * 64


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A clip as a filter sees it."""

    id: str
    scores: Mapping[str, float] = field(default_factory=dict)
    state: ClipState = ClipState.SCORED
    scene: str | None = None
    short: bool = False
    reason: str | None = None


def put(catalogue: Catalogue, clips: Sequence[Scored]) -> None:
    """Make these the catalogue's clips, all of one video."""
    with catalogue.writing() as session:
        session.execute(delete(Score))
        session.execute(delete(Clip))
        for row in (Recipe(hash=CUT, kind="cut", settings={}), Recipe(hash=SCORED, kind="score", settings={})):
            session.merge(row)
        session.merge(Video(id="video", provider="file", provider_id="video", source="/sea.mp4", state="downloaded"))
        session.flush()
        if not clips:
            return
        session.execute(insert(Clip), [_row(number, clip) for number, clip in enumerate(clips)])
        scores = [
            {"clip_id": clip.id, "name": name, "value": value, "settings_hash": SCORED}
            for clip in clips for name, value in clip.scores.items()
        ]  # fmt: skip
        if scores:
            session.execute(insert(Score), scores)


def _row(number: int, clip: Scored) -> dict[str, object]:
    return {
        "id": clip.id, "video_id": "video", "recipe_hash": CUT, "index": number, "start_pts": number * 250,
        "end_pts": number * 250 + 250, "time_base_num": 1, "time_base_den": 25, "start": number * 10.0,
        "end": number * 10.0 + 10.0, "frame_count": 250, "state": clip.state, "scene": clip.scene,
        "short": clip.short, "reason": clip.reason,
    }  # fmt: skip
