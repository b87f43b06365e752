"""A data set drawn from a pool of clips with planted faults, and a curator who reviews it without an error.

The data set is a real one: rows of videos, clips, scores, fingerprints and previews, copied from the pool under new
ids in a new order; the scenes are found anew. The review goes through the grid's own `BatchStore`: a batch is shown,
the next one is made ahead, then the curator confirms. So a model has always learned from all batches but the last.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from review_pool import SPACING, Pool, PoolClip
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from annotation_server.batches import PROPOSED, BatchStore
from annotation_server.records import Order, Verdict
from curation.filtering.judging import apply, judge
from curation.filtering.recommended import recommended
from curation.filtering.rules import proposed, store
from curation.ranking.ranker import LearningRanker, SuspicionRanker
from curation.ranking.suspicion import Bounds
from curation.scores.scenes import update_scenes
from db.engine import Catalogue, create, open_catalogue
from db.models import Clip, Fingerprint, Preview, Recipe, Score, Video
from db.states import ClipState, VideoState

ORDERS = ("random", "time", "suspicious", "learned")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def draw(clips: Sequence[PoolClip], good: int, faulty: int, seed: int) -> list[PoolClip]:
    """Some good and some faulty clips of a pool, each duplicate with the clip that it repeats."""
    rng = np.random.default_rng([seed, 99])
    known = {clip.clip_id: clip for clip in clips}
    bad = [clip for clip in clips if clip.fault is not None]
    well = [clip for clip in clips if clip.fault is None]
    if len(bad) < faulty or len(well) < good:
        raise ValueError(f"the pool has {len(well)} good and {len(bad)} faulty clips, not {good} and {faulty}")
    chosen = [bad[number] for number in rng.choice(len(bad), faulty, replace=False)]
    needed = [known[clip.of] for clip in chosen if clip.of is not None]
    rest = [clip for clip in well if clip not in needed]
    return chosen + needed + [rest[number] for number in rng.choice(len(rest), good - len(needed), replace=False)]


def build(pool: Pool, drawn: Sequence[PoolClip], folder: Path, seed: int, *, filtered: bool = False) -> dict[str, str]:
    """Make the data set; with `filtered`, the recommended rule was applied to it.

    Returns its faulty clips under review with their faults.
    """
    rng = np.random.default_rng([seed, 100])
    videos = sorted({clip.video_id for clip in drawn})
    rank = dict(zip(videos, map(int, rng.permutation(len(videos))), strict=True))
    homes = {clip.clip_id: clip.video_id for clip in drawn}
    for clip in drawn:  # another upload of a video comes after it
        if clip.of is not None and rank[clip.video_id] < rank[homes[clip.of]]:
            rank[clip.video_id], rank[homes[clip.of]] = rank[homes[clip.of]], rank[clip.video_id]
    places: dict[str, int] = {}
    names: dict[str, tuple[str, str, int]] = {}  # the pool's clip -> new clip, new video, index
    # Names say nothing of the order in time, nor of what was planted.
    codes = rng.permutation(len(videos))
    for number in rng.permutation(len(drawn)):
        clip = drawn[int(number)]
        index = places[clip.video_id] = places.get(clip.video_id, -1) + 1
        video = f"v{codes[rank[clip.video_id]]:04}"
        names[clip.clip_id] = (f"{video}-{index}", video, index)
    shutil.rmtree(folder, ignore_errors=True)
    with create(folder) as catalogue:
        with pool.catalogue.reading() as source, catalogue.writing() as session:
            _copy(source, session, pool, names, {names[c.clip_id][1]: rank[c.video_id] for c in drawn}, filtered)
        update_scenes(catalogue)
        if filtered:
            with catalogue.writing() as session:
                rules = proposed([], "recommended", recommended())
                store(session, rules)
                apply(session, judge(session, rules))
        with catalogue.reading() as session:
            shown = set(session.scalars(select(Clip.id).where(Clip.state == ClipState.PENDING)))
    bad = {names[clip.clip_id][0]: clip.fault for clip in drawn if clip.fault is not None}
    return {clip: fault for clip, fault in bad.items() if clip in shown}


def _copy(
    source: Session, session: Session, pool: Pool, names: dict[str, tuple[str, str, int]], rank: dict[str, int],
    filtered: bool,
) -> None:  # fmt: skip
    def rows(table: Any, *, own: str = "clip_id") -> list[dict[str, Any]]:
        found = source.execute(select(table.__table__)).mappings()
        return [dict(row) for row in found if row[own] in names]

    session.execute(insert(Recipe), [dict(row) for row in source.execute(select(Recipe.__table__)).mappings()])
    session.execute(insert(Video), [
        {"id": video, "provider": "file", "provider_id": video, "source": video, "state": VideoState.DOWNLOADED,
         "created_at": BEGAN + timedelta(minutes=number)}
        for video, number in rank.items()
    ])  # fmt: skip
    state = ClipState.SCORED if filtered else ClipState.PENDING
    clips = []
    for row in rows(Clip, own="id"):
        clip, video, index = names[row["id"]]
        length = row["end"] - row["start"]
        clips.append(
            {**row, "id": clip, "video_id": video, "index": index, "start": SPACING * index,
             "end": SPACING * index + length, "scene": None, "state": state,
             "path": str(pool.catalogue.path(row["path"]))}
        )  # fmt: skip
    session.execute(insert(Clip), clips)
    for table in (Score, Fingerprint, Preview):
        copied = [{**row, "clip_id": names[row["clip_id"]][0]} for row in rows(table)]
        for row in copied:
            if table is Preview:
                row["path"] = str(pool.catalogue.path(row["path"]))
        session.execute(insert(table), copied)


@dataclass(kw_only=True)
class Review:
    """One simulated review. `found[n]`: faults among the clips of the first n + 1 batches."""

    order: str
    clips: int = 0
    faults: int
    found: list[int] = field(default_factory=list)
    corrections: list[int] = field(default_factory=list)  # clicks so far if what is proposed was preselected
    wrong: int = 0  # good clips that were proposed
    choosing: list[float] = field(default_factory=list)  # ms, of each batch
    told: list[tuple[float | None, float | None]] = field(default_factory=list)  # precision, recall, of each batch
    late: list[tuple[int, str]] = field(default_factory=list)  # batch and fault, of each fault in the order found

    def batches_until(self, share: float) -> int:
        """How many batches it takes until this share of the faults is found."""
        wanted = int(np.ceil(share * self.faults - 1e-9))
        return 1 + next(number for number, found in enumerate(self.found) if found >= wanted)

    def clicks_until(self, share: float, *, preselected: bool = False) -> int:
        """How many clicks on cells that takes; with `preselected`, what is proposed is marked beforehand."""
        batches = self.batches_until(share)
        return self.corrections[batches - 1] if preselected else self.found[batches - 1]


def ranker_of(order: str) -> SuspicionRanker | None:
    """As `curate annotate --order` makes it."""
    rule = recommended()
    bounds = Bounds(minimum=rule.minimum, maximum=rule.maximum)
    return {"suspicious": SuspicionRanker, "learned": LearningRanker}[order](bounds) if order in ORDERS[2:] else None


def review(folder: Path, bad: dict[str, str], order: str, seed: int) -> Review:
    """Review all of a fresh copy of a data set, 25 clips a batch: every clip of `bad` is rejected, all else kept."""
    copy = folder.with_name(f"{folder.name}-{order}")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder, copy)
    with open_catalogue(copy) as catalogue:
        result = _review(catalogue, bad, order, seed)
    shutil.rmtree(copy)
    return result


def _review(catalogue: Catalogue, bad: dict[str, str], order: str, seed: int) -> Review:
    ranker = ranker_of(order)
    batches = BatchStore(
        catalogue,
        annotator=f"curator {seed}",
        order=Order(order) if ranker is None else Order.RANKED,
        ranker=ranker,
    )
    result = Review(order=order, faults=len(bad))
    found = corrections = 0
    batch = batches.take()
    while batch is not None:
        begin = time.perf_counter()
        batches.take_ahead(batch.id)
        result.choosing.append(1000 * (time.perf_counter() - begin))
        verdicts = {cell.position: Verdict(accepted=cell.clip_id not in bad, share_seen=1) for cell in batch.cells}
        batches.confirm(batch.id, verdicts, 10.0)
        result.clips += len(batch.cells)
        for cell in batch.cells:
            guessed = cell.suggestion is not None and cell.suggestion >= PROPOSED
            found += cell.clip_id in bad
            result.wrong += guessed and cell.clip_id not in bad
            corrections += guessed != (cell.clip_id in bad)
            if cell.clip_id in bad:
                result.late.append((len(result.found), bad[cell.clip_id]))
        result.found.append(found)
        result.corrections.append(corrections)
        held = ranker.held_out if isinstance(ranker, LearningRanker) else None
        result.told.append((held.precision, held.recall) if held else (None, None))
        batch = batches.take()
    assert found == len(bad), f"{found} of {len(bad)} faults came up"
    return result


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))
