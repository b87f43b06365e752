"""One pass over a source: each of its clips is made once, and all that is asked is taken of the same frames.

Letters: N clips, T frames, R side of the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modeling.errors import ModelingError
from modeling.evaluation.measures import FRAMES_AT_ONCE, Measure
from modeling.evaluation.sources import HeldOut, Source
from modeling.evaluation.store import FeatureStore, Spec

U8 = NDArray[np.uint8]
Array = NDArray[Any]
View = Callable[[U8], U8]
VERSION = 1  # of what measures take of a frame; a new one leaves older caches alone


class FeatureError(ModelingError):
    """Features that are no numbers."""


def as_they_are(clip_TRR3: U8) -> U8:
    """The frames themselves."""
    return clip_TRR3


def min_max(clip_TRR3: U8) -> U8:
    """Each frame stretched from its own darkest to its own brightest value, as the thesis's PNGs were written."""
    values = clip_TRR3.astype(np.float64)
    low = values.min(axis=(1, 2, 3), keepdims=True)
    high = values.max(axis=(1, 2, 3), keepdims=True)
    stretched: U8 = np.floor((values - low) / np.maximum(high - low, 1e-5 * 255) * 255 + 0.5).astype(np.uint8)
    return stretched


VIEWS: Mapping[str, View] = {"none": as_they_are, "each frame by its own minimum and maximum": min_max}


class Joint(Protocol):
    """Something that is taken of all futures of a clip together."""

    @property
    def specs(self) -> Mapping[str, Spec]:
        """The arrays that it gives, by the names under which they are kept."""

    def __call__(self, futures_KNTHW3: Sequence[U8]) -> dict[str, Array]:
        """A row a clip of each array."""


def filled(
    source: Source,
    measures: Sequence[Measure],
    held: HeldOut,
    *,
    normalisation: str,
    say: Callable[[str], None],
    done: Callable[[int], None] = lambda clips: None,
) -> dict[str, Array]:
    """The arrays of all measures of a source, from its cache or made now; `done` is told of clips that are through.

    Arrays are mapped from the disk, a row a clip. FeatureError where a clip gives features that are not finite.
    """
    return filled_together([source], measures, None, held, normalisation=normalisation, say=say, done=done)[0][0]


def filled_together(
    futures: Sequence[Source],
    measures: Sequence[Measure],
    joint: Joint | None,
    held: HeldOut,
    *,
    normalisation: str,
    say: Callable[[str], None],
    done: Callable[[int], None] = lambda clips: None,
) -> tuple[list[dict[str, Array]], dict[str, Array]]:
    """`filled` for each of a row's futures, and what is taken of all of them, each clip of each made once at most."""
    sets = [_Wanted(source, measures, held.count, normalisation, say) for source in futures]
    together = None
    if joint is not None:
        about = {"futures": [source.about for source in futures]}
        together = _Wanted(replace(futures[0], about=about), [joint], held.count, normalisation, say)
    # What is taken of all futures together needs the frames of all.
    needed = sets if together is not None and together.missing else [wanted for wanted in sets if wanted.missing]
    if not needed:
        done(held.count * len(futures))
        return [wanted.arrays for wanted in sets], {} if together is None else together.arrays
    all_wanted = [*sets, *([together] if together is not None else [])]
    with ExitStack() as stack:
        targets = [stack.enter_context(wanted.writing()) if wanted.missing else {} for wanted in all_wanted]
        _pass(
            needed,
            sets,
            targets,
            joint if together is not None and together.missing else None,
            held,
            normalisation,
            done,
        )
    for wanted in all_wanted:
        wanted.read_back()
    done(held.count * (len(sets) - len(needed)))
    return [wanted.arrays for wanted in sets], {} if together is None else together.arrays


class _Wanted:
    """What is kept of a source already, and what is not."""

    def __init__(
        self,
        source: Source,
        measures: Sequence[Measure] | Sequence[Joint],
        rows: int,
        normalisation: str,
        say: Callable[[str], None],
    ) -> None:
        self.source, self.rows = source, rows
        about = {**source.about, "normalisation": normalisation, "version": VERSION}
        self.store = FeatureStore(source.home, about, say)
        self.arrays: dict[str, Array] = {}
        self.missing: list[Any] = []
        for measure in measures:
            kept = {name: self.store.read(name, rows, spec) for name, spec in measure.specs.items()}
            if any(array is None for array in kept.values()):
                self.missing.append(measure)
            else:
                self.arrays.update({name: array for name, array in kept.items() if array is not None})

    @property
    def specs(self) -> dict[str, Spec]:
        return {name: spec for measure in self.missing for name, spec in measure.specs.items()}

    def writing(self) -> AbstractContextManager[dict[str, Array]]:
        return self.store.writing(self.specs, self.rows)

    def read_back(self) -> None:
        for name, spec in self.specs.items():
            made = self.store.read(name, self.rows, spec)
            if made is None:
                raise ModelingError(f"{self.store.folder / name}.npy could not be read back: check the disk")
            self.arrays[name] = made


def _pass(
    needed: Sequence[_Wanted],
    sets: Sequence[_Wanted],
    targets: Sequence[dict[str, Array]],
    joint: Joint | None,
    held: HeldOut,
    normalisation: str,
    done: Callable[[int], None],
) -> None:
    view, ids = VIEWS[normalisation], held.ids
    chunk = max(1, FRAMES_AT_ONCE // sets[0].source.frames)  # small networks are quicker in batches; bounded memory
    for start in range(0, held.count, chunk):
        indices = range(start, min(start + chunk, held.count))
        rows = slice(indices.start, indices.stop)
        truth_NTRR3 = np.stack([view(held.truth(index)) for index in indices])
        futures: list[U8] = []
        for wanted, arrays in zip(sets, targets, strict=False):
            if wanted not in needed:
                continue
            shown_NTRR3 = np.stack([view(wanted.source.clip(index)) for index in indices])
            for measure in wanted.missing:
                for name, values in measure(shown_NTRR3, truth_NTRR3).items():
                    if measure.finite:
                        _require_finite(name, values, [ids[index] for index in indices], wanted.source)
                    arrays[name][rows] = values
            if joint is not None:
                futures.append(shown_NTRR3)
            done(len(indices))
        if joint is not None:
            for name, values in joint(futures).items():
                targets[-1][name][rows] = values


def _require_finite(name: str, rows: Array, ids: Sequence[str], source: Source) -> None:
    for clip_id, row in zip(ids, rows, strict=True):
        if not np.isfinite(row).all():
            raise FeatureError(
                f"clip {clip_id} ({source.row.replace('_', ' ')}) gives {name.split('.')[0]} values that are not "
                "finite: look at its frames, or leave it out"
            )
