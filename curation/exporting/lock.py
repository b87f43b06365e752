"""One export at a time: a file lock within a machine, a lease across machines that share a catalogue."""

from __future__ import annotations

import contextlib
import fcntl
import socket
from collections.abc import Iterator

from sqlalchemy import literal, select, update

from curation.exporting.recipe import HDF5
from db.engine import Catalogue
from db.leases import Claim, claim, held, release, worker_name
from db.models import Lease

STAGE = "export"
ITEM = "dataset"
LOCK = ".lock"  # in the shards folder, for exports of all formats


class ExportBusyError(Exception):
    """Another export is running on this dataset."""


@contextlib.contextmanager
def exporting(catalogue: Catalogue) -> Iterator[Claim]:
    """Hold the dataset's exports and their lease while the block runs. Raises `ExportBusyError`.

    The file lock ends with its process, however that dies; so with the lock in hand, a lease that is still held from
    this machine is a dead one's, and nobody waits for it to expire.
    """
    busy = ExportBusyError(f"another export of {catalogue.folder} is running; run this one again when it has ended")
    folder = catalogue.folder / HDF5.folder
    folder.mkdir(exist_ok=True)
    with (folder / LOCK).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        with catalogue.writing() as session:
            session.execute(
                update(Lease)
                .where(Lease.stage == STAGE, Lease.item_id == ITEM, Lease.owner.startswith(f"{socket.gethostname()}:"))
                .values(owner=None)
            )
        claims = claim(catalogue, STAGE, select(literal(ITEM)), worker_name())
        if not claims:
            raise busy
        try:
            with held(catalogue, claims[0]):
                yield claims[0]
        finally:
            release(catalogue, claims)
