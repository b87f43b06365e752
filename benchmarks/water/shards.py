"""Scenes to splits to shards: the same numbers give the same bytes, and a scene's clips never stand in two splits."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from benchmarks.water.scene import kind_of, render
from db.shards import SPLITS, ClipRow, ShardEntry, write_manifest, write_shard

FPS = 25.0
SHARES = {"train": 0.75, "val": 0.05, "test": 0.20}  # of the scenes; test is large, for its distribution is scored
DRAWING = 1  # a new number where the same seed draws other pictures than before


def scenes_of_splits(scenes: int) -> dict[str, range]:
    """Numbers of the scenes of each split: one or more each. ValueError for fewer than one a split."""
    if scenes < len(SPLITS):
        raise ValueError(f"{scenes} scenes cannot fill {len(SPLITS)} splits: ask for more clips")
    val, test = (max(1, round(SHARES[split] * scenes)) for split in ("val", "test"))
    bounds = [0, scenes - val - test, scenes - test, scenes]
    return {split: range(bounds[number], bounds[number + 1]) for number, split in enumerate(SPLITS)}


def write_water(
    folder: Path,
    *,
    side: int,
    clips: int,
    frames: int,
    takes: int,
    seed: int,
    done: Callable[[int, int], None] = lambda clip, clips: None,
) -> dict[str, int]:
    """Write `clips` clips, `takes` of each scene, into `folder`; clips a split. `done` is told (clips done, in all).

    The folder must be new or empty (ValueError), and is removed again where the drawing was stopped half-way.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: choose another --out, or remove it")
    scenes = -(-clips // takes)
    recipe = {
        "made_by": "benchmarks.water", "drawing": DRAWING, "seed": seed, "size": side, "frames": frames, "takes": takes,
        "clips": clips,
    }  # fmt: skip
    counts, entries, drawn = {}, [], 0
    splits = scenes_of_splits(scenes)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for split, numbers in splits.items():
            names = [(scene, take) for scene in numbers for take in range(takes) if scene * takes + take < clips]
            rows, pictures = [], []
            for scene, take in names:
                number = seed * 1_000_000 + scene
                start = take * frames / FPS
                rows.append(
                    ClipRow(
                        id=f"water-{number}-{take}", video_id=f"water-{number}", label=kind_of(number),
                        source_url=f"urn:stillflow:water:{number}", start=start, end=start + frames / FPS, fps=FPS,
                        length=frames,
                    )
                )  # fmt: skip
                pictures.append(render(number, take, frames, side))
                drawn += 1
                done(drawn, clips)
            path = folder / f"{split}-00000.h5"
            info = write_shard(
                path, split=split, height=side, width=side, fps=FPS, recipe=recipe, rows=rows, clips=pictures
            )
            entries.append(
                ShardEntry(
                    file=path.name, split=split, sha256=info.sha256, bytes=info.bytes, clips=len(rows),
                    frames=info.frames, clip_ids=tuple(row.id for row in rows),
                )
            )  # fmt: skip
            counts[split] = len(rows)
        write_manifest(folder, version=1, recipe=recipe, tools={"stillflow": version("stillflow")}, shards=entries)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return counts
