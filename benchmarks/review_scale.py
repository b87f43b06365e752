"""How long choosing a batch takes among 100,000 clips: a catalogue with drawn scores, appearance and decisions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from review_simulation import ranker_of
from sqlalchemy import insert

from annotation_server.batches import BatchStore
from annotation_server.records import Order, Verdict
from curation.filtering.recommended import recommended
from curation.ranking import appearance
from db.engine import Catalogue, create
from db.models import Clip, Decision, Preview, Recipe, Score, Video
from db.states import ClipState, VideoState

BATCHES = 9


@dataclass(frozen=True, kw_only=True)
class Choosing:
    """Seconds until the first batch, and milliseconds for each of those that follow."""

    first: float
    following: list[float]


def choosing(folder: Path, order: str, *, clips: int = 100_000, decided: int = 5_000) -> Choosing:
    """Choose some batches of a review in which `decided` clips were judged before."""
    with create(folder) as catalogue:
        _fill(catalogue, clips, decided)
        ranker = ranker_of(order)
        batches = BatchStore(
            catalogue, annotator="ada", order=Order(order) if ranker is None else Order.RANKED, ranker=ranker
        )
        begin = time.perf_counter()
        batch = batches.take()
        first = time.perf_counter() - begin
        following = []
        for _ in range(BATCHES):
            assert batch is not None
            verdicts = {cell.position: Verdict(accepted=cell.position > 5, share_seen=1) for cell in batch.cells}
            batches.confirm(batch.id, verdicts, 10.0)
            begin = time.perf_counter()
            batch = batches.take()
            following.append(1000 * (time.perf_counter() - begin))
    return Choosing(first=first, following=following)


def _fill(catalogue: Catalogue, clips: int, decided: int) -> None:
    rng = np.random.default_rng(0)
    rule = recommended()
    bounds = {**rule.minimum, **rule.maximum}
    names = [f"c{number:07}" for number in range(clips)]
    bad = rng.random(clips) < 0.1
    looks = rng.standard_normal((clips, len(appearance.NAMES))).astype("<f4")
    looks[:, : len(looks[0]) // 2] += bad[:, None]
    looks = np.abs(looks)
    cells = rng.integers(0, 60, (clips, appearance.EDGES), np.uint8)
    with catalogue.writing() as session:
        session.add(Recipe(hash="0" * 64, kind="score", settings={}))
        session.flush()
        session.execute(insert(Video), [
            {"id": f"v{n:07}", "provider": "file", "provider_id": str(n), "source": str(n),
             "state": VideoState.DOWNLOADED}
            for n in range(0, clips, 10)
        ])  # fmt: skip
        shared = {"recipe_hash": "0" * 64, "start_pts": 0, "end_pts": 250, "time_base_num": 1, "time_base_den": 25}
        judged = ["rejected" if bad[n] else "accepted" for n in range(decided)]
        session.execute(insert(Clip), [
            {"id": clip, "video_id": f"v{n // 10 * 10:07}", "index": n % 10, "start": 12.0 * (n % 10),
             "end": 12.0 * (n % 10) + 10, "frame_count": 250,
             "state": judged[n] if n < decided else ClipState.PENDING, **shared}
            for n, clip in enumerate(names)
        ])  # fmt: skip
        for name, bound in sorted(bounds.items()):
            values = np.abs(rng.standard_normal(clips) * bound / 4) + (rng.random(clips) < 0.01) * bound
            session.execute(insert(Score), [
                {"clip_id": clip, "name": name, "value": float(value), "settings_hash": "0" * 64}
                for clip, value in zip(names, values, strict=True)
            ])  # fmt: skip
        session.execute(insert(Preview), [
            {"clip_id": clip, "path": "none", "width": 160, "height": 90, "fps": 10, "frames": 100,
             "appearance": look.tobytes() + edges.tobytes()}
            for clip, look, edges in zip(names, looks, cells, strict=True)
        ])  # fmt: skip
        session.execute(insert(Decision), [
            {"clip_id": clip, "annotator": "bob", "verdict": "reject" if bad[n] else "accept"}
            for n, clip in enumerate(names[:decided])
        ])  # fmt: skip
