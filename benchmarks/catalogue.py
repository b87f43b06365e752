"""How fast a full catalogue answers: status, a filter's dry run, the next annotation batch; and what takes longer.

    python benchmarks/catalogue.py [--videos 10000] [--clips 10] [--rounds 5] [--keep DIR] [--json]

Builds a catalogue of 10,000 videos and 100,000 clips with 12 scores each (about a minute), in all states, then runs
each command in fresh processes, in turns with an empty Python. The target is 0.5 s beyond Python's start.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import Connection, delete, insert, update

from curation.exporting.plan import plan_export, wanted_clips
from curation.exporting.recipe import ExportRecipe
from curation.filtering.judging import apply, judge
from curation.filtering.rules import Rule, SavedRule
from curation.preview import LEFT as PREVIEWS_LEFT
from curation.splitting.split import SplitSettings, split_videos
from db.engine import CATALOGUE, Catalogue, create, open_catalogue
from db.leases import Claims
from db.models import Batch, BatchClip, Clip, Decision, Preview, Recipe, Score, Video
from db.recipes import recipe_hash
from db.states import ClipState, VideoState

ROOT = Path(__file__).parents[1]
TARGET = 0.5  # s beyond Python's start
CLAIMS = 1000
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
from curation.commands import load
BatchStore = load("annotation_server.batches").BatchStore  # as the command loads it
from db.engine import open_catalogue
with open_catalogue(Path(sys.argv[1])) as catalogue:
    store = BatchStore(catalogue, annotator="benchmark")
    batch = store.take_ahead(after=0)
    assert batch is not None and len(batch.cells) == 25
    store.release_unseen()
"""
CURATE = "import sys; from curation.commands import main; sys.argv[0] = 'curate'; main()"


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


def beyond_start(folder: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Medians, in s, of what each command takes longer than an empty Python: by the clock, and of processor time, which
    a busy machine changes less. All in turns, each in a new process."""
    dataset = ["--dataset", str(folder)]
    commands = {
        "empty": ["-c", "pass"],
        "status": ["-c", CURATE, "status", *dataset],
        "filter --dry-run, 6 conditions": ["-c", CURATE, *DRY_RUN, *dataset],
        "next annotation batch": ["-c", NEXT_BATCH, str(folder)],
    }
    clock: dict[str, list[float]] = {name: [] for name in commands}
    processor: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, arguments in commands.items():
            before, began = _children_seconds(), time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
            if number:  # the first round fills caches
                clock[name].append(time.perf_counter() - began)
                processor[name].append(_children_seconds() - before)
    medians = {name: (statistics.median(clock[name]), statistics.median(processor[name])) for name in commands}
    empty = medians.pop("empty")
    return {name: (value[0] - empty[0], value[1] - empty[1]) for name, value in medians.items()}


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def longer(folder: Path) -> dict[str, float]:
    """Seconds of what has no limit, once each, on the same catalogue; changes it."""
    seconds = {}
    began = time.perf_counter()
    listing = [sys.executable, "-c", CURATE, "status", "--json", "--dataset", str(folder)]
    subprocess.run(listing, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    seconds["status --json, in a process of its own"] = time.perf_counter() - began
    with open_catalogue(folder) as catalogue:
        rule = SavedRule(name="default", version=1, rule=Rule(minimum={"variance": 0.01}))
        began = time.perf_counter()
        with catalogue.writing() as session:
            verdicts = judge(session, [rule])
            apply(session, verdicts)
        moved = len(verdicts.newly_kept) + len(verdicts.newly_filtered)
        seconds[f"filter that moves {moved:,} clips"] = time.perf_counter() - began
        with catalogue.writing() as session:
            session.execute(update(Clip).values(state=ClipState.PENDING))
            session.execute(update(Video).values(state=VideoState.DOWNLOADED))
            session.execute(delete(Preview))
        claims = Claims(catalogue, "preview", PREVIEWS_LEFT, "benchmark:1:0")
        began = time.perf_counter()
        for _ in range(CLAIMS):
            assert claims.take(1)
        seconds["a claim, all clips being left"] = (time.perf_counter() - began) / CLAIMS
        with catalogue.writing() as session:
            session.execute(update(Clip).values(state=ClipState.ACCEPTED))
        began = time.perf_counter()
        split_videos(catalogue, SplitSettings())
        seconds["split of all clips"] = time.perf_counter() - began
        recipe = ExportRecipe()
        began = time.perf_counter()
        with catalogue.reading() as session:
            plan_export(session, folder, recipe, wanted_clips(session, recipe), 2**30)
        seconds["export plan of all clips"] = time.perf_counter() - began
    return seconds


def main() -> None:
    """Print the table, or the seconds as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--clips", type=int, default=10, help="of each video")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="build the catalogue there and leave it")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary) / "dataset"
        if (folder / CATALOGUE).exists():
            sys.exit(f"{folder} holds a catalogue already")
        began = time.perf_counter()
        build(folder, options.videos, options.clips).close()
        built = time.perf_counter() - began
        limited = beyond_start(folder, options.rounds)
        others = longer(folder)
    if options.json:
        print(json.dumps({"beyond_start": limited, "longer": others}))
        return
    number = options.videos * options.clips
    print(f"{number:,} clips of {options.videos:,} videos, {len(SCORES)} scores each; built in {built:.0f} s")
    print(f"{'':40}{'s':>8}{'target':>8}{'ratio':>7}{'CPU s':>8}")
    for name, (seconds, used) in limited.items():
        verdict = "" if seconds <= TARGET else "  missed"
        print(f"{name:40}{seconds:8.3f}{TARGET:8.1f}{seconds / TARGET:7.2f}{used:8.3f}{verdict}")
    print("without a limit:")
    for name, seconds in others.items():
        print(f"{name:40}{seconds:8.3f}")


if __name__ == "__main__":
    main()
