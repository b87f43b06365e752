"""The files that killed downloads leave behind, and that nobody will finish."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.engine import Catalogue
from db.leases import claim, release, worker_name
from db.models import Extra, Lease, Section, Video
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
    found = {path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")}
    with catalogue.reading() as session:
        taken_up = select(Lease.item_id).where(Lease.stage == STAGE)
        known = set(session.scalars(select(Video.id).where(Video.id.in_(taken_up))))
        suspects = {id_: path for path in found - _named(catalogue, session) if (id_ := _id_of(path)) in known}
    if not suspects:
        return []
    # Nobody else may place a file of these while they are looked at again.
    claims = claim(catalogue, STAGE, select(Video.id).where(Video.id.in_(suspects)), worker_name(), limit=len(suspects))
    try:
        mine = {claimed.item_id for claimed in claims}
        with catalogue.reading() as session:
            named = _named(catalogue, session)
        swept = sorted(path for path in found - named if _id_of(path) in mine)
        for path in swept:
            path.unlink(missing_ok=True)
    finally:
        release(catalogue, claims)
    return [path.name for path in swept]


def _id_of(path: Path) -> str:
    return path.name.partition(".")[0]


def _named(catalogue: Catalogue, session: Session) -> set[Path]:
    """The files in videos/ that rows name."""
    stored = [path for column in (Video.path, Section.path, Extra.path) for path in session.scalars(select(column))]
    return {catalogue.path(path) for path in stored if path is not None}
