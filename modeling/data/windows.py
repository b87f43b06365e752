"""Shards to batches of windows: which clip, which frames and which flip are a pure function of (seed, draw number).

So workers, processes, micro-batches and a resume cannot change what the networks see. Frames stay uint8 until the
training step turns them into floats on its device. B batch, T time, H/W height/width.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from db.shards import ShardReader, read_manifest
from modeling.errors import UsageError

DISCRIMINATOR, GENERATOR = 0, 1  # the two streams of draws: each pass of D and of G is on a fresh batch (section 3.8)


class DataError(UsageError):
    """Shards that this run cannot train on."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One clip of a split: where it stands and how long it is."""

    id: str
    shard: int  #    index into ClipSet.readers
    row: int  #      its position in that shard
    length: int  #   frames
    fps: float
    video: str  #    it was cut from: clips of one are alike


@dataclass(frozen=True, kw_only=True)
class ClipSet:
    """The clips of one split that are at least T frames long, in the order of the manifest."""

    split: str
    resolution: int
    readers: tuple[ShardReader, ...]
    clips: tuple[Clip, ...]
    left_out: int  #                     clips shorter than T
    recipe_hash: str
    shard_sha256: dict[str, str] = field(repr=False)  # file name -> SHA-256, as the manifest records it
    unmasked: int = 0  #                  clips without a label map to start at, where one is needed

    def window(self, clip: int, start: int, frames: int) -> NDArray[np.uint8]:
        """(frames, H, W, 3) uint8 RGB from `start` on."""
        place = self.clips[clip]
        return self.readers[place.shard].window(place.row, start, frames)

    def extra(self, name: str, clip: int, start: int, frames: int) -> NDArray[Any]:
        """(frames, ...) rows of side data, such as actions, from `start` on. KeyError if the clip's shard has none."""
        place = self.clips[clip]
        return self.readers[place.shard].extra(name, place.row, start, frames)

    def masked_starts(self, clip: int, frames: int) -> tuple[int, ...]:
        """Where in a clip a window of `frames` can start at a frame that has a label map."""
        place = self.clips[clip]
        masked = self.readers[place.shard].masked_frames(place.row)
        return tuple(start for start in masked if start + frames <= place.length)

    def labels(self, clip: int, start: int) -> NDArray[np.uint8]:
        """(H, W) uint8, the label map of a clip's frame. KeyError if it has none."""
        place = self.clips[clip]
        return self.readers[place.shard].labels(place.row, start)


def open_clips(folder: Path, split: str, *, resolution: int, frames: int) -> ClipSet:
    """The clips of `split` in the shards folder `folder` that can train at `resolution` with windows of `frames`.

    Raises ShardError for a folder or a shard that cannot be read, DataError where the shards' size is another or where
    no clip is long enough. A split that is empty as the manifest says gives a ClipSet without clips.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; --data takes the folder of shards that curate export made")
    manifest = read_manifest(folder)
    entries = [entry for entry in manifest.shards if entry.split == split]
    readers = tuple(ShardReader(folder / entry.file) for entry in entries)
    clips: list[Clip] = []
    left_out = 0
    for index, (entry, reader) in enumerate(zip(entries, readers, strict=True)):
        if (reader.height, reader.width) != (resolution, resolution):
            raise DataError(
                f"{reader.path} holds {reader.width}x{reader.height} frames and this run needs "
                f"{resolution}x{resolution}: make them with `curate export --size {resolution}`, "
                "or choose a preset of the shards' size"
            )
        if reader.path.stat().st_size != entry.bytes or len(reader.rows) != entry.clips:
            raise DataError(f"{reader.path} is not the file that the manifest records: run `curate verify`")
        for row, clip in enumerate(reader.rows):
            if clip.length < frames:
                left_out += 1
            else:
                clips.append(
                    Clip(
                        id=clip.id,
                        shard=index,
                        row=row,
                        length=clip.length,
                        fps=clip.fps,
                        video=clip.video_id or clip.id,
                    )
                )
    if left_out and not clips:
        raise DataError(
            f"all {left_out} clips of split {split} in {folder} are shorter than {frames} frames: "
            "export longer clips, or ask for fewer frames (`--frames`; where a run is trained `--set frames=...`)"
        )
    return ClipSet(
        split=split,
        resolution=resolution,
        readers=readers,
        clips=tuple(clips),
        left_out=left_out,
        recipe_hash=manifest.recipe_hash,
        shard_sha256={entry.file: entry.sha256 for entry in entries},
    )


class Draw(NamedTuple):
    """One sample's place in its stream: the n-th window that D, or G, is shown."""

    stream: int
    number: int


class Window(NamedTuple):
    """What a draw stands for: a clip (index into ClipSet.clips), its first frame, and whether it is mirrored."""

    clip: int
    start: int
    flip: bool


@dataclass(frozen=True)
class Batch:
    """B windows on their way to a training step, with what the generator is given beside their frames."""

    frames: Tensor  #                 (B, T, H, W, 3) uint8 RGB
    windows: tuple[Window, ...]
    clip_ids: tuple[str, ...]
    labels: Tensor | None = None  #         (B, H, W) uint8, the label map of each window's first frame
    others: Tensor | None = None  #         (B, k, H, W, 3) uint8, context of another clip for each, to mix styles
    other_labels: Tensor | None = None  #   (B, H, W) uint8, the others' label maps


class ClipWindows(Dataset[Batch]):
    """Random T-frame windows of a ClipSet; an item is a whole batch, asked for by its draws.

    In each epoch of a stream every clip is drawn once, in an order of that epoch's own. Safe to pickle: readers open
    their files lazily in each process.

    `masked`: windows start at frames with a label map, which comes along; every clip must have one to start at
    (`masks.with_masks`). `others`: so many first frames of a window of another clip come along with each sample.
    """

    def __init__(
        self, clips: ClipSet, *, frames: int, seed: int, flip: bool, masked: bool = False, others: int = 0
    ) -> None:
        if not clips.clips:
            raise DataError(f"split {clips.split} holds no clip: export more clips (`curate split`, `curate export`)")
        self.clips, self.frames, self.seed, self.flip = clips, frames, seed, flip
        self.masked, self.others = masked, others
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}  # stream -> (epoch, its order)

    def window(self, draw: Draw) -> Window:
        """What `draw` stands for: a function of the seed and the draw alone."""
        epoch, position = divmod(draw.number, len(self.clips.clips))
        held = self._orders.get(draw.stream)
        if held is None or held[0] != epoch:
            order = np.random.default_rng((self.seed, draw.stream, 0, epoch)).permutation(len(self.clips.clips))
            held = self._orders[draw.stream] = (epoch, order)
        clip = int(held[1][position])
        return self._at_random(clip, np.random.default_rng((self.seed, draw.stream, 1, draw.number)))

    def other(self, draw: Draw) -> Window:
        """A window of another clip than `draw`'s, where there is one: a function of the seed and the draw alone."""
        generator = np.random.default_rng((self.seed, draw.stream, 2, draw.number))
        count = len(self.clips.clips)
        further = int(generator.integers(1, count)) if count > 1 else 0
        return self._at_random((self.window(draw).clip + further) % count, generator)

    def _at_random(self, clip: int, generator: np.random.Generator) -> Window:
        if self.masked:
            starts = self.clips.masked_starts(clip, self.frames)
            start = starts[int(generator.integers(len(starts)))]
        else:
            start = int(generator.integers(self.clips.clips[clip].length - self.frames + 1))
        return Window(clip, start, bool(generator.integers(2)) and self.flip)

    def __getitem__(self, draws: list[Draw]) -> Batch:
        windows = tuple(self.window(draw) for draw in draws)
        others = tuple(self.other(draw) for draw in draws) if self.others else ()
        return Batch(
            frames=self._frames(windows, self.frames),
            windows=windows,
            clip_ids=tuple(self.clips.clips[window.clip].id for window in windows),
            labels=self._labels(windows) if self.masked else None,
            others=self._frames(others, self.others) if others else None,
            other_labels=self._labels(others) if others and self.masked else None,
        )

    def _frames(self, windows: tuple[Window, ...], count: int) -> Tensor:
        """The first `count` frames of each window: (B, count, H, W, 3)."""
        R = self.clips.resolution
        frames_BTHW3 = np.empty((len(windows), count, R, R, 3), np.uint8)
        for target, window in zip(frames_BTHW3, windows, strict=True):
            source = self.clips.window(window.clip, window.start, count)
            if window.flip:  # all frames as one tall image: 40x faster than a reversed slice of 3-byte pixels
                cv2.flip(source.reshape(-1, R, 3), 1, target.reshape(-1, R, 3))
            else:
                target[...] = source
        return torch.from_numpy(frames_BTHW3)

    def _labels(self, windows: tuple[Window, ...]) -> Tensor:
        """The label map of each window's first frame, mirrored with it: (B, H, W)."""
        maps = [self.clips.labels(window.clip, window.start) for window in windows]
        mirrored = [labels[:, ::-1] if window.flip else labels for labels, window in zip(maps, windows, strict=True)]
        return torch.from_numpy(np.stack(mirrored))


class BatchOrder(Sampler[list[Draw]]):
    """The draws of each pass, in the order in which the loop asks for them: d_passes of D, then one of G, a step.

    Starts at any step, since a batch's draws follow from the step alone. `part`: the samples of each batch that this
    process takes (default: all of them).
    """

    def __init__(self, *, first_step: int, end_step: int, d_passes: int, batch: int, part: range | None = None) -> None:
        self.first_step, self.end_step, self.d_passes, self.batch = first_step, end_step, d_passes, batch
        self.part = range(batch) if part is None else part

    def __len__(self) -> int:
        return (self.end_step - self.first_step) * (self.d_passes + 1)

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in range(self.first_step, self.end_step):
            for pass_index in range(self.d_passes + 1):
                whole = self.whole(step, pass_index)
                yield [whole[sample] for sample in self.part]

    def whole(self, step: int, pass_index: int) -> list[Draw]:
        """The draws of all processes' samples in a pass: 0..d_passes-1 are D's, d_passes is G's."""
        if pass_index < self.d_passes:
            stream, first = DISCRIMINATOR, (step * self.d_passes + pass_index) * self.batch
        else:
            stream, first = GENERATOR, step * self.batch
        return [Draw(stream, first + sample) for sample in range(self.batch)]


def steps_of_epochs(epochs: int, *, clips: int, d_passes: int, batch: int) -> int:
    """Steps until D has drawn each clip `epochs` times."""
    return -(-epochs * clips // (d_passes * batch))


def batches(windows: ClipWindows, order: BatchOrder, *, workers: int = 0) -> Iterator[Batch]:
    """The batches of `order`. Without workers they are read in this process, which memory-mapped uint8 allows."""
    return iter(
        DataLoader(
            windows,
            sampler=order,
            batch_size=None,  # an item is a batch already
            generator=torch.Generator(),  # it seeds its workers' unused generators from this, not from the global one
            num_workers=workers,
            multiprocessing_context="spawn" if workers else None,  # a fork can stop for ever in OpenCV's thread pool
            collate_fn=_as_it_is,
            worker_init_fn=_prepare_worker if workers else None,
        )
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _prepare_worker(_: int) -> None:
    cv2.setNumThreads(1)  # a flip is no work for several threads
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the loop, which finishes its step first


def to_float(frames_BTHW3: Tensor, device: torch.device) -> Tensor:
    """uint8 frames (..., H, W, 3) as floats (..., 3, H, W) in [-1, 1] on `device`."""
    moved = frames_BTHW3.to(device, non_blocking=True).movedim(-1, -3)
    return moved.to(torch.float32).div_(127.5).sub_(1)


def to_uint8(video: Tensor) -> NDArray[np.uint8]:
    """Floats (..., 3, H, W) in [-1, 1] as uint8 (..., H, W, 3) on the CPU: the inverse of `to_float`."""
    scaled = video.detach().float().add(1).mul(127.5).round().clamp(0, 255)
    result: NDArray[np.uint8] = scaled.to(torch.uint8).movedim(-3, -1).contiguous().cpu().numpy()
    return result
