"""The files that killed downloads leave behind, and that nobody will finish."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select

from db.engine import Catalogue
from db.models import Video
from db.states import VideoState


def remove_tree(folder: Path) -> None:
    """Remove a folder, which another worker may be removing too."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def sweep(catalogue: Catalogue, partial: Path, busy: Collection[str]) -> list[str]:
    """Remove the begun downloads of videos that need none: done, taken down or unknown. Returns their ids.

    `partial` holds a folder a video; those of `busy` videos are left alone.
    """
    begun = [path.name for path in partial.iterdir() if path.is_dir()] if partial.is_dir() else []
    if not begun:
        return []
    with catalogue.reading() as session:
        wanted = (VideoState.QUEUED, VideoState.FAILED)
        needed = set(session.scalars(select(Video.id).where(Video.state.in_(wanted))))
    swept = [name for name in begun if name not in needed and name not in busy]
    for name in swept:
        remove_tree(partial / name)
    return swept
