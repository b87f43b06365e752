"""UCF101 (Soomro, Zamir, Shah 2012: arXiv 1212.0402): `<Class>/v_<Class>_gNN_cNN.avi`, and the lists of three splits.

A group (gNN) holds clips cut from one recording. `trainlist0N.txt` has lines `<Class>/<file>.avi <class number>`,
`testlist0N.txt` the same without the number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from curation.errors import ErrorClass, StageError
from curation.importers.layout import Files, Refused, files, folders, refuse_layout
from curation.providers.folder import identify_file
from curation.providers.found import Found

PROVIDER = "ucf101"
TERMS = "research use; clips from YouTube, rights with their owners"
LISTS = "ucfTrainTestlist"
VIDEO_NAME = re.compile(r"(?P<recording>v_\w+?_g\d+)_c\d+")
LINE = re.compile(r"(?P<label>[^/\s]+)/(?P<stem>[^/\s]+)\.avi(?:\s+\d+)?")


def read_ucf101(path: Path, *, split_list: int | None = 1, lists: Path | None = None) -> Files:
    """All videos of a UCF-101 folder with the official split `split_list` (1, 2 or 3; None: without).

    `lists` is the folder of the split files; it is looked for in `path` and beside it. Raises `LayoutError`.
    """
    videos = path / "UCF-101" if (path / "UCF-101").is_dir() else path
    classes = [(folder, avi) for folder in folders(videos) if (avi := files(folder, [".avi"]))]
    if not classes:
        raise refuse_layout(
            path, "folders of classes with .avi files (UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi)"
        )
    result = Files()
    for folder, avi in classes:
        for file in avi:
            _take(file, folder.name, result)
    if split_list is not None:
        _split(path, videos, split_list, lists, {folder.name for folder, _ in classes}, result)
    return result


def _take(file: Path, label: str, result: Files) -> None:
    try:
        match = VIDEO_NAME.fullmatch(file.stem)
        if match is None:
            raise StageError(ErrorClass.UNSUPPORTED, "not named as UCF101 names its videos: v_<Class>_gNN_cNN.avi")
        resolved = identify_file(file).source
    except StageError as error:
        result.refused.append(Refused(item=file.name, source=str(file), error=error))
        return
    result.found.append(
        Found(
            provider=PROVIDER,
            provider_id=file.stem,
            source=resolved,
            label=label,
            title=file.stem,
            licence=TERMS,
            group_key=match["recording"],
        )
    )


def _split(path: Path, videos: Path, number: int, lists: Path | None, classes: set[str], result: Files) -> None:
    places = [lists] if lists else [path / LISTS, videos / LISTS, videos.parent / LISTS]
    names = {"train": f"trainlist{number:02d}.txt", "test": f"testlist{number:02d}.txt"}
    place = next((place for place in places if all((place / name).is_file() for name in names.values())), None)
    if place is None:
        raise refuse_layout(
            lists or path,
            f"{names['train']} and {names['test']} in {'it' if lists else LISTS + '/ there or beside it'}"
            " (without them: --split-list none)",
        )
    split_of: dict[str, str] = {}
    there = {video.provider_id for video in result.found} | {
        refused.item.removesuffix(".avi") for refused in result.refused
    }
    absent: set[str] = set()
    for split, name in names.items():
        for line, label, stem in _listed(place / name, result):
            where = f"{name}, line {line}"
            if split_of.setdefault(stem, split) != split:
                # Training on it and testing on it: it belongs to neither side.
                split_of[stem] = ""
                error = StageError(ErrorClass.CORRUPT, f"listed in {names['train']} too; it gets no official split")
                result.refused.append(Refused(item=stem, source=where, error=error))
            elif stem not in there and label in classes:
                error = StageError(ErrorClass.MISSING, "listed, but no such file")
                result.refused.append(Refused(item=f"{label}/{stem}.avi", source=where, error=error))
            elif stem not in there:
                absent.add(label)
    result.found = [replace(video, official_split=split_of.get(video.provider_id) or None) for video in result.found]
    unlisted = sum(video.provider_id not in split_of for video in result.found)
    if unlisted:
        result.remarks.append(f"in neither list, so without an official split: {unlisted:,} videos")
    if absent:
        result.remarks.append(
            f"classes of the lists that are not there: {len(absent):,} ({', '.join(sorted(absent)[:5])})"
        )


def _listed(path: Path, result: Files) -> Iterator[tuple[int, str, str]]:
    """(line number, class, file without .avi) of each line; those that cannot be read are refused by number."""
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        match = LINE.fullmatch(line.strip())
        if match is None:
            error = StageError(ErrorClass.CORRUPT, f"no <Class>/<file>.avi: {line.strip()[:60]!r}")
            result.refused.append(Refused(item=f"{path.name}, line {number}", source=str(path), error=error))
            continue
        yield number, match["label"], match["stem"]
