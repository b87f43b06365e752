"""How long the split, its verification, a prune's plan and a published manifest take on a full catalogue.

    python benchmarks/split.py [--videos 10000] [--clips 10] [--rounds 3]

Builds 10,000 videos with 100,000 accepted clips, decided, a third of them in groups, scenes and channels, all in one
recorded export (no files), and times each against the floor: reading the rows it needs, as plain tuples. Target: every
ratio is below 30 and nothing takes longer than 10 s.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sqlalchemy import delete, insert, select

from curation.publishing.publish import publish
from curation.publishing.published import write_published
from curation.publishing.rebuilding import add_published
from curation.splitting.split import SplitSettings, split_videos
from curation.upkeep.prune import prune
from curation.verifying.published import compare
from curation.verifying.rows import component_faults, decision_faults
from db.engine import Catalogue, create
from db.models import Clip, Decision, Export, ExportShard, Recipe, Shard, ShardClip, Split, Video
from db.recipes import recipe_hash

SECONDS, RATIO = 10.0, 30.0
CUT = {"kind": "cut", "version": 1}
EXPORT = {"kind": "export", "version": 1, "size": 128, "fit": "crop", "fps": "25", "codec": "raw"}


def build(folder: Path, videos: int, clips: int) -> Catalogue:
    """A catalogue of accepted clips; every third video shares a group, a scene or a channel with others."""
    chance = random.Random(0)
    catalogue = create(folder)
    cut, export, moment = recipe_hash(CUT), recipe_hash(EXPORT), datetime(2026, 1, 1, tzinfo=UTC)
    with catalogue.writing() as session:
        for key, settings in ((cut, CUT), (export, EXPORT)):
            session.execute(
                insert(Recipe), [{"hash": key, "kind": settings["kind"], "settings": settings, "created_at": moment}]
            )
        session.execute(
            insert(Video),
            [
                {
                    "id": f"web-{n:06d}", "provider": "web", "provider_id": f"{n}", "source": f"https://x.org/{n}",
                    "state": "downloaded", "path": f"videos/web-{n:06d}.mp4", "sha256": f"{n:064x}", "bytes": 1,
                    "cut_recipe": cut, "channel_id": f"UC{n // 5}", "group_key": f"g{n // 6}" if n % 6 < 2 else None,
                }
                for n in range(videos)
            ],
        )  # fmt: skip
        rows = [
            {
                "id": f"web-{n:06d}-{cut[:6]}-{k:02d}", "video_id": f"web-{n:06d}", "recipe_hash": cut, "index": k,
                "start_pts": k * 250, "end_pts": k * 250 + 250, "time_base_num": 1, "time_base_den": 25,
                "start": k * 10.0, "end": k * 10.0 + 10, "frame_count": 250, "state": "accepted",
                "scene": f"s{chance.randrange(videos)}" if chance.random() < 0.02 else None,
            }
            for n in range(videos)
            for k in range(clips)
        ]  # fmt: skip
        session.execute(insert(Clip), rows)
        session.execute(
            insert(Decision), [{"clip_id": row["id"], "annotator": "b", "verdict": "accept"} for row in rows]
        )
        session.execute(
            insert(Export),
            [{"version": 1, "recipe_hash": export, "manifest": "shards/manifest-1.json", "complete": True}],
        )
        shards = range(0, len(rows), 90)
        session.execute(
            insert(Shard),
            [
                {"id": n, "file": f"shards/train-{n:05d}.h5", "split": "train", "recipe_hash": export,
                 "sha256": f"{n:064x}", "bytes": 1, "frames": 1}
                for n in range(len(shards))
            ],
        )  # fmt: skip
        session.execute(insert(ExportShard), [{"version": 1, "shard_id": n} for n in range(len(shards))])
        session.execute(
            insert(ShardClip),
            [
                {"shard_id": n // 90, "position": n % 90, "clip_id": row["id"], "length": 250, "sha256": f"{n:064x}"}
                for n, row in enumerate(rows)
            ],
        )
    return catalogue


def read(catalogue: Catalogue, *tables: type) -> None:
    """The floor: all rows of some tables, as tuples."""
    with catalogue.engine.connect() as connection:
        for table in tables:
            connection.exec_driver_sql(f"SELECT * FROM {table.__tablename__}").fetchall()  # type: ignore[attr-defined]


def unsplit(catalogue: Catalogue) -> None:
    with catalogue.writing() as session:
        session.execute(delete(Split))


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=10_000)
    parser.add_argument("--clips", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        with build(place / "set", options.videos, options.clips) as catalogue, create(place / "other") as other:
            results = measure(catalogue, other, place / "published.json", options.rounds)
    print(f"{options.videos:,} videos, {options.videos * options.clips:,} clips; medians of {options.rounds}, s")
    print(f"{'what':<34}{'takes':>8}{'floor':>8}{'ratio':>8}")
    worst = True
    for name, (took, floor) in results.items():
        print(f"{name:<34}{took:8.2f}{floor:8.2f}{took / floor:8.1f}")
        worst &= took < SECONDS and took / floor < RATIO
    print(f"target: below {SECONDS:.0f} s and {RATIO:.0f} times the floor: {'met' if worst else 'MISSED'}")
    return 0 if worst else 1


def measure(catalogue: Catalogue, other: Catalogue, path: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Medians of (work, floor), in turns."""

    def leaks() -> None:
        with catalogue.reading() as session:
            component_faults(session, list(session.scalars(select(Export))))

    def decisions() -> None:
        with catalogue.reading() as session:
            assert decision_faults(session) == []

    def published() -> None:
        write_published(path, publish(catalogue).published)

    def add() -> None:
        with other.writing() as session:
            session.execute(delete(Video))
        add_published(other, path)

    jobs: dict[str, tuple[Callable[[], object], Callable[[], object], tuple[type, ...]]] = {
        "split --by-channel": (
            lambda: split_videos(catalogue, SplitSettings(by_channel=True)), lambda: unsplit(catalogue), (Clip, Video),
        ),
        "verify: leaks": (leaks, lambda: None, (Clip, Video, Split)),
        "verify: decisions": (decisions, lambda: None, (Decision,)),
        "prune --dry-run": (lambda: prune(catalogue, dry_run=True), lambda: None, (Clip, Video)),
        "manifest": (published, lambda: None, (Clip, Video, ShardClip)),
        "add --manifest": (add, lambda: None, (Clip, Video, ShardClip)),
        "verify --manifest": (
            lambda: compare(catalogue, publish(catalogue).published), lambda: None, (Clip, Video, ShardClip),
        ),
    }  # fmt: skip
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, (work, before, tables) in jobs.items():
            before()
            times[name].append((timed(work), timed(lambda tables=tables: read(catalogue, *tables))))  # type: ignore[misc]
    return {
        name: (statistics.median(took for took, _ in pairs), statistics.median(floor for _, floor in pairs))
        for name, pairs in times.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
