"""Moving MNIST (Srivastava, Mansimov, Salakhutdinov 2015: arXiv 1502.04681): `mnist_test_seq.npy`.

One array, (20 frames, 10000 sequences, 64, 64) uint8. It is the published test set; training sequences are drawn on
the fly from MNIST's training digits. Papers that train on the file itself set its last sequences aside for testing.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from curation.importers.layout import Collection, Content, LayoutError, Made, Refused, refuse_layout
from curation.providers.found import Found

PROVIDER = "moving-mnist"
TERMS = "made of MNIST digits (CC BY-SA 3.0)"
FILE = "mnist_test_seq.npy"


def read_moving_mnist(
    path: Path, *, fps: Fraction = Fraction(25), limit: int | None = None, train: int = 0
) -> Collection:
    """The sequences of the file `path`, or of mnist_test_seq.npy in the folder `path`, at most `limit` of them.

    The first `train` sequences count as train, the others as test. Raises `LayoutError`.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise refuse_layout(path, f"the file {FILE}")
    expected = f"{file}: expected an array of (frames, sequences, height, width) uint8"
    try:
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise LayoutError(f"{expected}; {error}") from None
    if not isinstance(array, np.ndarray) or array.ndim != 4 or array.dtype != np.uint8 or 0 in array.shape:
        found = f"{array.shape} {array.dtype}" if isinstance(array, np.ndarray) else "an archive of arrays"
        raise LayoutError(f"{expected}; found {found}")
    count = min(array.shape[1], limit or array.shape[1])
    if train > array.shape[1]:
        raise LayoutError(f"{file}: {train:,} sequences for train, but there are {array.shape[1]:,}")
    return Collection(items=_items(file, array, fps, count, train), total=count)


def _items(file: Path, array: NDArray[np.uint8], fps: Fraction, count: int, train: int) -> Iterator[Made | Refused]:
    for number in range(count):
        found = Found(
            provider=PROVIDER,
            provider_id=f"{number:05d}",
            source=f"{file.absolute()}#{number}",
            official_split="train" if number < train else "test",
            licence=TERMS,
        )
        yield Made(found=found, fps=fps, read=functools.partial(_read, array, number))


def _read(array: NDArray[np.uint8], number: int) -> Content:
    sequence = np.asarray(array[:, number])
    return Content(frames=(np.repeat(frame[:, :, np.newaxis], 3, axis=2) for frame in sequence))
