"""Local video files: named one by one, or all those of a folder; they are used where they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from curation.errors import ErrorClass, StageError
from curation.providers.found import FILE, Fetched, Found

# What FFmpeg reads and people keep videos in. The name decides what is looked at, the content what is taken.
# fmt: off
EXTENSIONS = frozenset({
    ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m1v", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpe",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogg", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv", ".y4m",
})
# fmt: on


def identify_file(path: Path, label: str | None = None) -> Found:
    """The video that a path names. Raises `StageError` if there is no file with anything in it."""
    try:
        resolved = path.resolve(strict=True)
        status = resolved.stat()
    except FileNotFoundError:
        raise StageError(ErrorClass.MISSING, "no such file (an address begins with http:// or https://)") from None
    except (OSError, RuntimeError, ValueError) as error:  # unreadable folder, endless links, a NUL in the name
        raise StageError(ErrorClass.MISSING, getattr(error, "strerror", None) or str(error)) from None
    if resolved.is_dir():
        raise StageError(ErrorClass.UNSUPPORTED, "a folder; bring its videos in with: curate import folder")
    if not resolved.is_file():
        raise StageError(ErrorClass.UNSUPPORTED, "not a regular file")
    if status.st_size == 0:
        raise StageError(ErrorClass.CORRUPT, "the file is empty")
    if not os.access(resolved, os.R_OK):
        raise StageError(ErrorClass.MISSING, "the file may not be read by you")
    name = str(resolved)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise StageError(ErrorClass.UNSUPPORTED, "the file's name is not UTF-8; rename it") from None
    return Found(provider=FILE, provider_id=name, source=name, label=label)


def list_folder(folder: Path, *, recursive: bool) -> list[Path]:
    """The video files of a folder, by their extensions, in numeric order; hidden files and folders are left out."""
    return sorted(_walk(folder, recursive), key=lambda path: natural_key(path.relative_to(folder)))


def _walk(folder: Path, recursive: bool) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS:
                yield Path(parent) / name


def _refuse(error: OSError) -> None:
    # os.walk would leave an unreadable folder out without a word.
    raise error


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """A sort key by which 2.mp4 comes before 10.mp4, folder by folder."""
    key: list[tuple[int, int, str]] = []
    for part in path.parts:
        for piece in re.split(r"(\d+)", part):
            if piece.isascii() and piece.isdigit():
                key.append((1, int(piece), piece))
            elif piece:
                key.append((2, 0, piece.casefold()))
        key.append((0, 0, part))
    return key


def fetch_file(source: str) -> Fetched:
    """A known local file, as it is. Raises `StageError` (missing, corrupt) if it is not there any more."""
    identify_file(Path(source))
    return Fetched(path=Path(source), stays=True)
