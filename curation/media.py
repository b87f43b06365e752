"""Which files are the dataset's own. Only those are ever deleted; a file that a person keeps elsewhere is not."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from db.engine import Catalogue

SETTLED_SECONDS = 3600.0  # a file that nobody has written to for so long is nobody's work in progress


@dataclass(kw_only=True)
class Removed:
    """Files that are gone now, and their bytes; `elsewhere`: those that are not ours to delete."""

    files: list[str] = field(default_factory=list)  # relative to the dataset folder
    bytes: int = 0
    elsewhere: list[str] = field(default_factory=list)


def own(catalogue: Catalogue, stored: str) -> Path | None:
    """The absolute path of a file as the catalogue stores it, if it lies in the dataset folder; else None."""
    folder = catalogue.folder.resolve()
    path = catalogue.path(stored)
    # The parent is resolved, not the file: a link in our folder is ours, what it points to is not.
    with contextlib.suppress(OSError, RuntimeError):
        if (
            not Path(stored).is_absolute()
            and path.parent.resolve().is_relative_to(folder)
            and path.name not in ("", "..")
        ):
            return path
    return None


def size_of(path: Path) -> int:
    """Bytes that deleting this file frees; 0 if it is not there, or has another name elsewhere."""
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_size if status.st_nlink == 1 else 0


def remove(catalogue: Catalogue, stored: Iterable[str], removed: Removed, *, dry_run: bool = False) -> None:
    """Delete the dataset's own files among these, and count them; what is gone already is left out."""
    for name in stored:
        path = own(catalogue, name)
        if path is None:
            removed.elsewhere.append(name)
        elif path.is_symlink() or path.exists():
            freed = size_of(path)
            if not dry_run:
                path.unlink(missing_ok=True)
            removed.files.append(str(path.relative_to(catalogue.folder)))
            removed.bytes += freed


def settled(path: Path) -> bool:
    """Whether nobody has written to a file for an hour."""
    try:
        return time.time() - os.lstat(path).st_mtime > SETTLED_SECONDS
    except OSError:
        return False
