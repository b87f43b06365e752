"""Verification: do the shards, the manifest and the catalogue say the same, and are the bytes what was written?

`check_shard` needs a file alone, `check_folder` a shards folder with its manifest, `check_dataset` the catalogue too.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from curation.exporting.recipe import FORMATS
from curation.exporting.webdataset_reader import TarReader, open_shard
from db.files import sha256_of
from db.shards import MANIFEST, SPLITS, ClipRow, Manifest, ShardEntry, ShardError, ShardReader, read_manifest


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that is not as it should be: in which file, according to what, in one line."""

    file: str
    against: str  # "file" (in itself), "manifest" or "catalogue"
    message: str


@dataclass(frozen=True, kw_only=True)
class CheckedShard:
    """What a file turned out to hold; no rows where it cannot be read."""

    file: str
    faults: tuple[Fault, ...]
    sha256: str = ""
    bytes: int = 0
    split: str = ""
    recipe_hash: str = ""
    frames: int = 0
    rows: tuple[ClipRow, ...] = ()
    clip_sha256: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckedFolder:
    """A shards folder: its manifest, if that can be read, and each shard that it lists."""

    manifest: Manifest | None
    shards: tuple[CheckedShard, ...]
    faults: tuple[Fault, ...]
    official_leaks: tuple[Fault, ...] = ()  # of data sets that were published so; no fault of ours


def check_shard(path: Path) -> CheckedShard:
    """Look at a file by itself: readable, consistent, and every clip's bytes as recorded."""
    try:
        with open_shard(path) as reader, ThreadPoolExecutor(1) as pool:
            rows = reader.rows  # opens, and raises, before the file is hashed
            whole = pool.submit(sha256_of, path)
            messages = [*_inconsistencies(reader)]
            messages += [
                f"the frames of clip {clip} are not those that were written" for clip in reader.damaged_frames()
            ]
            messages += [
                f"the extras or masks of clip {clip} are not those that were written" for clip in reader.damaged_sides()
            ]
            return CheckedShard(
                file=path.name,
                faults=tuple(Fault(file=path.name, against="file", message=message) for message in messages),
                sha256=whole.result(),
                bytes=path.stat().st_size,
                split=reader.split,
                recipe_hash=reader.recipe_hash,
                frames=reader.frame_count,
                rows=rows,
                clip_sha256=reader.clip_sha256,
            )
    except ShardError as error:
        message = str(error).removeprefix(f"{path}: ").removesuffix("; run: curate verify")
    except OSError as error:
        message = f"cannot be read ({error.strerror or error})"
    return CheckedShard(file=path.name, faults=(Fault(file=path.name, against="file", message=message),))


def check_folder(
    folder: Path, *, expected: Sequence[ShardEntry] = (), done: Callable[[CheckedShard], None] = lambda shard: None
) -> CheckedFolder:
    """Check a shards folder against its manifest. `expected` lists the shards where the manifest cannot be read."""
    faults: list[Fault] = []
    manifest: Manifest | None = None
    try:
        manifest = read_manifest(folder)
        if read_manifest(folder, f"manifest-{manifest.version}.json") != manifest:
            faults.append(_manifest_fault(f"differs from manifest-{manifest.version}.json; export again"))
    except ShardError as error:
        faults.append(_manifest_fault(str(error)))
    shards = []
    for entry in manifest.shards if manifest else expected:
        shard = check_shard(folder / entry.file)
        shards.append(shard)
        faults += shard.faults
        if shard.rows:
            against = "manifest" if manifest else "catalogue"
            faults += [Fault(file=entry.file, against=against, message=text) for text in _differences(entry, shard)]
            if manifest and shard.recipe_hash != manifest.recipe_hash:
                faults.append(Fault(file=entry.file, against="manifest", message="was made with another recipe"))
        done(shard)
    faults += check_leaks(shards)
    return CheckedFolder(manifest=manifest, shards=tuple(shards), faults=tuple(faults))


def check_leaks(shards: Iterable[CheckedShard]) -> list[Fault]:
    """Videos on two sides of a split, and clips that stand twice."""
    splits: dict[str, set[str]] = defaultdict(set)
    places: dict[str, list[str]] = defaultdict(list)
    for shard in shards:
        for row in shard.rows:
            splits[row.video_id].add(shard.split)
            places[row.id].append(shard.file)
    order = {split: number for number, split in enumerate(SPLITS)}
    faults = [
        Fault(
            file=MANIFEST,
            against="file",
            message=f"a leak: video {video} is in {' and '.join(sorted(names, key=lambda name: order.get(name, 9)))}",
        )
        for video, names in splits.items()
        if len(names) > 1
    ]
    # A clip twice in one file is that file's own fault.
    faults += [
        Fault(file=MANIFEST, against="file", message=f"clip {clip} is in {' and '.join(sorted(set(files)))}")
        for clip, files in places.items()
        if len(set(files)) > 1
    ]
    return faults


def _manifest_fault(message: str) -> Fault:
    return Fault(file=MANIFEST, against="file", message=message)


def _differences(entry: ShardEntry, shard: CheckedShard) -> list[str]:
    """What a record of a shard says otherwise than the file."""
    told = []
    if (entry.bytes, entry.sha256) != (shard.bytes, shard.sha256):
        told.append(f"SHA-256 is {shard.sha256[:12]}..., recorded is {entry.sha256[:12]}...: the file was changed")
    for name, recorded, found in (
        ("split", entry.split, shard.split),
        ("clips", entry.clips, len(shard.rows)),
        ("frames", entry.frames, shard.frames),
    ):
        if recorded != found:
            told.append(f"{name}: {found} in the file, {recorded} recorded")
    if entry.clip_ids != tuple(row.id for row in shard.rows):
        told.append("its clips, or their order, are not those recorded")
    return told


def _inconsistencies(reader: ShardReader | TarReader) -> list[str]:
    """What a readable shard says about itself that cannot all be true."""
    told = []
    rows, attributes = reader.rows, reader.attributes
    expected = 0
    for row, offset in zip(rows, reader.offsets, strict=True):
        if offset != expected:
            told.append(f"clip {row.id} begins at frame {offset}, not at {expected}")
        expected = offset + row.length
        if not row.end > row.start:
            told.append(f"clip {row.id} ends ({row.end} s) before it begins ({row.start} s)")
        if reader.fps and row.fps != reader.fps:
            told.append(f"clip {row.id} has {row.fps} frames a second in a shard of {reader.fps}")
    if expected != reader.frame_count:
        told.append(f"its clips have {expected} frames, the file {reader.frame_count}")
    told += [f"clip {clip} stands {number} times" for clip, number in Counter(r.id for r in rows).items() if number > 1]
    if reader.frame_shape != (reader.height, reader.width, 3):
        told.append(f"its frames are {reader.frame_shape}, its attributes say {reader.height} x {reader.width}")
    recipe = str(attributes.get("recipe", ""))
    if hashlib.sha256(recipe.encode()).hexdigest() != reader.recipe_hash:
        told.append("its recipe does not have the hash that it states")
    if reader.split not in SPLITS:
        told.append(f"its split {reader.split!r} is none of {', '.join(SPLITS)}")
    for layout in FORMATS.values():
        name = layout.parse(reader.path.name)
        if name and name[0] != reader.split:
            told.append(f"it is named after {name[0]} and holds clips for {reader.split}")
    return told
