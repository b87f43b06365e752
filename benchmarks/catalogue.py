"""How fast a full catalogue answers: status, a filter's dry run, the next annotation batch; and what takes longer.

    python benchmarks/catalogue.py [--videos 10000] [--clips 10] [--rounds 5] [--keep DIR] [--json]

Builds a catalogue of 10,000 videos and 100,000 clips with 12 scores each (about a minute), in all states, then runs
each command in fresh processes, in turns with an empty Python. The target is 0.5 s beyond Python's start.
"""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import Connection, insert

from db.engine import Catalogue, create
from db.models import Batch, BatchClip, Clip, Decision, Preview, Recipe, Score, Video
from db.recipes import recipe_hash
from db.states import ClipState, VideoState

TARGET = 0.5  # s beyond Python's start
BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
SCORES = (
    "variance", "hard_cuts", "dissolve", "fade", "letterbox", "camera_motion", "overlay", "black", "white", "frozen",
    "sharpness", "noise",
)  # fmt: skip
# Of 100 clips, in the order of the pipeline.
STATES = (
    *[ClipState.PLANNED] * 5, *[ClipState.SCORED] * 10, *[ClipState.FILTERED] * 20, *[ClipState.PENDING] * 40,
    *[ClipState.ACCEPTED] * 20, *[ClipState.REJECTED] * 5,
)  # fmt: skip
DRY_RUN = [
    "filter", "--dry-run", "--rule", "clean", "--min-variance", "0.001", "--max", "hard_cuts=0.5", "--max",
    "letterbox=0.2", "--max", "camera_motion=0.1", "--max", "overlay=0.3", "--max-per-scene", "3",
]  # fmt: skip
NEXT_BATCH = """
import sys
from pathlib import Path
from annotation_server.batches import BatchStore
from db.engine import open_catalogue
with open_catalogue(Path(sys.argv[1])) as catalogue:
    batch = BatchStore(catalogue, annotator="benchmark").take_ahead(after={after})
    assert len(batch.cells) == 25
"""


def build(folder: Path, videos: int, clips: int, *, seed: int = 0) -> Catalogue:
    """A catalogue of `videos` x `clips` clips in all states, with scores, previews, batches and decisions."""
    catalogue = create(folder)
    chance = random.Random(seed)
    cut = {"kind": "cut", "version": 1, "length": "10"}
    with catalogue.writing() as session:
        connection = session.connection()
        recipes = [{"hash": recipe_hash(cut), "kind": "cut", "settings": cut}]
        for name in SCORES:
            settings = {"kind": "score", "version": 1, "name": name}
            recipes.append({"hash": recipe_hash(settings), "kind": "score", "settings": settings})
        connection.execute(insert(Recipe), recipes)
        names = [_video_name(chance) for _ in range(videos)]
        _insert(connection, Video, (_video(name, number) for number, name in enumerate(names)))
        rows = [_clip(name, index, recipe_hash(cut), chance) for name in names for index in range(clips)]
        _insert(connection, Clip, iter(rows))
        settings_of = {recipe["settings"]["name"]: recipe["hash"] for recipe in recipes[1:]}
        measured = [row for row in rows if row["state"] != ClipState.PLANNED]
        _insert(connection, Score, (
            {"clip_id": row["id"], "name": name, "value": _score(name, chance), "settings_hash": settings_of[name],
             "created_at": BEGUN}
            for row in measured for name in SCORES
        ))  # fmt: skip
        shown = [row for row in rows if row["state"] in (ClipState.PENDING, ClipState.ACCEPTED, ClipState.REJECTED)]
        _insert(connection, Preview, (
            {"clip_id": row["id"], "path": f"previews/{row['id']}.mp4", "width": 160, "height": 90, "fps": 10.0,
             "frames": 100, "created_at": BEGUN}
            for row in shown
        ))  # fmt: skip
        _reviews(connection, [row for row in rows if row["state"] in (ClipState.ACCEPTED, ClipState.REJECTED)])
    return catalogue


def _video_name(chance: random.Random) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
    return "youtube-" + "".join(chance.choices(letters, k=11))


def _video(name: str, number: int) -> dict[str, Any]:
    return {
        "id": name, "provider": "youtube", "provider_id": name[8:], "title": f"Relaxing river, part {number}",
        "source": f"https://www.youtube.com/watch?v={name[8:]}", "channel": f"channel {number % 700}",
        "licence": ("Creative Commons Attribution", "Standard", None)[number % 3], "duration": 3600.0,
        "state": VideoState.FAILED if number % 20 == 19 else VideoState.DOWNLOADED,
        "error_class": "gone" if number % 20 == 19 else None,
        "error": "gone: Video unavailable" if number % 20 == 19 else None,
        "created_at": BEGUN + timedelta(seconds=number),
    }  # fmt: skip


def _clip(video: str, index: int, key: str, chance: random.Random) -> dict[str, Any]:
    state = chance.choice(STATES)
    reason = {"filtered": "rule default (version 1): variance 0.0004 < 0.001", "rejected": "rejected by ada"}.get(state)
    return {
        "id": f"{video}-{key[:6]}-{index:02d}", "video_id": video, "recipe_hash": key, "index": index,
        "start_pts": index * 512_000, "end_pts": (index + 1) * 512_000, "time_base_num": 1, "time_base_den": 51_200,
        "start": index * 10.0, "end": index * 10.0 + 10.0, "frame_count": 250, "state": state, "reason": reason,
        "scene": f"{video}-{key[:6]}-{index // 5 * 5:02d}" if chance.random() < 0.5 else None, "created_at": BEGUN,
    }  # fmt: skip


def _score(name: str, chance: random.Random) -> float:
    return chance.lognormvariate(-5.0, 1.5) if name == "variance" else chance.betavariate(1, 9)


def _reviews(connection: Connection, judged: list[dict[str, Any]]) -> None:
    batches = [judged[first : first + 25] for first in range(0, len(judged), 25)]
    _insert(connection, Batch, (
        {"id": number, "token": f"{number:032x}", "annotator": "ada", "state": "confirmed", "seconds": 20.0,
         "created_at": BEGUN, "shown_at": BEGUN + timedelta(seconds=25 * number),
         "confirmed_at": BEGUN + timedelta(seconds=25 * number + 20)}
        for number in range(1, len(batches) + 1)
    ))  # fmt: skip
    _insert(connection, BatchClip, (
        {"batch_id": number, "position": position, "clip_id": row["id"], "marked": row["state"] == ClipState.REJECTED}
        for number, batch in enumerate(batches, 1) for position, row in enumerate(batch)
    ))  # fmt: skip
    _insert(connection, Decision, (
        {"clip_id": row["id"], "batch_id": number, "annotator": "ada", "seconds": 20.0, "share_seen": 1.0,
         "verdict": "reject" if row["state"] == ClipState.REJECTED else "accept", "created_at": BEGUN}
        for number, batch in enumerate(batches, 1) for row in batch
    ))  # fmt: skip


def _insert(connection: Connection, table: type[Any], rows: Iterator[dict[str, Any]]) -> None:
    while chunk := list(itertools.islice(rows, 20_000)):
        connection.execute(insert(table), chunk)
