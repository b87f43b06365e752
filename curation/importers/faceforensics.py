"""FaceForensics++ (Roessler et al. 2019: arXiv 1901.08971): real videos of faces, and manipulated ones made of pairs.

`original_sequences/youtube/c23/videos/000.mp4`, `manipulated_sequences/<method>/c23/videos/<target>_<source>.mp4`;
`c23` is the compression. The split files, `train.json`, `val.json` and `test.json`, are lists of pairs of ids, each
pair's two videos manipulated with each other's face.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from curation.errors import ErrorClass, StageError
from curation.importers.layout import Files, LayoutError, Refused, files, folders, refuse_layout
from curation.providers.folder import EXTENSIONS, identify_file
from curation.providers.found import Found

PROVIDER = "faceforensics"
TERMS = "FaceForensics terms of use: research and education alone, on application; faces of YouTube videos"
ORIGINAL, MANIPULATED = "original_sequences", "manipulated_sequences"
SPLITS = ("train", "val", "test")
# DeepFakeDetection names its videos 01_02__talking_outside__XXXXXXXX, its originals 01__talking_outside.
NAME = re.compile(r"(?P<target>\d+)(?:_(?P<source>\d+))?(?:__\w+)?")


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One folder of videos: a kind (`youtube`, `actors`, or a method) in one compression."""

    kind: str
    original: bool
    compression: str
    videos: Path


def read_faceforensics(
    path: Path, *, compression: str | None = None, kinds: Sequence[str] = (), splits: Path | None = None
) -> Files:
    """All videos of one compression (None: the one that is there) and of `kinds` (none given: all that are there).

    A kind is `youtube`, `actors` or a method. `splits` is the folder of the split files; it is looked for in `path`.
    Raises `LayoutError`.
    """
    parts = list(_parts(path))
    if not parts:
        raise refuse_layout(path, f"{ORIGINAL}/youtube/c23/videos/*.mp4, {MANIPULATED}/<method>/c23/videos/*.mp4")
    compression = _one_compression(path, parts, compression)
    there = sorted({part.kind for part in parts if part.compression == compression})
    if unknown := sorted(set(kinds) - set(there)):
        raise LayoutError(f"{path}: no videos of {', '.join(unknown)} in {compression}; there are {', '.join(there)}")
    chosen = [part for part in parts if part.compression == compression and (not kinds or part.kind in kinds)]
    result = Files()
    named: list[tuple[Found, tuple[str, ...]]] = []
    for part in chosen:
        for file in files(part.videos, EXTENSIONS):
            _take(file, part, named, result)
    split_of, pairs = _splits(path, splits, result)
    group = _components([*pairs, *(actors for _, actors in named)])
    for found, actors in named:
        sides = {split_of.get(actor) for actor in actors}
        side = sides.pop() if len(sides) == 1 else None
        result.found.append(replace(found, official_split=side, group_key=group[actors[0]]))
    return result


def _parts(path: Path) -> Iterable[_Part]:
    for side in (ORIGINAL, MANIPULATED):
        for kind in folders(path / side) if (path / side).is_dir() else []:
            for compression in folders(kind):
                if (compression / "videos").is_dir():
                    yield _Part(
                        kind=kind.name,
                        original=side == ORIGINAL,
                        compression=compression.name,
                        videos=compression / "videos",
                    )


def _one_compression(path: Path, parts: Sequence[_Part], wanted: str | None) -> str:
    there = sorted({part.compression for part in parts})
    if wanted is None and len(there) == 1:
        return there[0]
    if wanted is None:
        raise LayoutError(f"{path}: several compressions are there; choose one: --compression {'|'.join(there)}")
    if wanted not in there:
        raise LayoutError(f"{path}: nothing in {wanted}; there is {', '.join(there)}")
    return wanted


def _take(file: Path, part: _Part, named: list[tuple[Found, tuple[str, ...]]], result: Files) -> None:
    try:
        match = NAME.fullmatch(file.stem)
        if match is None or (match["source"] is None) != part.original:
            shape = "<id>.mp4" if part.original else "<target>_<source>.mp4"
            raise StageError(ErrorClass.UNSUPPORTED, f"not named as FaceForensics++ names its videos here: {shape}")
        source = identify_file(file).source
    except StageError as error:
        result.refused.append(Refused(item=f"{part.kind}/{file.name}", source=str(file), error=error))
        return
    # Ids of the actors' part are of another series than those of the YouTube part.
    series = "actor-" if "__" in file.stem else ""
    found = Found(
        provider=PROVIDER,
        provider_id=f"{part.kind}-{part.compression}-{file.stem}",
        source=source,
        label="original" if part.original else part.kind,
        title=file.stem,
        licence=TERMS,
    )
    named.append((found, tuple(f"{series}{id_}" for id_ in (match["target"], match["source"]) if id_ is not None)))


def _splits(path: Path, splits: Path | None, result: Files) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Each id's split, and the pairs."""
    places = [splits] if splits else [path / "splits", path / "dataset" / "splits"]
    place = next((place for place in places if all((place / f"{name}.json").is_file() for name in SPLITS)), None)
    if place is None:
        if splits:
            raise refuse_layout(splits, "train.json, val.json and test.json")
        result.remarks.append(
            "no official split: name the folder dataset/splits of github.com/ondyari/FaceForensics with --splits"
        )
        return {}, []
    split_of: dict[str, str] = {}
    pairs: list[tuple[str, str]] = []
    for name in SPLITS:
        for pair in _pairs(place / f"{name}.json"):
            pairs.append(pair)
            for id_ in pair:
                if split_of.setdefault(id_, name) != name:
                    raise LayoutError(f"{place / name}.json: {id_} is in {split_of[id_]}.json too")
    return split_of, pairs


def _pairs(file: Path) -> list[tuple[str, str]]:
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
        pairs = [(first, second) for first, second in listed]
        if not all(isinstance(id_, str) for pair in pairs for id_ in pair):
            raise ValueError("ids are strings")
    except (ValueError, TypeError) as error:
        raise LayoutError(f'{file}: no list of pairs of ids such as [["071", "054"]]: {error}') from None
    return pairs


def _components(joined: Iterable[Sequence[str]]) -> Mapping[str, str]:
    """Each id -> the smallest id that it is joined to, through however many others."""
    parent: dict[str, str] = {}

    def root(id_: str) -> str:
        parent.setdefault(id_, id_)
        while parent[id_] != id_:
            parent[id_] = parent[parent[id_]]
            id_ = parent[id_]
        return id_

    for ids in joined:
        for id_ in ids:
            one, other = sorted((root(ids[0]), root(id_)))
            parent[other] = one
    return {id_: root(id_) for id_ in list(parent)}
