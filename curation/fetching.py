"""One video: fetched, checked, hashed and put in its place, so that a row which says `downloaded` can be believed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from curation.classify import classify
from curation.errors import Action, ErrorClass, StageError
from curation.orphans import remove_tree
from curation.probe import VideoInfo, check_decodes, probe
from curation.providers.folder import fetch_file
from curation.providers.found import Fetched
from curation.providers.urls import is_url
from db.engine import Catalogue
from db.files import sha256_of
from db.models import Video

if TYPE_CHECKING:
    from curation.providers.ytdlp import WebFetcher

VIDEOS = "videos"
PARTIAL = ".partial"  # in videos/, so that renaming into place never crosses disks
MEGABYTE = 1_000_000
Watch = Callable[[int, int | None], None]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A whole video in its place. `stored` is its path as the catalogue keeps it."""

    stored: str
    sha256: str
    bytes: int
    info: VideoInfo
    fetched: Fetched

    def fill(self, video: Video) -> None:
        """Copy what is known now into the video's row."""
        video.path, video.sha256, video.bytes = self.stored, self.sha256, self.bytes
        video.duration, video.fps, video.frames = float(self.info.duration), self.info.fps, self.info.frames
        video.width, video.height, video.codec = self.info.width, self.info.height, self.info.codec
        video.title = self.fetched.title or video.title
        video.channel = self.fetched.channel or video.channel
        video.licence = self.fetched.licence or video.licence
        video.licence_checked_at = self.fetched.licence_checked_at or video.licence_checked_at
        video.tools = {"stillflow": version("stillflow"), "av": version("av"), **self.fetched.tools}


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

    def fetch(self, video: Video, watch: Watch) -> Checked:
        """Bring one video in. Raises `StageError`, `BusyElsewhere`, or the provider's `Cancelled`."""
        try:
            if not is_url(video.source):
                return self._check_local(video)
            self.guard_space()
            with self._own(self.partial / video.id) as folder:
                return self._fetch_web(video, folder, watch)
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
        fetched = self._made(video) or fetch_file(video.source)
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

    def _fetch_web(self, video: Video, folder: Path, watch: Watch) -> Checked:
        try:
            fetched, info, sha256 = self._fetch_and_check(video, folder, watch)
            path = self._place(fetched.path, video.id)
        except StageError as error:
            # What cannot be continued, or is not worth it, is not kept.
            part = folder / "part"
            if error.error_class is ErrorClass.DISK_FULL:
                _give_room_back(part)
            if error.policy.action is Action.GIVE_UP or not (part.is_dir() and any(part.iterdir())):
                remove_tree(folder)
            raise
        stored = str(path.relative_to(self._folder.parent))
        return Checked(stored=stored, sha256=sha256, bytes=path.stat().st_size, info=info, fetched=fetched)

    def _fetch_and_check(self, video: Video, folder: Path, watch: Watch) -> tuple[Fetched, VideoInfo, str]:
        checked_at = time.monotonic()

        def watch_space(done: int, total: int | None) -> None:
            nonlocal checked_at
            if time.monotonic() - checked_at > 1.0:
                self.guard_space()
                checked_at = time.monotonic()
            watch(done, total)

        fetched = self._fetcher().fetch(video.source, folder, video.id, watch_space)
        try:
            return fetched, *_check(fetched.path)
        except StageError as error:
            fetched.path.unlink(missing_ok=True)
            if not fetched.continued or error.error_class is not ErrorClass.CORRUPT:
                raise
        # Its two halves may be of two files, as the site changed it in between: once more, from the start.
        remove_tree(folder / "part")
        fetched = self._fetcher().fetch(video.source, folder, video.id, watch_space)
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

    def _place(self, path: Path, video_id: str) -> Path:
        """Move a checked file to videos/<id>.<extension>, for good."""
        suffix = path.suffix.lower()
        target = self._folder / (video_id + (suffix if re.fullmatch(r"\.[a-z0-9]{1,10}", suffix) else ".video"))
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        path.replace(target)
        for other in self._folder.glob(f"{video_id}.*"):  # of a call that was killed before it could say so
            if other != target:
                other.unlink(missing_ok=True)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return target

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
