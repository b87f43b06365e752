"""The files that killed downloads leave behind, and that nobody will finish."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select

from db.engine import Catalogue
from db.models import Extra, Lease, Section, Video, now
from db.states import VideoState

STAGE = "download"


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


def sweep_placed(catalogue: Catalogue, folder: Path) -> list[str]:
    """Remove the files in `folder` that a killed download put in place and that no row names. Returns their names.

    Only files of videos that a download once had in hand, and that none has now, are touched: `<video id>.<...>`.
    """
    # First the files, then the rows: what is placed in between has its lease held, or its row written.
    found = {path.name: path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    with catalogue.reading() as session:
        named = set(session.scalars(select(Video.path).where(Video.path.is_not(None))))
        named |= set(session.scalars(select(Section.path).where(Section.path.is_not(None))))
        named |= set(session.scalars(select(Extra.path)))
        leases = session.execute(select(Lease.item_id, Lease.owner, Lease.expires_at).where(Lease.stage == STAGE)).all()
    moment = now()
    idle = {item for item, owner, expires_at in leases if owner is None or expires_at <= moment}
    named_files = {catalogue.path(stored) for stored in named if stored is not None}
    swept = [name for name, path in sorted(found.items()) if path not in named_files and name.partition(".")[0] in idle]
    for name in swept:
        found[name].unlink(missing_ok=True)
    return swept
