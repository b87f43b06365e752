"""One pass over a source: each of its clips is made once, and all that is asked is taken of the same frames.

Letters: N clips, T frames, R side of the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

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
    store = FeatureStore(source.home, {**source.about, "normalisation": normalisation, "version": VERSION}, say)
    arrays: dict[str, Array] = {}
    missing: list[Measure] = []
    for measure in measures:
        held_arrays = {name: store.read(name, held.count, spec) for name, spec in measure.specs.items()}
        if any(array is None for array in held_arrays.values()):
            missing.append(measure)
        else:
            arrays.update({name: array for name, array in held_arrays.items() if array is not None})
    if not missing:
        done(held.count)
        return arrays
    specs: dict[str, Spec] = {name: spec for measure in missing for name, spec in measure.specs.items()}
    with store.writing(specs, held.count) as targets:
        _pass(source, missing, held, VIEWS[normalisation], targets, done)
    for name, spec in specs.items():
        made = store.read(name, held.count, spec)
        if made is None:
            raise ModelingError(f"{store.folder / name}.npy could not be read back: check the disk")
        arrays[name] = made
    return arrays


def _pass(
    source: Source,
    measures: Sequence[Measure],
    held: HeldOut,
    view: View,
    targets: Mapping[str, Array],
    done: Callable[[int], None],
) -> None:
    chunk = max(1, FRAMES_AT_ONCE // source.frames)  # small networks are quicker in batches; memory stays bounded
    ids = held.ids
    for start in range(0, held.count, chunk):
        indices = range(start, min(start + chunk, held.count))
        shown_NTRR3 = np.stack([view(source.clip(index)) for index in indices])
        truth_NTRR3 = np.stack([view(held.truth(index)) for index in indices])
        for measure in measures:
            for name, rows in measure(shown_NTRR3, truth_NTRR3).items():
                if measure.finite:
                    _require_finite(name, rows, [ids[index] for index in indices], source)
                targets[name][start : start + len(indices)] = rows
        done(len(indices))


def _require_finite(name: str, rows: Array, ids: Sequence[str], source: Source) -> None:
    for clip_id, row in zip(ids, rows, strict=True):
        if not np.isfinite(row).all():
            raise FeatureError(
                f"clip {clip_id} ({source.row.replace('_', ' ')}) gives {name.split('.')[0]} values that are not "
                "finite: look at its frames, or leave it out"
            )
