"""A small shards folder of moving sine textures, for the tests of what stands around the networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardEntry
from db.shards import RAW, ClipRow, Codec, write_manifest, write_shard

RECIPE = {"made_by": "tests", "size": 32}


def texture_clip(seed: int, length: int, side: int) -> NDArray[np.uint8]:
    """(length, side, side, 3): two travelling waves within a band that is the clip's own; the rest stands still."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:side, 0:side] / side
    angle, speed, waves = rng.uniform(0, np.pi), rng.uniform(0.05, 0.2), rng.uniform(2, 4)
    along = 2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle))
    low = rng.uniform(0.2, 0.5)
    moving = ((y > low) & (y < low + 0.4)).astype(float)
    frames = []
    for t in range(length):
        wave = np.sin(along + 2 * np.pi * speed * t * moving) + 0.5 * np.sin(2 * along - 2 * np.pi * speed * t * moving)
        frames.append(np.stack([128 + 60 * wave, 110 + 50 * wave + 30 * y, 90 + 60 * x], axis=-1))
    return np.asarray(np.clip(frames, 0, 255), np.uint8)


def write_textures(
    folder: Path,
    splits: Mapping[str, Sequence[Sequence[int]]],
    *,
    side: int = 32,
    fps: float = 25.0,
    version: int = 1,
    codec: Codec = RAW,
    clip: Callable[[int, int, int], NDArray[np.uint8]] = texture_clip,
    per_video: int = 1,
) -> Path:
    """Shards of clips with the given lengths, `{split: [lengths of each shard's clips]}`, and their manifest.

    clip: makes the frames of a seed, a length and a side. per_video: clips in a row that are of one video.
    """
    folder.mkdir(parents=True, exist_ok=True)
    entries, seed = [], 0
    for split, shards in splits.items():
        for number, lengths in enumerate(shards):
            rows, clips = [], []
            for length in lengths:
                seed += 1
                rows.append(
                    ClipRow(
                        id=f"{split}-{seed}",
                        video_id=f"video-{(seed - 1) // per_video}",
                        source_url=f"https://example.org/{seed}",
                        start=0.0,
                        end=length / fps,
                        fps=fps,
                        length=length,
                    )
                )
                clips.append(clip(seed, length, side))
            path = folder / f"{split}-{number:05d}.h5"
            info = write_shard(
                path,
                split=split,
                height=side,
                width=side,
                fps=fps,
                recipe=RECIPE,
                rows=rows,
                clips=clips,
                codec=codec,
            )
            entries.append(
                ShardEntry(
                    file=path.name,
                    split=split,
                    sha256=info.sha256,
                    bytes=info.bytes,
                    clips=len(rows),
                    frames=info.frames,
                    clip_ids=tuple(row.id for row in rows),
                )
            )
    write_manifest(folder, version=version, recipe=RECIPE, tools={"tests": "1"}, shards=entries)
    return folder
