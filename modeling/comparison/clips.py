"""Clips of runs side by side, as Fig. 4.2, 4.4 and 4.5: the real one first, then what each run makes of its start.

Shapes: T frames, R side of the frames, C chosen frames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from modeling.comparison.evaluations import Evaluation
from modeling.data.conditions import open_for
from modeling.data.examples import Example, example
from modeling.data.windows import ClipSet
from modeling.errors import UsageError
from modeling.evaluation.sources import seed_of
from modeling.inference import Trained, load_trained, roll_out
from modeling.training.seeding import derived

U8 = NDArray[np.uint8]
CELL = 128  # pixels of a shown frame's side
GAP = 4
PALETTE = np.array(
    [(40, 40, 40), (0, 158, 115), (86, 180, 233), (230, 159, 0), (204, 121, 167), (0, 114, 178), (213, 94, 0)], np.uint8
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A clip in a row: (T, R, R, 3), its input (R, R, 3), and its label map where the model takes one."""

    title: str
    clip: U8
    input: U8
    labels: U8 | None


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A held-out clip, and what the runs make of it."""

    id: str
    rows: Sequence[Shown]


@dataclass(frozen=True, kw_only=True)
class _Player:
    evaluation: Evaluation
    trained: Trained
    clips: ClipSet
    frames: int

    @property
    def index(self) -> dict[str, int]:
        count = int(self.evaluation.protocol["n"])
        return {clip.id: number for number, clip in enumerate(self.clips.clips[:count])}

    def example(self, clip: str) -> Example:
        return example(self.clips, self.index[clip], self.trained.config.generator, self.frames)

    def made(self, shown: Example, clip: str, frames: int) -> U8:
        """As evaluate makes it: the same seed, so that these are the clips that were scored."""
        noise = seed_of(int(self.evaluation.protocol["seed"]), 0, self.index[clip])
        seed = None if self.trained.deterministic else noise
        return roll_out(self.trained.generator, shown.context, frames=frames, seed=seed, labels_HW=shown.labels)


def make_scenes(
    evaluations: Sequence[Evaluation],
    data: Path,
    *,
    chosen: Sequence[int],
    count: int,
    seed: int,
    device: torch.device,
    force: bool,
    say: Callable[[str], None],
) -> list[Scene]:
    """`count` clips that all runs were scored on, chosen by `seed`, with what each run makes of them.

    UsageError where `data` is not what was evaluated (without `force`), or the runs share no clip.
    """
    with contextlib.ExitStack() as stack:
        players = []
        for one in evaluations:
            trained, frames = load_trained(one.run, device), int(one.protocol["frames"])
            if trained.context_frames == 0:
                raise UsageError(f"{one.run} is unconditional: it has no strips beside real clips; leave out --data")
            if trained.step != one.protocol.get("step"):
                say(f"{one.name}: clips are of step {trained.step}, numbers of step {one.protocol.get('step')}")
            clips = open_for(trained.config, data, str(one.protocol["split"]), frames=frames)
            for reader in clips.readers:
                stack.callback(reader.close)
            if clips.recipe_hash != one.protocol.get("data_recipe_hash") and not force:
                raise UsageError(f"{data} is not the data that {one.file} was made with: give that, or --force")
            players.append(_Player(evaluation=one, trained=trained, clips=clips, frames=frames))
        shared = sorted(set.intersection(*(set(player.index) for player in players)))
        if not shared:
            raise UsageError(f"{data}: no clip was scored of all runs; leave out --data to have the numbers alone")
        order = np.random.Generator(np.random.Philox(derived(seed, "comparison"))).permutation(len(shared))
        return [_scene(players, shared[number], max(chosen) + 1) for number in order[:count]]


def _scene(players: Sequence[_Player], clip: str, longest: int) -> Scene:
    rows: list[Shown] = []
    reals: list[tuple[str, U8]] = []
    made: list[Shown] = []
    for player in players:
        shown = player.example(clip)
        given = shown.context[-1]
        name = player.evaluation.name
        # Runs whose input begins elsewhere (a label map) or has another size have a real row of their own.
        if not any(_alike(real, shown.real) for _, real in reals):
            title = "real" if not reals else f"real, as {name} is shown it"
            reals.append((title, shown.real))
            rows.append(Shown(title=title, clip=shown.real, input=given, labels=None))
        frames = max(longest, player.frames)
        made.append(Shown(title=name, clip=player.made(shown, clip, frames), input=given, labels=shown.labels))
    return Scene(id=clip, rows=[*rows, *made])


def _alike(a: U8, b: U8) -> bool:
    frames = min(len(a), len(b))
    return a.shape[1:] == b.shape[1:] and np.array_equal(a[:frames], b[:frames])


def scaled(frame_HW3: U8) -> U8:
    """A frame as it is shown, (CELL, CELL, 3): small ones keep their pixels' edges."""
    way = cv2.INTER_NEAREST if frame_HW3.shape[0] <= CELL else cv2.INTER_AREA
    return np.asarray(cv2.resize(frame_HW3, (CELL, CELL), interpolation=way), np.uint8)


def coloured(labels_HW: U8) -> U8:
    """A label map in colours, (H, W, 3); class 0, what stands still, is dark."""
    return PALETTE[labels_HW % len(PALETTE)]


def strip(shown: Shown, chosen: Sequence[int], *, masked: bool) -> U8:
    """Input, label map (where any row has one) and the chosen frames side by side; grey where the clip has ended."""
    blank = np.full((CELL, CELL, 3), 128, np.uint8)
    cells = [scaled(shown.input)]
    if masked:
        cells.append(blank if shown.labels is None else scaled(coloured(shown.labels)))
    cells += [scaled(shown.clip[index]) if index < len(shown.clip) else blank for index in chosen]
    gap = np.full((CELL, GAP, 3), 255, np.uint8)
    return np.concatenate([part for cell in cells for part in (cell, gap)][:-1], axis=1)


def headings(chosen: Sequence[int], *, masked: bool) -> list[str]:
    """What stands over the cells of `strip`."""
    return ["input", *(["label map"] if masked else []), *(f"frame {index}" for index in chosen)]
