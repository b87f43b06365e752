"""Videos made of frames: each a lossless file in videos/, checked as a download is, then its row.

Files come first and rows in batches behind them, so that a killed import leaves files without rows, which the same
command makes again, byte for byte. One import of a data set runs at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.classify import classify
from curation.downloading.checked import Checked
from curation.downloading.fetching import VIDEOS
from curation.errors import ErrorClass, StageError
from curation.importers.census import Census
from curation.importers.layout import Made, Refused
from curation.importers.lossless import SUFFIX, write_lossless
from curation.importers.queueing import complete
from curation.probe import check_decodes, probe
from curation.providers.found import Fetched, Found
from db.engine import Catalogue
from db.files import replacing, sha256_of
from db.models import Extra, Query, Video, now
from db.states import VideoState, move_video

BATCH = 64  # videos in one transaction


class ImportBusyError(Exception):
    """Another import of the same data set is running."""


@dataclass(kw_only=True)
class Imported:
    """What an import came to: ids made now, numbers known and mended, items refused, and the census of all of them."""

    new: list[str] = field(default_factory=list)
    known: int = 0
    mended: list[str] = field(default_factory=list)  # known ones whose file was gone
    filled: int = 0  # known ones that got a split, group, label or terms that they lacked
    other_split: list[str] = field(default_factory=list)  # known ones that keep another official split
    refused: list[Refused] = field(default_factory=list)
    census: Census = field(default_factory=Census)


@dataclass(frozen=True, kw_only=True)
class _File:
    """A made video, in its place."""

    found: Found
    checked: Checked
    extras: dict[str, tuple[str, str]]  # name -> (path relative to the dataset folder, SHA-256)


def make_videos(
    catalogue: Catalogue,
    items: Iterable[Made | Refused],
    *,
    provider: str,
    phrase: str,
    settings: dict[str, Any],
    dry_run: bool = False,
    workers: int = 1,
    done: Callable[[], None] = lambda: None,
) -> Imported:
    """Make all videos that the catalogue does not have, `workers` at once. `done` is called after each item.

    Raises `ImportBusyError`, and `StageError` (disk-full) at once; other errors are the item's own.
    """
    with _alone(catalogue, provider) if not dry_run else contextlib.nullcontext():
        work = _Import(catalogue, provider=provider, phrase=phrase, settings=settings, dry_run=dry_run)
        # Threads do: encoding, hashing and waiting for the disk leave Python to the others.
        with ThreadPoolExecutor(workers, thread_name_prefix="import") as pool:
            try:
                for item in items:
                    work.take(item, pool)
                    work.settle(keep=2 * workers)
                    done()
                work.settle()
            finally:  # also on Ctrl-C: what is made is made
                pool.shutdown(cancel_futures=True)
                work.keep_the_made()
        if not dry_run:
            work.result.filled, work.result.other_split = complete(catalogue, work.repeated)
    return work.result


def _make(catalogue: Catalogue, item: Made) -> _File:
    """Write, read back and hash one video and its extras. Raises `StageError`."""
    found = item.found
    path = catalogue.folder / VIDEOS / f"{found.id}{SUFFIX}"
    try:
        content = item.read()
        count = write_lossless(path, content.frames, item.fps)
        info = probe(path)
        check_decodes(info)
        extras = {}
        for name, rows in content.extras.items():
            if len(rows) != count:
                raise ValueError(f"{found.id}: {name} has {len(rows)} rows for {count} frames")
            extras[name] = _save_extra(path.with_name(f"{found.id}.{name}.npy"), rows)
    except StageError:
        path.unlink(missing_ok=True)
        raise
    except OSError as error:
        path.unlink(missing_ok=True)
        raise classify(error) from error
    checked = Checked(
        stored=f"{VIDEOS}/{path.name}",
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        info=info,
        fetched=Fetched(path=path, stays=False, title=found.title, licence=found.licence),
    )
    return _File(found=found, checked=checked, extras=extras)


def _save_extra(path: Path, rows: np.ndarray[Any, Any]) -> tuple[str, str]:
    with replacing(path) as partial, partial.open("wb") as stream:
        np.save(stream, np.ascontiguousarray(rows), allow_pickle=False)
    return f"{VIDEOS}/{path.name}", sha256_of(path)


class _Import:
    """One call: has the files of items made, and writes rows in batches for files that are in place."""

    def __init__(
        self, catalogue: Catalogue, *, provider: str, phrase: str, settings: dict[str, Any], dry_run: bool
    ) -> None:
        self.result = Imported()
        self.repeated: list[Found] = []
        self._catalogue = catalogue
        self._dry_run = dry_run
        self._query = Query(provider=f"import {provider}", phrase=phrase, settings=settings)
        self._query_id: int | None = None
        self._rank = 0
        self._known = _known(catalogue, provider)
        self._named: set[str] = set()
        self._making: deque[tuple[Found, Future[_File]]] = deque()
        self._waiting: list[tuple[_File, bool]] = []

    def take(self, item: Made | Refused, pool: Executor) -> None:
        """Have one item made, if it is not there."""
        if isinstance(item, Refused):
            self.result.refused.append(item)
            return
        found = item.found
        if found.id in self._named:
            twice = StageError(ErrorClass.UNSUPPORTED, "another item of this data set has the same name")
            self.result.refused.append(Refused(item=found.provider_id, source=found.source, error=twice))
            return
        self._named.add(found.id)
        if self._known.get(found.id, False):
            self.repeated.append(found)
            self.result.known += 1
            self.result.census.count(found)
        elif self._dry_run:
            self.result.new.append(found.id)
            self.result.census.count(found)
        else:
            self._making.append((found, pool.submit(_make, self._catalogue, item)))

    def settle(self, keep: int = 0) -> None:
        """Wait until at most `keep` items are being made. Raises `StageError` (disk-full)."""
        while len(self._making) > keep:
            found, future = self._making[0]
            try:
                file = future.result()
            except StageError as error:
                if error.error_class is ErrorClass.DISK_FULL:
                    raise
                self.result.refused.append(Refused(item=found.provider_id, source=found.source, error=error))
            else:
                self._made(file)
            self._making.popleft()

    def keep_the_made(self) -> None:
        """Write the rows of all that was made, also where the call ends early."""
        for _, future in self._making:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._made(future.result())
        self._making.clear()
        self._flush()

    def _made(self, file: _File) -> None:
        self.result.census.count(file.found)
        self._waiting.append((file, file.found.id in self._known))
        if len(self._waiting) >= BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        with self._catalogue.writing() as session:
            if self._query_id is None:
                session.add(self._query)
                session.flush()
                self._query_id = self._query.id
            for file, mends in self._waiting:
                self._write(session, file, mends)
        for file, mends in self._waiting:
            (self.result.mended if mends else self.result.new).append(file.found.id)
        self._waiting = []

    def _write(self, session: Session, file: _File, mends: bool) -> None:
        found = file.found
        if mends:
            video = session.get_one(Video, found.id)
            if video.state == VideoState.TAKEN_DOWN:  # meanwhile
                return
        else:
            video = Video(
                id=found.id,
                provider=found.provider,
                provider_id=found.provider_id,
                state=VideoState.QUEUED,
                label=found.label,
                official_split=found.official_split,
                group_key=found.group_key,
                query_id=self._query_id,
                query_rank=self._rank,
            )
            self._rank += 1
            session.add(video)
        video.source = found.source
        move_video(video, VideoState.DOWNLOADED)
        file.checked.fill(session, video)
        video.error = video.error_class = video.retry_at = None
        video.tries = 0
        video.downloaded_at = now()
        session.flush()
        for name, (path, sha256) in file.extras.items():
            session.merge(Extra(video_id=found.id, name=name, path=path, sha256=sha256))


def _known(catalogue: Catalogue, provider: str) -> dict[str, bool]:
    """The data set's videos in the catalogue -> whether they are to be left alone; the others lost their file."""
    with catalogue.reading() as session:
        rows = session.execute(
            select(Video.id, Video.state, Video.path, Video.pruned_at).where(Video.provider == provider)
        ).all()
    return {
        id_: state == VideoState.TAKEN_DOWN
        or pruned_at is not None
        or (state == VideoState.DOWNLOADED and path is not None and catalogue.path(path).is_file())
        for id_, state, path, pruned_at in rows
    }


@contextlib.contextmanager
def _alone(catalogue: Catalogue, provider: str) -> Iterator[None]:
    """Hold the data set's lock file, and clear away what a killed import left half-written."""
    folder = catalogue.folder / VIDEOS
    folder.mkdir(exist_ok=True)
    with (folder / f".import-{provider}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ImportBusyError(
                f"another import of {provider} into {catalogue.folder} is running; run this one again when it has ended"
            ) from None
        for left in folder.glob(f".{provider}-*.part"):
            left.unlink(missing_ok=True)
        yield
