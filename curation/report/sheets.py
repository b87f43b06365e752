"""Contact sheets: a frame from the middle of some clips of each kind, with what is known of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session, joinedload

from curation.decode import Resizer, decode, pixel_aspect, plane
from curation.errors import ErrorClass, StageError
from curation.preview import HEIGHT, WIDTH
from curation.report.text import clean
from curation.sources import locate_clip
from db.engine import Catalogue
from db.models import Clip, Video
from db.states import ClipState

QUALITY = 72  # of the JPEG pictures, about 4 kB each
SHEETS = (
    (ClipState.ACCEPTED, "accepted"),
    (ClipState.PENDING, "awaiting review"),
    (ClipState.REJECTED, "rejected by a person"),
    (ClipState.FILTERED, "filtered by rules"),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A clip on a sheet. `image`: a data address; None where there is none, and then `lacking` says why."""

    title: str
    time: str
    note: str
    image: str | None
    lacking: str = ""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Some of the clips in one state."""

    state: str
    title: str
    total: int
    pictures: tuple[Picture, ...]


def sheets(catalogue: Catalogue, session: Session, most: int) -> list[Sheet]:
    """A sheet of at most `most` clips for each kind that there is, spread over the videos."""
    cv2.setNumThreads(1)
    found = []
    for state, title in SHEETS:
        total = session.scalar(select(func.count()).select_from(Clip).where(Clip.state == state)) or 0
        if total and most:
            pictures = tuple(_picture(catalogue, session, clip) for clip in _sample(session, state, total, most))
            found.append(Sheet(state=state, title=title, total=total, pictures=pictures))
    return found


def _sample(session: Session, state: ClipState, total: int, most: int) -> Sequence[Clip]:
    """At most `most` clips at even distances in the order of their ids, which is by video."""
    number = func.row_number().over(order_by=Clip.id) - 1
    numbered = select(Clip.id, number.label("number")).where(Clip.state == state).subquery()
    wanted = sorted({index * total // most for index in range(min(most, total))} if total > most else range(total))
    ids = session.scalars(select(numbered.c.id).where(numbered.c.number.in_(wanted))).all()
    loaded = select(Clip).join(Clip.video).where(Clip.id.in_(ids)).order_by(Video.created_at, Video.id, Clip.start)
    return session.scalars(
        loaded.options(joinedload(Clip.video), joinedload(Clip.preview), joinedload(Clip.scores))
    ).unique().all()  # fmt: skip


def _picture(catalogue: Catalogue, session: Session, clip: Clip) -> Picture:
    variance = next((score.value for score in clip.scores if score.name == "variance"), None)
    image, lacking = None, ""
    try:
        image = _address(_middle(catalogue, session, clip))
    except StageError as error:
        lacking = clean(error, 120)
    return Picture(
        title=clean(clip.video.title or Path(clip.video.source).name or clip.video_id, 80),
        time=f"{clip.start:.1f} to {clip.end:.1f} s",
        note=clean(clip.reason, 200) if clip.reason else "" if variance is None else f"variance {variance:.3g}",
        image=image,
        lacking=lacking,
    )


def _middle(catalogue: Catalogue, session: Session, clip: Clip) -> NDArray[np.uint8]:
    """A frame of about the clip's middle, (90, 160, 3) RGB: of its preview if it has one, else of its source.

    Raises `StageError` where neither can be read.
    """
    if clip.preview is not None and clip.preview.path is not None:
        path = catalogue.path(clip.preview.path)
        if (pixels := _frame_at(path, clip.preview.frames // 2)) is not None:
            return pixels
    source = locate_clip(catalogue, session, clip)
    resizer = Resizer(height=HEIGHT, width=WIDTH, fit="pad", pixel_aspect=pixel_aspect(source))
    middle = clip.start_pts + (clip.end_pts - clip.start_pts) // 2
    # A frame may stand up to the clip's end: a slide show has few.
    for start in (middle, clip.start_pts):
        for frame in decode(source, start, clip.end_pts):
            return plane(resizer.push(frame)).copy()
    raise StageError(ErrorClass.CORRUPT, f"{source.name}: none of the clip's frames decode")


def _frame_at(path: Path, number: int) -> NDArray[np.uint8] | None:
    """The frame of a preview with this number, or its last before; None if it does not play."""
    last: NDArray[np.uint8] | None = None
    try:
        with av.open(str(path)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index >= number or last is None:
                    last = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                if index >= number:
                    break
    except (OSError, av.FFmpegError):  # gone or damaged: the source may still be there
        return None
    return last


def _address(pixels: NDArray[np.uint8]) -> str:
    """(H, W, 3) RGB as a data address."""
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV has no JPEG encoder")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
