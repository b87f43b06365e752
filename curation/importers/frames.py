"""Plain folders of frames: each folder with images in it is one video, its frames in numeric order."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from curation.errors import ErrorClass, StageError
from curation.importers.images import read_frames
from curation.importers.layout import IMAGES, Collection, Content, Made, Refused, files, folders, refuse_layout
from curation.providers.found import Found

PROVIDER = "frames"


def read_frame_folders(
    path: Path, *, fps: Fraction = Fraction(25), recursive: bool = False, label_from_folder: bool = False
) -> Collection:
    """`path` itself where it holds images, and the folders in it that do; with `recursive` all below it.

    The label is the name of the folder that a video's folder lies in. Raises `LayoutError` if there are no images.
    """
    root = path.resolve()
    candidates = [root, *(_below(root) if recursive else folders(root))]
    videos = [(folder, frames) for folder in candidates if (frames := files(folder, IMAGES))]
    if not videos:
        deeper = "" if recursive else "; folders further down are looked into with --recursive"
        raise refuse_layout(path, f"images, or folders with images in them{deeper}")
    return Collection(items=_items(videos, fps, label_from_folder), total=len(videos))


def _below(folder: Path) -> Iterator[Path]:
    for inner in folders(folder):
        if not os.path.islink(inner):  # noqa: PTH114  a link may lead in a circle
            yield inner
            yield from _below(inner)


def _items(videos: Sequence[tuple[Path, list[Path]]], fps: Fraction, labelled: bool) -> Iterator[Made | Refused]:
    for folder, frames in videos:
        name = str(folder)
        try:
            name.encode()
        except UnicodeEncodeError:
            error = StageError(ErrorClass.UNSUPPORTED, "the folder's name is not UTF-8; rename it")
            yield Refused(item=ascii(folder.name), source=ascii(str(folder.parent)), error=error)
            continue
        found = Found(
            provider=PROVIDER,
            provider_id=name,
            source=name,
            title=folder.name,
            label=folder.parent.name if labelled else None,
        )
        yield Made(found=found, fps=fps, read=functools.partial(_read, frames))


def _read(frames: Sequence[Path]) -> Content:
    return Content(frames=read_frames(frames))
