"""One video: fetched, checked, hashed and put in its place, so that a row which says `downloaded` can be believed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from curation.classify import classify
from curation.downloading.checked import Checked, CheckedSection, CheckedSections
from curation.downloading.orphans import remove_tree
from curation.downloading.section_fetching import SectionsWanted, fetch_sections
from curation.errors import Action, ErrorClass, StageError
from curation.probe import VideoInfo, check_decodes, probe
from curation.providers.folder import fetch_file
from curation.providers.found import Fetched
from curation.providers.ranges import NotInParts
from curation.providers.urls import is_url
from db.engine import Catalogue
from db.files import sha256_of, sync
from db.models import Video

if TYPE_CHECKING:
    from curation.providers.ytdlp import WebFetcher

VIDEOS = "videos"
PARTIAL = ".partial"  # in videos/, so that renaming into place never crosses disks
SECTIONS = "sections"  # in a video's folder in there
MEGABYTE = 1_000_000
NO_SECTIONS = SectionsWanted()
Watch = Callable[[int, int | None], None]


class BusyElsewhere(Exception):
    """Another worker, hung or slow, still has the video's folder open."""


class Fetcher:
    """Fetches videos for the workers of one call. `make_web` is called at the first web video: yt-dlp loads slowly."""

    def __init__(self, catalogue: Catalogue, make_web: Callable[[], WebFetcher], *, keep_free: int) -> None:
        self._folder = catalogue.folder / VIDEOS
        self.partial = self._folder / PARTIAL
        self._make_web = make_web
        self._web: WebFetcher | None = None
        self._web_lock = threading.Lock()
        self._keep_free = keep_free

    def fetch(self, video: Video, watch: Watch, wanted: SectionsWanted = NO_SECTIONS) -> Checked | CheckedSections:
        """Bring one video in, or the sections of it that are wanted alone.

        Raises `StageError`, `BusyElsewhere`, or the provider's `Cancelled`.
        """
        try:
            if not is_url(video.source) or _given(video):
                return self._check_local(video)
            self.guard_space()
            with self._own(self.partial / video.id) as folder:
                return self._fetch_web(video, folder, wanted, watch)
        except OSError as error:
            raise classify(error) from error

    def clean(self, video_id: str) -> None:
        """Remove what is left of a download whose row says done."""
        remove_tree(self.partial / video_id)

    def guard_space(self) -> None:
        """Raise `StageError` (disk-full) if less is free than is to stay free."""
        free = shutil.disk_usage(self._folder).free
        if free < self._keep_free:
            raise StageError(
                ErrorClass.DISK_FULL,
                f"{free // MEGABYTE:,} MB are free in {self._folder} and {self._keep_free // MEGABYTE:,} MB are to stay"
                " free; free some space and run the command again",
            )

    def _check_local(self, video: Video) -> Checked:
        fetched = self._made(video) or fetch_file(_given(video) or video.source)
        before = fetched.path.stat()
        info, sha256 = _check(fetched.path)
        after = fetched.path.stat()
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise StageError(
                ErrorClass.MISSING, f"{fetched.path}: was written to while it was read; run download again"
            )
        stored = str(fetched.path) if fetched.stays else str(video.path)
        return Checked(stored=stored, sha256=sha256, bytes=after.st_size, info=info, fetched=fetched)

    def _made(self, video: Video) -> Fetched | None:
        """The file that an import made of a source that is no video itself; only the import can make it again."""
        if video.path is None or Path(video.path).is_absolute():
            return None
        path = self._folder.parent / video.path
        if not path.is_file():
            raise StageError(ErrorClass.MISSING, f"{path}: gone; make it again with: curate import {video.provider}")
        return Fetched(path=path, stays=False)

    def _fetch_web(self, video: Video, folder: Path, wanted: SectionsWanted, watch: Watch) -> Checked | CheckedSections:
        try:
            whole_because = None
            if wanted:
                try:
                    return self._fetch_sections(video, folder, wanted, watch)
                except NotInParts as reason:
                    whole_because = str(reason)
                    remove_tree(folder / SECTIONS)
            fetched, info, sha256 = self._fetch_and_check(video, folder, watch)
            path = self._place(fetched.path, video.id)
            self._remove_others(video.id, [path])
        except StageError as error:
            # What cannot be continued, or is not worth it, is not kept.
            begun = [folder / name for name in ("part", SECTIONS)]
            if error.error_class is ErrorClass.DISK_FULL:
                _give_room_back(folder / "part")
            if error.policy.action is Action.GIVE_UP or not any(
                each.is_dir() and any(each.iterdir()) for each in begun
            ):
                remove_tree(folder)
            raise
        return Checked(
            stored=self._stored(path),
            sha256=sha256,
            bytes=path.stat().st_size,
            info=info,
            fetched=fetched,
            whole_because=whole_because,
        )

    def _fetch_sections(self, video: Video, folder: Path, wanted: SectionsWanted, watch: Watch) -> CheckedSections:
        guarded = self._guarding_space(watch)
        found = fetch_sections(self._fetcher(), video.source, wanted, folder / SECTIONS, guarded)
        sections, paths = [], [*wanted.kept]
        for each in found.sections:
            path = None if each.path is None else self._place(each.path, f"{video.id}.s{each.index:03d}")
            paths += [] if path is None else [path]
            sections.append(
                CheckedSection(
                    index=each.index,
                    start=each.start,
                    end=each.end,
                    stored=None if path is None else self._stored(path),
                    sha256=each.sha256,
                    bytes=None if path is None else path.stat().st_size,
                )
            )
        self._remove_others(video.id, paths)
        return CheckedSections(
            sections=tuple(sections), source=found.source, info=found.info, details=found.details, bytes=found.bytes
        )

    def _guarding_space(self, watch: Watch) -> Watch:
        """`watch`, looking at the free space now and then."""
        checked_at = time.monotonic()

        def guarded(done: int, total: int | None) -> None:
            nonlocal checked_at
            if time.monotonic() - checked_at > 1.0:
                self.guard_space()
                checked_at = time.monotonic()
            watch(done, total)

        return guarded

    def _fetch_and_check(self, video: Video, folder: Path, watch: Watch) -> tuple[Fetched, VideoInfo, str]:
        guarded = self._guarding_space(watch)
        fetched = self._fetcher().fetch(video.source, folder, video.id, guarded)
        try:
            return fetched, *_check(fetched.path)
        except StageError as error:
            fetched.path.unlink(missing_ok=True)
            if not fetched.continued or error.error_class is not ErrorClass.CORRUPT:
                raise
        # Its two halves may be of two files, as the site changed it in between: once more, from the start.
        remove_tree(folder / "part")
        fetched = self._fetcher().fetch(video.source, folder, video.id, guarded)
        try:
            return fetched, *_check(fetched.path)
        except StageError:
            fetched.path.unlink(missing_ok=True)
            raise

    def _fetcher(self) -> WebFetcher:
        with self._web_lock:
            if self._web is None:
                self._web = self._make_web()
            return self._web

    def _stored(self, path: Path) -> str:
        return str(path.relative_to(self._folder.parent))

    def _place(self, path: Path, name: str) -> Path:
        """Bring a checked file to videos/<name>.<extension>, for good.

        It keeps its name in the partial folder, too: a call that is killed before it can say so leaves it to the next.
        """
        suffix = path.suffix.lower()
        target = self._folder / (name + (suffix if re.fullmatch(r"\.[a-z0-9]{1,10}", suffix) else ".video"))
        sync(path)
        beside = self._folder / f"{name}.placing"
        beside.unlink(missing_ok=True)
        try:
            beside.hardlink_to(path)
        except OSError:  # a file system without links
            path.replace(beside)
        beside.replace(target)
        sync(self._folder)
        return target

    def _remove_others(self, video_id: str, kept: Collection[Path]) -> None:
        """Remove what was placed for a video before, by a call that could not say so or in another form."""
        for other in self._folder.glob(f"{video_id}.*"):
            if other not in kept:
                other.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _own(self, folder: Path) -> Iterator[Path]:
        """Hold a video's folder, so that a worker that hung and woke up cannot write into another's download."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyElsewhere(folder.name) from None
            yield folder


def _given(video: Video) -> str | None:
    """The file that a person has of a video already (`curate add --manifest FILE --media DIR`)."""
    return video.path if video.path is not None and Path(video.path).is_absolute() else None


def _give_room_back(part: Path) -> None:
    """Shorten a begun download, so that the catalogue has room to say that the disk is full."""
    begun = list(part.iterdir()) if part.is_dir() else []
    if len(begun) == 1 and begun[0].suffix == ".part":
        os.truncate(begun[0], max(0, begun[0].stat().st_size - MEGABYTE))
    elif begun:
        remove_tree(part)  # fragments, counted in a file beside them


def _check(path: Path) -> tuple[VideoInfo, str]:
    info = probe(path)
    check_decodes(info)
    return info, sha256_of(path)
