"""Shards of moving textures with label maps of what moves beside some frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from db.manifest import ShardEntry
from db.shards import ClipRow, Side, write_manifest, write_shard
from tests.modeling.moving_textures import texture_clip

RECIPE = {"made_by": "tests", "masks": "motion"}
SIDE = 32


def motion_labels(clip_THW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W): 1 where a pixel changes, 0 where it stands still."""
    return (clip_THW3.std(axis=0).max(axis=-1) > 0).astype(np.uint8)


def write_masked(
    folder: Path, splits: Mapping[str, Sequence[tuple[int, Sequence[int]]]], *, add: int = 0
) -> dict[str, list[NDArray[np.uint8]]]:
    """One shard a split of clips (length, masked frames) and the manifest; a split's clips. `add` is put on labels."""
    folder.mkdir(parents=True, exist_ok=True)
    entries, made, seed = [], {}, 100
    for split, wanted in splits.items():
        rows, clips, sides = [], [], []
        for length, masked in wanted:
            seed += 1
            rows.append(
                ClipRow(
                    id=f"{split}-{seed}",
                    video_id=f"v{seed}",
                    source_url="",
                    start=0.0,
                    end=length / 25,
                    fps=25.0,
                    length=length,
                    side="masks" if masked else "",
                )
            )
            clips.append(texture_clip(seed, length, SIDE))
            # A corner pixel tells frames apart: its label is 1 beside odd frames alone.
            labels = [motion_labels(clips[-1]) + np.uint8(add) for _ in masked]
            for frame, label in zip(masked, labels, strict=True):
                label[0, 0] = frame % 2
            sides.append(
                Side(mask_frames=tuple(masked), labels=np.stack(labels) if labels else np.zeros((0, 0, 0), np.uint8))
            )
        path = folder / f"{split}-00000.h5"
        info = write_shard(
            path, split=split, height=SIDE, width=SIDE, fps=25.0, recipe=RECIPE, rows=rows, clips=clips, sides=sides
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
        made[split] = clips
    write_manifest(folder, version=1, recipe=RECIPE, tools={"tests": "1"}, shards=entries)
    return made
