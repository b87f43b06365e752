"""A downloaded video's file: where it is, whether it is still the one that was checked, and its hash."""

from __future__ import annotations

import os
from pathlib import Path

from curation.errors import ErrorClass, StageError
from db.engine import Catalogue
from db.files import sha256_of
from db.models import Video


def locate(catalogue: Catalogue, video: Video, *, check_hash: bool = False) -> Path:
    """The absolute path of a downloaded video's file.

    Raises `StageError` (missing) if it is not there any more, or has changed since it was checked: told by its size,
    and with `check_hash` by its SHA-256, which reads it all. A stage that meets this moves the video to `failed`
    with the error; the next `curate download` fetches or checks it anew.
    """
    if video.path is None:
        raise StageError(ErrorClass.MISSING, f"video {video.id} is not downloaded; run: curate download")
    path = catalogue.path(video.path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise StageError(ErrorClass.MISSING, f"{path}: {os.strerror(error.errno or 0)}") from None
    if size != video.bytes:
        raise StageError(ErrorClass.MISSING, f"{path}: changed since it was checked ({size} bytes, not {video.bytes})")
    if check_hash and sha256_of(path) != video.sha256:
        raise StageError(ErrorClass.MISSING, f"{path}: changed since it was checked (other bytes, same size)")
    return path
