"""What killed workers leave behind: leases that nobody will give back, and files that nobody will finish."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
from collections.abc import Collection
from pathlib import Path

from sqlalchemy import select, update

from db.engine import Catalogue
from db.models import Lease, Video, now
from db.states import VideoState


def free_leases_of_the_dead(catalogue: Catalogue, stage: str) -> int:
    """Give back the leases of a stage whose owners ran on this machine and do not any more. Returns how many.

    Other machines' leases, and those of a process whose number is in use again, run out by themselves.
    """
    with catalogue.reading() as session:
        held = session.scalars(
            select(Lease).where(Lease.stage == stage, Lease.owner.is_not(None), Lease.expires_at > now())
        ).all()
    dead = [lease for lease in held if lease.owner is not None and _is_dead(lease.owner)]
    if not dead:
        return 0
    freed = 0
    with catalogue.writing() as session:
        for lease in dead:
            same = (Lease.stage == stage, Lease.item_id == lease.item_id, Lease.token == lease.token)
            freed += session.execute(update(Lease).where(*same).values(owner=None)).rowcount  # type: ignore[attr-defined]
    return freed


def _is_dead(owner: str) -> bool:
    """Whether a worker (`db.leases.worker_name`) is of this machine and its process has ended."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdigit():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    try:
        # Killed but not yet waited for by its parent: it holds nothing any more.
        return Path(f"/proc/{rest}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


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
