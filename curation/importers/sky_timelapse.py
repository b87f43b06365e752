"""Sky Time-lapse (Xiong et al. 2018, MD-GAN: arXiv 1709.07592): `sky_train/<video>/<clip>/<video>_frames_00000046.jpg`.

<video> is the YouTube id of a long time lapse, <clip> a short one that was cut out of it by hand, 640x360.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from curation.errors import ErrorClass, StageError
from curation.importers.images import read_frames
from curation.importers.layout import IMAGES, Collection, Content, Made, Refused, files, folders, refuse_layout
from curation.providers.found import Found

PROVIDER = "sky-timelapse"
TERMS = "no terms stated by its makers; frames of YouTube videos, rights with their owners"
SIDES = {"train": "sky_train", "test": "sky_test"}


def read_sky_timelapse(path: Path, *, fps: Fraction = Fraction(25)) -> Collection:
    """All short clips, train first. Raises `LayoutError` if neither side is there."""
    root = path / "sky_timelapse" if (path / "sky_timelapse").is_dir() else path
    clips = [
        (split, video.name, clip)
        for split, side in SIDES.items()
        if (root / side).is_dir()
        for video in folders(root / side)
        for clip in folders(video)
    ]
    if not clips:
        raise refuse_layout(path, "sky_train/<video>/<clip>/*.jpg and sky_test/<video>/<clip>/*.jpg")
    missing = [side for side in SIDES.values() if not (root / side).is_dir()]
    remarks = [f"there is no {side} here" for side in missing]
    return Collection(items=_items(clips, fps), total=len(clips), remarks=remarks)


def _items(clips: Sequence[tuple[str, str, Path]], fps: Fraction) -> Iterator[Made | Refused]:
    for split, video, clip in clips:
        name = clip.name if clip.name.startswith(video) else f"{video}_{clip.name}"
        frames = files(clip, IMAGES)
        if not frames:
            error = StageError(ErrorClass.MISSING, "no images in this folder")
            yield Refused(item=f"{SIDES[split]}/{video}/{clip.name}", source=str(clip), error=error)
            continue
        found = Found(
            provider=PROVIDER,
            provider_id=f"{split}-{name}",
            source=str(clip.absolute()),
            title=name,
            licence=TERMS,
            official_split=split,
            group_key=video,
        )
        yield Made(found=found, fps=fps, read=functools.partial(_read, frames))


def _read(frames: Sequence[Path]) -> Content:
    return Content(frames=read_frames(frames))
