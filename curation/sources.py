"""Where the frames of a video or of a clip are, and whether their file is still the one that was checked."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.orm import Session

from curation.errors import ErrorClass, StageError
from db.engine import Catalogue
from db.files import sha256_of
from db.models import Clip, Section, Video


def locate(catalogue: Catalogue, video: Video, *, check_hash: bool = False) -> Path:
    """The absolute path of a downloaded video's file.

    Raises `StageError` (missing) if it is not there any more, or has changed since it was checked: told by its size,
    and with `check_hash` by its SHA-256, which reads it all. A stage that meets this moves the video to `failed`
    with the error; the next `curate download` fetches or checks it anew. Pruned files are `gone`, and stay so.
    """
    if video.pruned_at is not None:
        # Not `missing`, which would have it fetched again.
        raise StageError(
            ErrorClass.GONE, f"video {video.id} was pruned on {video.pruned_at:%Y-%m-%d}; its file is gone"
        )
    if video.path is None:
        raise StageError(ErrorClass.MISSING, f"video {video.id} is not downloaded; run: curate download")
    path = catalogue.path(video.path)
    return _checked(path, video.bytes, video.sha256 if check_hash else None)


def locate_clip(catalogue: Catalogue, session: Session, clip: Clip, *, check_hash: bool = False) -> Path:
    """The absolute path of the file that holds a clip's frames: its own, its section's, or its video's.

    All of them keep the source's timestamps, so that `start_pts` and `end_pts` hold in each. Raises `StageError`
    (missing) as `locate` does.
    """
    if clip.path is not None:
        return _checked(catalogue.path(clip.path), clip.bytes, clip.sha256 if check_hash else None)
    if clip.section_index is None:
        return locate(catalogue, session.get_one(Video, clip.video_id), check_hash=check_hash)
    section = session.get_one(Section, (clip.video_id, clip.section_index))
    if section.path is None:
        video = session.get_one(Video, clip.video_id)
        if video.pruned_at is not None:
            return locate(catalogue, video)  # which says so
    return locate_section(catalogue, section, check_hash=check_hash)


def locate_section(catalogue: Catalogue, section: Section, *, check_hash: bool = False) -> Path:
    """The absolute path of a section's file. Raises `StageError` (missing) as `locate` does."""
    if section.path is None:
        raise StageError(
            ErrorClass.MISSING,
            f"section {section.index} of video {section.video_id} is not downloaded; run: curate download",
        )
    return _checked(catalogue.path(section.path), section.bytes, section.sha256 if check_hash else None)


def _checked(path: Path, size: int | None, sha256: str | None) -> Path:
    """`path`, if the file has this size, and this hash where one is given."""
    try:
        found = path.stat().st_size
    except OSError as error:
        raise StageError(ErrorClass.MISSING, f"{path}: {os.strerror(error.errno or 0)}") from None
    if found != size:
        raise StageError(ErrorClass.MISSING, f"{path}: changed since it was checked ({found} bytes, not {size})")
    if sha256 is not None and sha256_of(path) != sha256:
        raise StageError(ErrorClass.MISSING, f"{path}: changed since it was checked (other bytes, same size)")
    return path
