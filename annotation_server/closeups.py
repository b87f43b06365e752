"""Close-ups: larger films of the clips in the batch on screen, made when the curator's mouse rests on one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

Maker = Callable[[str, Path], None]  # writes the film of a clip (by id) to a path; raises where there is none to be had


class Closeups:
    """Films of one batch at a time, kept in `folder` until the next one is shown. Used from several threads."""

    def __init__(self, folder: Path, make: Maker, *, failures: tuple[type[Exception], ...]) -> None:
        """`failures`: what `make` raises for a clip that cannot be shown; such a clip just has no close-up."""
        self._folder = folder
        self._make = make
        self._failures = failures
        self._lock = threading.Lock()
        self._token = ""
        self._clips: Mapping[int, str] = {}

    def show(self, token: str, clips: Mapping[int, str]) -> None:
        """From now on only the clips of this batch (position -> clip id) are filmed."""
        with self._lock:
            gone, self._token, self._clips = self._token, token, dict(clips)
        if gone and gone != token:
            for path in self._folder.glob(f"{gone}-closeup-*.mp4"):
                path.unlink(missing_ok=True)

    def film(self, token: str, position: int) -> Path | None:
        """The film of a cell; None where it cannot be had."""
        with self._lock:
            clip = self._clips.get(position) if token == self._token else None
        if clip is None:
            return None
        path = self._folder / f"{token}-closeup-{position}.mp4"
        if not path.is_file():
            try:
                self._make(clip, path)
            except self._failures:
                return None
        return path
