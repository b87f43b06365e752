"""Random numbers as a function of (seed, where they are used): the same on every machine, resume and batch split."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derived(seed: int, *where: int | str) -> np.random.SeedSequence:
    """The seed of one use: `where` is any path of names and indices, such as ("alpha", step, sample)."""
    path = [zlib.crc32(item.encode()) if isinstance(item, str) else item for item in where]
    return np.random.SeedSequence([seed, *path])


@contextmanager
def seeded(seed: int, *where: int | str) -> Iterator[None]:
    """Seed torch's global generator for the block, and put its state back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(derived(seed, *where).generate_state(1, np.uint64)[0]))
        yield
