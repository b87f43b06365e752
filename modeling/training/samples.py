"""What a run makes, to look at: input, generated and real clip side by side, a row a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modeling.config import Config
from modeling.data.examples import example
from modeling.data.windows import ClipSet
from modeling.inference import roll_out
from modeling.media.video import write_video
from modeling.networks import Generator
from modeling.training.collapse import motion_ratio

ROWS = 4  #            clips shown
COLUMNS = 3  #         in a row, where nothing is given
SMALLEST_SIDE = 128  # pixels of a shown frame; smaller ones are enlarged by whole factors
GAP = 4  #             pixels between frames


def write_sample(path: Path, generator: Generator, clips: ClipSet, config: Config) -> float | None:
    """Write `path` (MP4) with the first T frames of up to four clips spread over `clips`, the same at every step.

    A row shows what was given (its last frame held), what was generated and the real clip; where nothing is given,
    clips of one seed after the other. Returns `collapse.motion_ratio` of what was generated.
    """
    training = generator.training
    generator.eval()  # batch norm by its running statistics
    try:
        rows, fps = _rows(generator, clips, config)
    finally:
        generator.train(training)
    write_video(path, tiled(rows), fps=fps)
    if config.generator.context_frames:
        generated, real = [row[1] for row in rows], [row[2] for row in rows]
    else:
        generated = [clip for row in rows for clip in row]
        real = [clips.window(clip, 0, config.frames) for clip in _spread(clips)]
    return motion_ratio(generated, real, config.generator.context_frames)


def _spread(clips: ClipSet) -> list[int]:
    """Up to four clips from all over the split."""
    count = len(clips.clips)
    return [int(clip) for clip in np.linspace(0, count - 1, min(ROWS, count)).round()]


def _rows(generator: Generator, clips: ClipSet, config: Config) -> tuple[list[list[NDArray[np.uint8]]], float]:
    """The clips of each row, and frames a second."""
    frames, seed = config.frames, config.training.seed
    chosen = _spread(clips)
    fps = clips.clips[chosen[0]].fps or 25.0
    if not config.generator.context_frames:
        nothing_0HW3 = np.empty((0, config.resolution, config.resolution, 3), np.uint8)
        made = [roll_out(generator, nothing_0HW3, frames=frames, seed=seed + n) for n in range(ROWS * COLUMNS)]
        return [made[row : row + COLUMNS] for row in range(0, len(made), COLUMNS)], fps
    rows = []
    for clip in chosen:
        shown = example(clips, clip, config.generator, frames)
        generated_THW3 = roll_out(
            generator,
            shown.context,
            frames=frames,
            seed=seed if config.generator.random else None,
            labels_HW=shown.labels,
        )
        rows.append([shown.copied, generated_THW3, shown.real])
    return rows, fps


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
