"""What a dataset folder needs to be worked on: room, the right to write, a catalogue in order, leases, a clock."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, select

from curation.downloading.pauses import site_name
from curation.upkeep.doctor import Check
from db.engine import CATALOGUE, Catalogue, CatalogueError, open_catalogue
from db.leases import is_dead
from db.models import Attempt, Clip, Decision, Lease, Pause, Video, now

NEEDED_FREE = 256_000_000  # bytes; `curate download` stops below it
GOOD_FREE = 5_000_000_000
SKEW = timedelta(minutes=2)


def folder(path: Path) -> Iterator[Check]:
    """Room and the right to write, in a folder that may be a dataset or not."""
    name = f"folder {path.absolute()}"
    if not path.is_dir():
        yield Check(
            name=name, state="missing", found="no such folder", cost="there is nothing to work on",
            remedy="name another with --dataset, or make one: curate init",
        )  # fmt: skip
        return
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-"):
            pass
    except OSError as error:
        yield Check(
            name=name, state="missing", found=f"cannot be written to: {error.strerror}",
            cost="no command can store anything", remedy="change its owner or its rights, or use another folder",
        )  # fmt: skip
    else:
        yield Check(name=name, state="ok", found="can be written to")
    yield disk(shutil.disk_usage(path).free)


def disk(free: int) -> Check:
    """The room on the folder's disk."""
    found = f"{free / 1e9:,.1f} GB free"
    if free >= GOOD_FREE:
        return Check(name="disk", state="ok", found=found)
    return Check(
        name="disk",
        state="missing" if free < NEEDED_FREE else "warning",
        found=found,
        cost="an hour of video takes about 0.3 GB at 360 lines, 100 exported clips of 10 s 1.2 GB at 128x128",
        remedy="free some room, or drop what is not needed any more: curate prune",
    )


def catalogue(path: Path, url: str | None) -> Iterator[Check]:
    """The catalogue, if there is one, and who says to be working on it."""
    if url is None and not (path / CATALOGUE).is_file():
        yield Check(name="catalogue", state="ok", found=f"none here ({CATALOGUE}); make one with: curate init")
        return
    try:
        opened = open_catalogue(path, url)
    except CatalogueError as error:
        # The message has its remedy with it.
        yield Check(
            name="catalogue", state="missing", found=str(error), cost="no command can use this dataset",
            remedy="see there, or put a copy made before in its place",
        )  # fmt: skip
        return
    with opened:
        try:
            yield integrity(opened)
            yield leases(opened)
            yield pauses(opened)
            yield clock(opened)
        except sa.exc.DatabaseError as error:
            yield _damaged(str(error.orig).splitlines()[0])


def integrity(opened: Catalogue) -> Check:
    """SQLite's own quick check of the file, and the schema's version."""
    with opened.engine.connect() as connection:
        version = MigrationContext.configure(connection).get_current_revision()
        if connection.dialect.name == "sqlite":
            said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check(3)")]
            if said != ["ok"]:
                return _damaged("; ".join(said).replace("\n", " "))
    with opened.reading() as session:
        videos = session.scalar(select(func.count()).select_from(Video)) or 0
        clips = session.scalar(select(func.count()).select_from(Clip)) or 0
    return Check(name="catalogue", state="ok", found=f"schema {version}, sound; {videos:,} videos, {clips:,} clips")


def _damaged(said: str) -> Check:
    return Check(
        name="catalogue", state="missing", found=f"damaged: {said}", cost="commands fail, or miss what is lost",
        remedy=f"put a copy made before in its place, or: sqlite3 {CATALOGUE} .recover",
    )  # fmt: skip


def leases(opened: Catalogue) -> Check:
    """Items in the hands of workers, and of workers that have died."""
    with opened.reading() as session:
        held = session.scalars(select(Lease).where(Lease.owner.is_not(None))).all()
    moment = now()
    dead = [lease for lease in held if lease.expires_at <= moment or is_dead(lease.owner or "")]
    if not dead:
        return Check(name="leases", state="ok", found=f"items being worked on: {len(held):,}")
    named = ", ".join(sorted({lease.stage for lease in dead}))
    return Check(
        name="leases",
        state="warning",
        found=f"{len(dead):,} of {len(held):,} are of workers that have died ({named})",
        cost="none: their items are taken over by the next call",
        remedy=f"run again what was killed: {named}",
    )


def pauses(opened: Catalogue) -> Check:
    """Sites that are left alone for a while."""
    with opened.reading() as session:
        standing = session.scalars(select(Pause).where(Pause.until > now()).order_by(Pause.provider)).all()
    if not standing:
        return Check(name="pauses", state="ok", found="no site is left alone")
    first = standing[0]
    return Check(
        name="pauses",
        state="warning",
        found=", ".join(
            f"{site_name(each.provider)} until {each.until:%Y-%m-%d %H:%M} UTC ({each.error_class})"
            for each in standing
        ),
        cost="their videos wait",
        remedy=f"wait, or: curate retry --error {first.error_class}",
    )


def clock(opened: Catalogue) -> Check:
    """Nothing in the catalogue can be of a later time than this."""
    columns = (Video.created_at, Clip.created_at, Attempt.ended_at, Decision.created_at)
    with opened.reading() as session:
        newest = [session.scalar(select(func.max(column))) for column in columns]
    return clock_of(max((moment for moment in newest if moment is not None), default=None), now())


def clock_of(newest: datetime | None, moment: datetime) -> Check:
    """The clock, given the newest time in the catalogue."""
    if newest is None or newest <= moment + SKEW:
        return Check(name="clock", state="ok", found=f"{moment:%Y-%m-%d %H:%M} UTC")
    return Check(
        name="clock",
        state="warning",
        found=f"it is {moment:%Y-%m-%d %H:%M} UTC, and the catalogue has entries of {newest:%Y-%m-%d %H:%M}",
        cost="leases, pauses and the days of quotas run out at wrong times",
        remedy="set this machine's clock, or that of the other one that works on this dataset",
    )


def time_zones() -> Check:
    """What the days of YouTube's quota are counted by."""
    try:
        ZoneInfo("America/Los_Angeles")
    except ZoneInfoNotFoundError:
        return Check(
            name="time zones", state="missing", found="none", cost="curate search cannot count YouTube's quota",
            remedy="pip install tzdata",
        )  # fmt: skip
    return Check(name="time zones", state="ok", found="there")
