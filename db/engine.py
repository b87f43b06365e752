"""Opening a dataset's catalogue: connections, transactions, versions, and who may use the folder.

SQLite runs in WAL mode with foreign keys on, and every writer begins with BEGIN IMMEDIATE: a deferred BEGIN that turns
into a write fails at once under contention. The same models run on PostgreSQL by URL.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

FOLDERS = ("videos", "clips", "previews", "shards")
CATALOGUE = "catalogue.sqlite"
BUSY_SECONDS = 60
MIGRATIONS = Path(__file__).parent / "migrations"
# Each migration's file name begins with its revision, and they follow each other by name.
REVISIONS = tuple(sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py")))


class CatalogueError(Exception):
    """The catalogue cannot be used; the message says why and what to do, in one line."""


class Catalogue:
    """An open dataset folder with its catalogue.

    `reading()` and `writing()` give sessions; `writing()` is one transaction, committed at its end and rolled back
    on an exception. Keep both short: never decode or download inside.
    """

    def __init__(self, folder: Path, engine: sa.Engine, lock: IO[str]) -> None:
        self.folder = folder
        self.engine = engine
        self._writer = engine.execution_options(stillflow_begin="BEGIN IMMEDIATE")
        self._lock = lock

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """A session for queries; nothing it changes is kept."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextlib.contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that is one write transaction."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def path(self, stored: str) -> Path:
        """The absolute path of a path as the catalogue stores it."""
        return self.folder / stored

    def close(self) -> None:
        """Close the connections and give the folder free."""
        self.engine.dispose()
        self._lock.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def create(folder: Path, url: str | None = None) -> Catalogue:
    """Make a dataset folder and its catalogue, or bring an older catalogue up to date.

    Takes the dataset for itself while it works. Raises `CatalogueError` if another command is using it, or if the
    catalogue is newer than this version.
    """
    folder = folder.absolute()
    try:
        for name in FOLDERS:
            (folder / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CatalogueError(f"{folder}: cannot make the dataset folder: {error.strerror or error}") from None
    with _lock_folder(folder, exclusive=True):
        engine = _engine(folder, url)
        try:
            current = _revision(engine, folder)
            if current is not None:
                _refuse_newer(current, folder)
            _migrate(engine)
        except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
            raise CatalogueError(f"{_name(folder, url)}: {_first_line(error)}") from None
        finally:
            engine.dispose()
    return open_catalogue(folder, url)


def open_catalogue(folder: Path, url: str | None = None) -> Catalogue:
    """Open an existing dataset folder.

    Raises `CatalogueError` if it is none, is being migrated, is damaged, or was made by another version.
    """
    folder = folder.absolute()
    if not folder.is_dir() or (url is None and not (folder / CATALOGUE).is_file()):
        raise CatalogueError(f"{folder} is not a dataset folder (no {CATALOGUE}); make one with: curate init {folder}")
    lock = _lock_folder(folder, exclusive=False)
    engine = _engine(folder, url)
    try:
        current = _revision(engine, folder)
        if current is None:
            raise CatalogueError(f"{_name(folder, url)} holds no catalogue; make one with: curate init {folder}")
        _refuse_newer(current, folder)
        if current != REVISIONS[-1]:
            raise CatalogueError(
                f"{_name(folder, url)} is of an older version; bring it up to date with: curate init {folder}"
            )
    except (sa.exc.DatabaseError, sqlite3.DatabaseError) as error:
        engine.dispose()
        lock.close()
        raise CatalogueError(f"{_name(folder, url)}: {_first_line(error)}; is it a catalogue?") from None
    except CatalogueError:
        engine.dispose()
        lock.close()
        raise
    return Catalogue(folder, engine, lock)


def _name(folder: Path, url: str | None) -> str:
    return str(folder / CATALOGUE) if url is None else sa.make_url(url).render_as_string(hide_password=True)


def _first_line(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).splitlines()[0]
    # What SQLite says where its journal cannot grow.
    return f"{text} (is the disk full?)" if text == "disk I/O error" else text


def _engine(folder: Path, url: str | None) -> sa.Engine:
    try:
        engine = sa.create_engine(url or f"sqlite:///{folder / CATALOGUE}")
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise CatalogueError(f"--database {url}: {_first_line(error)}") from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transaction handling would begin too late; _begin_sqlite does it instead.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("stillflow_begin", "BEGIN"))


def _migrate(engine: sa.Engine) -> None:
    # Late: it takes as long to load as the rest of a short command takes in all.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.commit()


def _revision(engine: sa.Engine, folder: Path) -> str | None:
    try:
        with engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return revision
    except sa.exc.OperationalError as error:
        raise CatalogueError(f"{folder}: {_first_line(error)}") from None


def _refuse_newer(current: str, folder: Path) -> None:
    if current not in REVISIONS:
        raise CatalogueError(
            f"{folder / CATALOGUE} was made by a newer version (schema {current}); update stillflow to use it"
        )


def _lock_folder(folder: Path, *, exclusive: bool) -> IO[str]:
    """Hold the folder's lock file until closed: shared for all commands, exclusive for init and migrations."""
    try:
        lock = (folder / ".lock").open("a")
    except OSError as error:
        raise CatalogueError(f"{folder}: cannot be used: {error.strerror or error}") from None
    try:
        fcntl.flock(lock, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        doing = "is in use by another command" if exclusive else "is being made or migrated by another command"
        raise CatalogueError(f"{folder} {doing}; try again when it has ended") from None
    os.set_inheritable(lock.fileno(), False)
    return lock
