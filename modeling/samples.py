"""What a run makes, to look at: input, generated and real clip side by side, a row a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modeling.config import Config
from modeling.data import ClipSet
from modeling.inference import roll_out
from modeling.networks import Generator
from modeling.video import write_video

ROWS = 4  #            clips shown
SMALLEST_SIDE = 128  # pixels of a shown frame; smaller ones are enlarged by whole factors
GAP = 4  #             pixels between frames


def write_sample(path: Path, generator: Generator, clips: ClipSet, config: Config) -> None:
    """Write `path` (MP4) with the first T frames of up to four clips spread over `clips`, the same at every step."""
    chosen = np.linspace(0, len(clips.clips) - 1, min(ROWS, len(clips.clips))).round().astype(int).tolist()
    rows = []
    for clip in chosen:
        real_THW3 = clips.window(clip, 0, config.frames)
        seed = config.training.seed if config.generator.noise else None
        generated_THW3 = roll_out(generator, real_THW3[:1], frames=config.frames, seed=seed)
        still_THW3 = np.broadcast_to(real_THW3[:1], real_THW3.shape)
        rows.append([still_THW3, generated_THW3, real_THW3])
    write_video(path, tiled(rows), fps=clips.clips[chosen[0]].fps or 25.0)


def tiled(rows: list[list[NDArray[np.uint8]]]) -> NDArray[np.uint8]:
    """Clips (T, R, R, 3) of a grid of rows as one, with gaps: (T, rows * (S + GAP) - GAP, ..., 3), S the shown side."""
    frames, side = rows[0][0].shape[:2]
    factor = max(1, SMALLEST_SIDE // side)
    shown, pitch = side * factor, side * factor + GAP
    canvas = np.zeros((frames, len(rows) * pitch - GAP, len(rows[0]) * pitch - GAP, 3), np.uint8)
    for y, row in enumerate(rows):
        for x, clip in enumerate(row):
            enlarged = clip.repeat(factor, axis=1).repeat(factor, axis=2)
            canvas[:, y * pitch : y * pitch + shown, x * pitch : x * pitch + shown] = enlarged
    return canvas
