"""Clips of runs side by side, as Fig. 4.2, 4.4 and 4.5: the real one first, then what each run makes of its start.

Shapes: T frames, R side of the frames, C chosen frames.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from db.shards import read_manifest
from modeling.comparison.differences import groups
from modeling.comparison.evaluations import Evaluation
from modeling.data.conditions import open_for
from modeling.data.examples import Example, example
from modeling.data.windows import ClipSet, open_clips
from modeling.errors import UsageError
from modeling.evaluation.samples import match, read_video, video_of
from modeling.evaluation.sources import data_hash_of, digest_of, seed_of
from modeling.inference import Trained, load_trained, roll_out
from modeling.options.generator import GeneratorConfig
from modeling.runs.folder import RunFolder
from modeling.training.seeding import derived

U8 = NDArray[np.uint8]
CELL = 128  # pixels of a shown frame's side
GAP = 4
UNSCORED = "(step {step}: not the clips that were scored)"
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
    """Who shows clips: a run, or a folder of samples."""

    title: str
    evaluation: Evaluation
    clips: ClipSet
    options: GeneratorConfig | None  # of the run's generator
    made: Callable[[Example, str, int], U8]  # of an example, a clip's id, and how many frames

    @property
    def index(self) -> dict[str, int]:
        return _index(self.clips)

    def example(self, clip: str) -> Example:
        facts, number = self.evaluation.protocol, self.index[clip]
        if self.options is not None:
            return example(self.clips, number, self.options, int(facts["frames"]))
        real = self.clips.window(number, 0, int(facts["frames"]))
        return Example(real=real, given=int(facts["context_frames"]), labels=None)


def make_scenes(
    evaluations: Sequence[Evaluation],
    data: Sequence[Path],
    *,
    chosen: Sequence[int],
    count: int,
    seed: int,
    device: torch.device,
    force: bool,
    say: Callable[[str], None],
) -> list[Scene]:
    """`count` clips of each data set that all runs were scored on, chosen by `seed`, with what each run makes of them.

    UsageError where none of `data` is what was evaluated, or a run's clips would not be those that were scored (both
    without `force`), or the runs share no clip.
    """
    scenes = []
    for group in groups(evaluations):
        with contextlib.ExitStack() as stack:
            players: list[_Player] = []
            for one in group:
                folder = _data_of(one, data, force=force)
                for player in _players(one, folder, device, force=force, say=say):
                    for reader in player.clips.readers:
                        stack.callback(reader.close)
                    players.append(player)
            if not players:
                continue
            shared = sorted(set.intersection(*(set(player.index) for player in players)))
            if not shared:
                names = ", ".join(one.name for one in group)
                raise UsageError(f"no clip was scored of all of {names}; leave out --data to have the numbers alone")
            order = np.random.Generator(np.random.Philox(derived(seed, "comparison"))).permutation(len(shared))
            scenes += [_scene(players, shared[number], max(chosen) + 1) for number in order[:count]]
    return scenes


def _data_of(one: Evaluation, data: Sequence[Path], *, force: bool) -> Path:
    for folder in data:
        if not folder.is_dir():
            continue
        known = None if one.protocol.get("data_hash") is None else data_hash_of(folder, str(one.protocol["split"]))
        if one.is_of(read_manifest(folder).recipe_hash, known):
            return folder
    if force:
        return data[0]
    given = ", ".join(map(str, data))
    raise UsageError(f"{given} is not the data that {one.file} was made with: give that with --data too, or --force")


def _players(
    one: Evaluation, data: Path, device: torch.device, *, force: bool, say: Callable[[str], None]
) -> Iterator[_Player]:
    facts, rows = one.protocol, one.report["metrics"]
    samples = None if facts.get("samples") is None else Path(str(facts["samples"]))
    if samples is not None and not samples.is_dir():  # they also said which clips were scored
        say(f"{one.name}: no clips are shown, as its samples, {samples}, are not there (seen from this folder)")
        return
    if "model" in rows and one.run is None:
        say(f"{one.name}: {one.file} lies in no run folder, so that the run's clips are not shown")
    elif "model" in rows:
        trained, remark = _trained(one, device, force=force, say=say)
        if trained.context_frames == 0:
            raise UsageError(f"{one.run} is unconditional: it has no strips beside real clips; leave out --data")
        clips = open_for(trained.config, data, str(facts["split"]), frames=int(facts["frames"]))
        clips = _scored(one, clips, samples, force=force)
        made = _rolled_out(one, trained, clips)
        options = trained.config.generator
        yield _Player(title=one.name + remark, evaluation=one, clips=clips, options=options, made=made)
    if samples is not None:
        clips = open_clips(data, str(facts["split"]), resolution=int(facts["resolution"]), frames=int(facts["frames"]))
        clips = _scored(one, clips, samples, force=force)
        title = f"{one.name}: samples" if "model" in rows else one.name
        yield _Player(title=title, evaluation=one, clips=clips, options=None, made=_read(samples))


def _scored(one: Evaluation, clips: ClipSet, samples: Path | None, *, force: bool) -> ClipSet:
    """Those of the clips that were scored, in their order: noise follows from a clip's place among them."""
    facts = one.protocol
    if samples is not None:
        frames = int(facts.get("curve_frames") or facts["frames"])
        clips = match(samples, clips, frames, lambda line: None).clips
    clips = replace(clips, clips=clips.clips[: int(facts["n"])])
    if digest_of([clip.id for clip in clips.clips]) != facts.get("clips_hash") and not force:
        raise UsageError(
            f"the clips that {one.file} was made of are not those that are there now: run `modeling evaluate` again, "
            "leave out --data, or give --force"
        )
    return clips


def _trained(one: Evaluation, device: torch.device, *, force: bool, say: Callable[[str], None]) -> tuple[Trained, str]:
    """The generator that was evaluated; a run that trained on since has it in its checkpoints, for a while."""
    run, step = one.run, one.protocol.get("step")
    assert run is not None
    folder = RunFolder(run).checkpoints
    named = folder.path / str(one.protocol.get("weights"))
    if named.is_file() and (trained := load_trained(run, device, named)).step == step:
        return trained, ""
    trained = load_trained(run, device)
    if trained.step == step:
        return trained, ""
    kept = folder.file(int(step)) if isinstance(step, int) else named
    for file in (kept, kept.with_name(f"best-{kept.name}")):
        if file.is_file() and (earlier := load_trained(run, device, file)).step == step:
            return earlier, ""
    told = f"{run} is at step {trained.step} and keeps no checkpoint of step {step}, of which {one.file.name} is"
    if not force:
        raise UsageError(
            f"{told}: run `modeling evaluate --run {run} --data SHARDS` again, leave out --data, or give --force to "
            "show clips that were not scored"
        )
    say(f"{told}: its clips are not those that were scored")
    return trained, f" {UNSCORED.format(step=trained.step)}"


def _rolled_out(one: Evaluation, trained: Trained, clips: ClipSet) -> Callable[[Example, str, int], U8]:
    """As evaluate makes clips: by the same seed, so that these are those that were scored."""
    index = _index(clips)

    def made(shown: Example, clip: str, frames: int) -> U8:
        noise = seed_of(int(one.protocol["seed"]), 0, index[clip])
        seed = None if trained.deterministic else noise
        return roll_out(trained.generator, shown.context, frames=frames, seed=seed, labels_HW=shown.labels)

    return made


def _read(folder: Path) -> Callable[[Example, str, int], U8]:
    """The samples' own videos, as far as they go."""
    return lambda shown, clip, frames: read_video(video_of(folder, clip), frames, fewer=True)


def _index(clips: ClipSet) -> dict[str, int]:
    return {clip.id: number for number, clip in enumerate(clips.clips)}


def _scene(players: Sequence[_Player], clip: str, longest: int) -> Scene:
    rows: list[Shown] = []
    reals: list[U8] = []
    made: list[Shown] = []
    for player in players:
        shown = player.example(clip)
        given = shown.context[-1]
        # Runs whose input begins elsewhere (a label map) or has another size have a real row of their own.
        if not any(_alike(real, shown.real) for real in reals):
            title = "real" if not reals else f"real, as {player.title} is shown it"
            reals.append(shown.real)
            rows.append(Shown(title=title, clip=shown.real, input=given, labels=None))
        frames = max(longest, int(player.evaluation.protocol["frames"]))
        made.append(Shown(title=player.title, clip=player.made(shown, clip, frames), input=given, labels=shown.labels))
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
    """Input, label map (where any row has one) and the chosen frames side by side; grey where the clip has ended.

    (CELL, W, 4): RGB and how opaque; nothing is drawn between the cells.
    """
    blank = np.full((CELL, CELL, 3), 128, np.uint8)
    cells = [scaled(shown.input)]
    if masked:
        cells.append(blank if shown.labels is None else scaled(coloured(shown.labels)))
    cells += [scaled(shown.clip[index]) if index < len(shown.clip) else blank for index in chosen]
    opaque = [np.concatenate([cell, np.full((CELL, CELL, 1), 255, np.uint8)], axis=2) for cell in cells]
    gap = np.zeros((CELL, GAP, 4), np.uint8)
    return np.concatenate([part for cell in opaque for part in (cell, gap)][:-1], axis=1)


def headings(chosen: Sequence[int], *, masked: bool) -> list[str]:
    """What stands over the cells of `strip`."""
    return ["input", *(["label map"] if masked else []), *(f"frame {index}" for index in chosen)]
