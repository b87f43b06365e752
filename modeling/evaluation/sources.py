"""What is scored: the real clips, what a model makes of their first frames, videos of other models, and the baselines.

Letters: k context frames, T frames, R side of the frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from db.shards import read_manifest
from modeling.data.examples import Example, example
from modeling.data.windows import ClipSet
from modeling.evaluation.store import sha256_of
from modeling.inference import Trained, roll_out
from modeling.networks import Generator
from modeling.options.generator import GeneratorConfig
from modeling.training.seeding import derived

U8 = NDArray[np.uint8]
BLENDED = 2  # training clips in a blend


@dataclass(frozen=True, kw_only=True)
class Source:
    """A set of clips, one for each held-out clip. `about`: all that their frames depend on, in plain values."""

    row: str
    about: Mapping[str, Any]
    home: Path  #                     under which what is taken of them is kept
    frames: int  #                    T
    clip: Callable[[int], U8]  #      index of the held-out clip -> (T, R, R, 3)


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The first `count` clips of a split, from their first frames on (their first label map, where masks are used)."""

    clips: ClipSet
    count: int
    frames: int
    given: int  #                            k, which the model is given
    options: GeneratorConfig | None = None  # of the model, where there is one

    @property
    def ids(self) -> list[str]:
        return [clip.id for clip in self.clips.clips[: self.count]]

    @property
    def videos(self) -> NDArray[np.int64]:
        """(N,) which video each clip was cut from, by number."""
        names = [clip.video for clip in self.clips.clips[: self.count]]
        return np.asarray(np.unique(names, return_inverse=True)[1], np.int64)

    @property
    def masked(self) -> bool:
        return self.options is not None and self.options.mask_classes > 0

    def example(self, index: int) -> Example:
        if self.options is not None:
            return example(self.clips, index, self.options, self.frames)
        return Example(real=self.clips.window(index, 0, self.frames), given=self.given, labels=None)

    def truth(self, index: int) -> U8:
        return self.example(index).real

    @property
    def about(self) -> dict[str, Any]:
        """What the real frames depend on."""
        return {
            "data": self.clips.recipe_hash,
            "shards": dict(self.clips.shard_sha256),
            "split": self.clips.split,
            "clips": self.ids,
            "frames": self.frames,
            "given": self.given,
            "start": "first label map" if self.masked else 0,
        }


def real(held: HeldOut, home: Path) -> Source:
    """The real clips themselves."""
    return Source(row="real", about={**held.about, "source": "real"}, home=home, frames=held.frames, clip=held.truth)


def copied_frame(held: HeldOut, home: Path) -> Source:
    """The last input frame, over and over: what a model that moves nothing makes."""
    return Source(
        row="copied_frame",
        about={**held.about, "source": "copied frame"},
        home=home,
        frames=held.frames,
        clip=lambda index: held.example(index).copied,
    )


def blend_of_training(held: HeldOut, train: ClipSet, home: Path, seed: int) -> Source:
    """Means of two random windows of training clips: right colours on average, no scene and no motion of its own."""

    def clip(index: int) -> U8:
        rng = np.random.Generator(np.random.Philox(derived(seed, "blend", index)))
        chosen = rng.choice(len(train.clips), size=min(BLENDED, len(train.clips)), replace=False)
        total = np.zeros((held.frames, train.resolution, train.resolution, 3), np.uint16)
        for number in chosen:
            start = int(rng.integers(train.clips[int(number)].length - held.frames + 1))
            total += train.window(int(number), start, held.frames)
        return np.rint(total / len(chosen)).astype(np.uint8)

    about = {
        "source": "blend of training clips",
        "shards": dict(train.shard_sha256),
        "clips": [clip.id for clip in train.clips],
        "blended": BLENDED,
        "count": held.count,
        "frames": held.frames,
        "seed": seed,
        # Scores against the truth are kept beside the features.
        "against": held.about,
    }
    return Source(row="blend_of_training", about=about, home=home, frames=held.frames, clip=clip)


def rolled_out(
    held: HeldOut,
    trained: Trained,
    home: Path,
    *,
    frames: int,
    seed: int | None,
    future: int = 0,
    generator: Generator | None = None,
    row: str = "model",
) -> Source:
    """What a model makes of the clips' first frames: its `future`-th one, or with nothing drawn where `seed` is None.

    `generator`: another network of the same configuration, such as the untrained one; it must follow from the
    configuration alone.
    """
    network = trained.generator if generator is None else generator

    def clip(index: int) -> U8:
        shown = held.example(index)
        drawn = None if seed is None else seed_of(seed, future, index)
        return roll_out(network, shown.context, frames=frames, seed=drawn, labels_HW=shown.labels)

    about = {
        "source": "model",
        "weights": sha256_of(trained.source) if generator is None else "as before training",
        "config": trained.config.to_dict(),
        "device": next(network.parameters()).device.type,
        "generated": frames,
        "seed": seed,
        "future": future,
        "of": held.about,
    }
    return Source(row=row, about=about, home=home, frames=frames, clip=clip)


def seed_of(seed: int, future: int, index: int) -> int:
    """The noise's seed of a clip's future."""
    if future == 0:
        return seed + index
    return int(derived(seed, "future", future, index).generate_state(1, np.uint64)[0] >> np.uint64(2))


def data_hash_of(folder: Path, split: str) -> str:
    """One short name for a split's clips and the recipe of their pixels: data sets exported alike have one recipe."""
    manifest = read_manifest(folder)
    ids = sorted(clip_id for entry in manifest.of_split(split) for clip_id in entry.clip_ids)
    return digest_of([manifest.recipe_hash, *ids])


def digest_of(ids: list[str]) -> str:
    """One short name for the clips that were scored."""
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()[:16]
