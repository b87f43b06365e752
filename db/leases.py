"""Leases: how workers, in one process or many, share the items of a stage without doing one twice.

A claim carries a fencing token that grows with each claim of the item. A worker that lost its lease (it expired while
it hung, and another claimed the item) finds its token stale when it finishes, and its result is dropped.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from db.engine import Catalogue
from db.models import Lease, now

LEASE_SECONDS = 120.0
LOOKED_AHEAD, SPARE = 500, 10  # items


class LeaseLost(Exception):
    """Another worker claimed the item in the meantime; its result stands."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right to work on one item of one stage until it expires."""

    stage: str
    item_id: str
    owner: str
    token: int


def worker_name(number: int = 0) -> str:
    """A name for a worker that is unique among all that may share the dataset."""
    return f"{socket.gethostname()}:{os.getpid()}:{number}"


def claim(
    catalogue: Catalogue,
    stage: str,
    candidates: Select[Any],
    owner: str,
    *,
    limit: int = 1,
    seconds: float = LEASE_SECONDS,
) -> list[Claim]:
    """Claim up to `limit` of the `candidates` (a query for item ids) that nobody holds, in the query's order."""
    with catalogue.writing() as session:
        moment = now()
        wanted: list[str] = list(session.scalars(_free(stage, candidates).limit(limit)))
        known = {
            lease.item_id: lease
            for lease in session.scalars(select(Lease).where(Lease.stage == stage, Lease.item_id.in_(wanted)))
        }
        claims = []
        for item_id in wanted:
            lease = known.get(item_id)
            if lease is None:
                lease = Lease(stage=stage, item_id=item_id, token=0)
                session.add(lease)
            lease.owner = owner
            lease.token += 1
            lease.expires_at = moment + timedelta(seconds=seconds)
            claims.append(Claim(stage=stage, item_id=item_id, owner=owner, token=lease.token))
        return claims


def _free(stage: str, candidates: Select[Any]) -> Select[Any]:
    """Those of the candidates that nobody holds now."""
    mine = (Lease.stage == stage, Lease.item_id == candidates.selected_columns[0])
    return candidates.where(~exists().where(*mine, Lease.owner.is_not(None), Lease.expires_at > now()))


class Claims:
    """Claims a stage's items in order. They are looked for a few hundred at a time, since a look may go through all
    items of the data set; whether each is still a candidate, and free, is asked when it is claimed."""

    def __init__(self, catalogue: Catalogue, stage: str, candidates: Select[Any], owner: str) -> None:
        self._catalogue = catalogue
        self._stage = stage
        self._candidates = candidates
        self._owner = owner
        self._ahead: list[str] = []

    def take(self, limit: int) -> list[Claim]:
        """Up to `limit` claims; none if nothing is left that nobody holds."""
        identity = self._candidates.selected_columns[0]
        claims: list[Claim] = []
        while len(claims) < limit:
            if not self._ahead:
                with self._catalogue.reading() as session:
                    self._ahead = list(session.scalars(_free(self._stage, self._candidates).limit(LOOKED_AHEAD)))
                if not self._ahead:
                    break
            # More than are wanted: another command may have taken some.
            some = self._ahead[: limit + SPARE]
            wanted = self._candidates.where(identity.in_(some))
            claimed = claim(self._catalogue, self._stage, wanted, self._owner, limit=limit - len(claims))
            claims += claimed
            # All that come before the last one claimed are other commands', or no candidates any more.
            passed = some.index(claimed[-1].item_id) + 1 if len(claims) == limit else len(some)
            self._ahead = self._ahead[passed:]
        return claims


def finish(session: Session, claimed: Claim) -> None:
    """Give the item back, in the transaction that stores its result. Raises `LeaseLost` if the claim is stale."""
    done = session.execute(update(Lease).where(_is(claimed)).values(owner=None))
    if done.rowcount != 1:  # type: ignore[attr-defined]
        raise LeaseLost(f"{claimed.stage} of {claimed.item_id} was taken over by another worker")


def release(catalogue: Catalogue, claims: list[Claim]) -> None:
    """Give items back without a result; stale claims are ignored."""
    if not claims:
        return
    with catalogue.writing() as session:
        for claimed in claims:
            session.execute(update(Lease).where(_is(claimed)).values(owner=None))


def renew(catalogue: Catalogue, claimed: Claim, seconds: float = LEASE_SECONDS) -> None:
    """Hold an item longer. Raises `LeaseLost` if the claim is stale."""
    with catalogue.writing() as session:
        expires = now() + timedelta(seconds=seconds)
        done = session.execute(update(Lease).where(_is(claimed)).values(expires_at=expires))
        if done.rowcount != 1:  # type: ignore[attr-defined]
            raise LeaseLost(f"{claimed.stage} of {claimed.item_id} was taken over by another worker")


@contextmanager
def held(catalogue: Catalogue, claimed: Claim, seconds: float = LEASE_SECONDS) -> Iterator[None]:
    """Renew a claim in the background for as long as the block runs; `finish` tells if it was lost all the same."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(seconds / 3):
            try:
                renew(catalogue, claimed, seconds)
            except LeaseLost:
                return
            except OperationalError:  # busy, or the disk is full: `finish` will tell, if it has not passed by then
                continue

    thread = threading.Thread(target=beat, name=f"lease {claimed.item_id}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def free_leases_of_the_dead(catalogue: Catalogue, stage: str) -> int:
    """Give back the leases of a stage whose owners ran on this machine and do not any more. Returns how many.

    Other machines' leases, and those of a process whose number is in use again, run out by themselves.
    """
    with catalogue.reading() as session:
        held = session.scalars(
            select(Lease).where(Lease.stage == stage, Lease.owner.is_not(None), Lease.expires_at > now())
        ).all()
    dead = [lease for lease in held if lease.owner is not None and is_dead(lease.owner)]
    if not dead:
        return 0
    freed = 0
    with catalogue.writing() as session:
        for lease in dead:
            same = (Lease.stage == stage, Lease.item_id == lease.item_id, Lease.token == lease.token)
            freed += session.execute(update(Lease).where(*same).values(owner=None)).rowcount  # type: ignore[attr-defined]
    return freed


def is_dead(owner: str) -> bool:
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


def _is(claimed: Claim) -> ColumnElement[bool]:
    return and_(
        Lease.stage == claimed.stage,
        Lease.item_id == claimed.item_id,
        Lease.owner == claimed.owner,
        Lease.token == claimed.token,
    )
