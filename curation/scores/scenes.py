"""Scenes: clusters of clips that show the same, across videos and within one.

Two clips show the same if their fingerprints agree for most of the shorter one, in order, at some offset of whole
seconds. That holds for copies (another upload, cut at other moments, recoded, rescaled, cropped a little) and as well
for clips of one fixed camera: both teach a model the same, and must not be on two sides of a split. What is joined so
is a scene (single linkage), named after its smallest clip.

Candidates come from an index, not from all pairs: clips are compared only where some sample of the bits of some of
their hashes is equal. The cost grows with the number of clips, not with its square.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from curation.scores.fingerprints import BITS, WORDS
from db.engine import Catalogue
from db.models import Clip, Fingerprint
from db.states import ClipState

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
TRIES = 5  # of an update, while other commands add fingerprints


@dataclass(frozen=True, kw_only=True)
class SceneSettings:
    """When two clips show the same, and how hard it is looked for."""

    distance: int = 28  # bits of 128 that two hashes may differ by
    agree: float = 0.8  # least share of the seconds compared that do not differ more
    overlap: float = 0.6  # least share of the shorter clip's telling seconds that are compared
    tables: int = 16  # samples of bits by which candidates are found
    sample: int = 18  # bits a sample
    lowest: int = 44  # they are among this many lowest frequencies, which change least
    neighbours: int = 48  # with how many of a crowded bucket each is compared
    novelty: int = 5  # bits of the first word that a second's hash differs by from the one before, to be looked up

    def __post_init__(self) -> None:
        if not 0 <= self.distance < BITS or not 0 < self.agree <= 1 or not 0 < self.overlap <= 1:
            raise ValueError("a distance is below the hash's bits, shares are in (0, 1]")
        if not 0 < self.sample <= min(self.lowest, 32) or self.lowest > 64 or min(self.tables, self.neighbours) < 1:
            raise ValueError("a sample has up to 32 bits of the 64 lowest, and there is at least one table")


def update_scenes(catalogue: Catalogue, settings: SceneSettings = SceneSettings()) -> int:
    """Bring `Clip.scene` up to date with the fingerprints. Returns the number of clips whose scene changed.

    Costs a query where nothing was fingerprinted since the last time.
    """
    for _ in range(TRIES):
        with catalogue.reading() as session:
            if not _stale(session):
                return 0
            before = _extent(session)
            rows = session.execute(
                select(Fingerprint.settings_hash, Clip.id, Fingerprint.hashes, Clip.scene)
                .join(Clip, Clip.id == Fingerprint.clip_id)
                .order_by(Fingerprint.settings_hash, Clip.id)
            ).all()
        found: dict[str, str] = {}
        for recipe in sorted({row[0] for row in rows}):  # hashes by different recipes cannot be compared
            mine = [row for row in rows if row[0] == recipe]
            labels = cluster([row[2] for row in mine], settings)
            found |= {row[1]: mine[label][1] for row, label in zip(mine, labels, strict=True)}
        changed = [{"clip": row[1], "found": found[row[1]]} for row in rows if row[3] != found[row[1]]]
        with catalogue.writing() as session:
            if _extent(session) != before:
                continue
            if changed:
                statement = update(Clip).where(Clip.id == bindparam("clip")).values(scene=bindparam("found"))
                session.connection().execute(statement, changed)
            return len(changed)
    return 0  # whoever added fingerprints meanwhile does it too


def repeats(session: Session) -> tuple[int, int]:
    """How many clips are in a scene with others, and how many scenes that makes."""
    there = Clip.scene.is_not(None) & (Clip.state != ClipState.TAKEN_DOWN)
    sizes = select(func.count().label("size")).where(there).group_by(Clip.scene).subquery()
    clips, scenes = session.execute(select(func.sum(sizes.c.size), func.count()).where(sizes.c.size > 1)).one()
    return int(clips or 0), int(scenes)


def _stale(session: Session) -> bool:
    """Whether clips came or went since the last update: a scene is not known, or its namesake is gone."""
    known = select(Fingerprint.clip_id).where(Fingerprint.clip_id == Clip.id).exists()
    named = select(Fingerprint.clip_id).where(Fingerprint.clip_id == Clip.scene).exists()
    return session.scalar(select(Clip.id).where(known, or_(Clip.scene.is_(None), ~named)).limit(1)) is not None


def _extent(session: Session) -> tuple[int, int]:
    counts = select(func.count(), func.count(Fingerprint.settings_hash.distinct())).select_from(Fingerprint)
    hashes, recipes = session.execute(counts).one()
    return hashes, recipes


def cluster(fingerprints: Sequence[bytes], settings: SceneSettings = SceneSettings()) -> I64:
    """For each fingerprint the index of the first one of its cluster."""
    labels = np.arange(len(fingerprints))
    if not len(fingerprints):
        return labels
    hashes = unpacked(fingerprints)
    for one, other in candidates(hashes, settings):
        # What earlier tables joined need not be compared again.
        apart = labels[one] != labels[other]
        one, other = one[apart], other[apart]
        same = agree(hashes, one, other, settings)
        join(labels, one[same], other[same])
    return labels


def unpacked(fingerprints: Sequence[bytes]) -> U64:
    """(N, K, 2) words: hash k of clip n, zero where it has none or it says nothing."""
    size = 8 * WORDS
    longest = max(size, *map(len, fingerprints)) // size
    padded = b"".join(each[: len(each) // size * size].ljust(longest * size, b"\0") for each in fingerprints)
    return np.frombuffer(padded, ">u8").astype(np.uint64).reshape(len(fingerprints), longest, WORDS)


def candidates(hashes: U64, settings: SceneSettings) -> Iterator[tuple[I64, I64]]:
    """Pairs of clips (indices, the smaller first) with a second in common by some sample of bits, table by table."""
    clips, words = _keys(hashes, settings)
    rng = np.random.default_rng(0)
    for _ in range(settings.tables):
        bits = 63 - rng.choice(settings.lowest, settings.sample, replace=False)  # the first bit is the highest
        sample = np.zeros(len(words), np.uint64)
        for bit in bits:
            sample = sample << np.uint64(1) | words[:, 0] >> np.uint64(bit) & np.uint64(1)
        # Within a bucket, by the other bits: in a crowded one the most alike stand together.
        room = np.uint64(64 - settings.sample)
        order = np.argsort(sample << room | words[:, 0] >> (np.uint64(64) - room), kind="stable")
        sample = sample[order]
        pairs: list[I64] = []
        at = np.arange(len(order))
        for lag in range(1, settings.neighbours + 1):
            at = at[at + lag < len(order)]
            at = at[sample[at] == sample[at + lag]]
            if not len(at):
                break
            one, other = order[at], order[at + lag]
            near = np.bitwise_count(words[one] ^ words[other]).sum(1, dtype=np.int64) <= settings.distance
            low, high = np.sort([clips[one[near]], clips[other[near]]], axis=0)
            pairs.append((low * len(hashes) + high)[low != high])
        unique = np.unique(np.concatenate(pairs)) if pairs else np.zeros(0, np.int64)
        yield unique // len(hashes), unique % len(hashes)


def _keys(hashes: U64, settings: SceneSettings) -> tuple[I64, U64]:
    """Clip index and words of the hashes that are looked up: those that tell something new of their clip."""
    last = np.zeros((len(hashes), WORDS), np.uint64)
    clips, words = [], []
    for second in range(hashes.shape[1]):
        now = hashes[:, second]
        differs = np.bitwise_count(now[:, 0] ^ last[:, 0]) >= settings.novelty
        chosen = np.flatnonzero(telling(now) & (differs | ~telling(last)))
        last[chosen] = now[chosen]
        clips.append(chosen)
        words.append(now[chosen])
    return np.concatenate(clips), np.concatenate(words)


def telling(hashes: U64) -> NDArray[np.bool_]:
    """Which hashes (..., 2) say anything."""
    return np.asarray(hashes.any(-1), np.bool_)


def agree(hashes: U64, one: I64, other: I64, settings: SceneSettings, chunk: int = 50_000) -> NDArray[np.bool_]:
    """Whether each pair of clips shows the same, at the best offset."""
    result = np.zeros(len(one), bool)
    length = hashes.shape[1]
    known = telling(hashes)
    for first in range(0, len(one), chunk):
        part = slice(first, first + chunk)
        a, b, known_a, known_b = hashes[one[part]], hashes[other[part]], known[one[part]], known[other[part]]
        least = settings.overlap * np.minimum(known_a.sum(1), known_b.sum(1))
        for offset in range(1 - length, length):
            of_a = slice(max(offset, 0), length + min(offset, 0))
            of_b = slice(max(-offset, 0), length - max(offset, 0))
            both = known_a[:, of_a] & known_b[:, of_b]
            near = np.bitwise_count(a[:, of_a] ^ b[:, of_b]).sum(2, dtype=np.int64) <= settings.distance
            compared = both.sum(1)
            enough = (compared > 0) & (compared >= least)
            result[part] |= enough & ((both & near).sum(1) >= settings.agree * compared)
    return result


def join(labels: I64, one: I64, other: I64) -> None:
    """Join the clusters of each pair, in place; a cluster's label is its smallest member."""
    while len(one):
        first, second = labels[one], labels[other]
        np.minimum.at(labels, np.maximum(first, second), np.minimum(first, second))
        while not np.array_equal(labels[labels], labels):
            labels[:] = labels[labels]
        apart = labels[one] != labels[other]
        one, other = one[apart], other[apart]
