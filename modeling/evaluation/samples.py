"""Videos that some model made, as the clips that they were made for: DIR/<clip id>.mp4, the input frames counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from modeling.data.windows import ClipSet, DataError
from modeling.errors import UsageError
from modeling.evaluation.sources import HeldOut, Source
from modeling.evaluation.store import sha256_of

U8 = NDArray[np.uint8]
NAMED = 3  # clips that a remark names


class SamplesError(UsageError):
    """A folder of videos that cannot be scored."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """The videos of the clips that have one; the others are left out of the evaluation and counted."""

    folder: Path
    clips: ClipSet  # those with a video that is long enough
    missing: int
    shorter: int


def match(folder: Path, clips: ClipSet, frames: int, say: Callable[[str], None]) -> Samples:
    """The videos of `folder` that are named as `clips`, with `frames` frames or more.

    SamplesError for a folder without any, a video that cannot be read, or one of another size than the clips.
    """
    if not folder.is_dir():
        raise SamplesError(f"--samples {folder} is no folder; it takes one of MP4s named as the clips' ids")
    kept, missing, shorter = [], [], []
    for clip in clips.clips:
        path = video_of(folder, clip.id)
        if not path.is_file():
            missing.append(clip.id)
        elif _length(path, clips.resolution) < frames:
            shorter.append(clip.id)
        else:
            kept.append(clip)
    for ids, why in ((missing, "without a video"), (shorter, f"whose videos are shorter than {frames} frames")):
        if ids:
            names = ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
            say(f"left out {len(ids)} clips {why} in {folder}: {names}")
    if not kept:
        example = clips.clips[0].id if clips.clips else "ID"
        raise SamplesError(
            f"{folder} has no video of {frames} frames for any of the {len(clips.clips)} clips of split "
            f"{clips.split}: name them as the clips' ids, such as {example}.mp4"
        )
    return Samples(folder=folder, clips=replace(clips, clips=tuple(kept)), missing=len(missing), shorter=len(shorter))


def video_of(folder: Path, clip_id: str) -> Path:
    """Where the video of a clip stands."""
    return folder / f"{clip_id}.mp4"


def of_folder(held: HeldOut, folder: Path, home: Path, frames: int) -> Source:
    """The videos as a source; `held` must be of `match(...).clips`."""
    ids = held.ids
    return Source(
        row="samples",
        about={
            "source": "videos",
            "videos": [sha256_of(video_of(folder, clip_id)) for clip_id in ids],
            "frames": frames,
            "of": held.about,
        },
        home=home,
        frames=frames,
        clip=lambda index: read_video(video_of(folder, ids[index]), frames),
    )


def read_video(path: Path, frames: int, *, fewer: bool = False) -> U8:
    """The first `frames` frames: (frames, H, W, 3) RGB. SamplesError where it cannot be read, or has none; where there
    are fewer, unless they will do."""
    pictures: list[U8] = []
    try:
        with av.open(str(path)) as container:
            for picture in container.decode(video=0):
                pictures.append(picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
                if len(pictures) == frames:
                    return np.stack(pictures)
    except (av.FFmpegError, IndexError) as error:
        raise SamplesError(f"{path} cannot be read as a video ({error}): make it anew, or remove it") from None
    if fewer and pictures:
        return np.stack(pictures)
    raise SamplesError(f"{path} has {len(pictures)} frames of {frames}: make it anew, or lower --frames")


def _length(path: Path, side: int) -> int:
    """Frames of a video; SamplesError unless it is `side` pixels wide and high."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if (stream.width, stream.height) != (side, side):
                raise SamplesError(
                    f"{path} is {stream.width}x{stream.height} and the clips are {side}x{side}: sizes are not mixed; "
                    f"scale the videos, or export shards of their size (`curate export --size`)"
                )
            return stream.frames or sum(1 for _ in container.decode(video=0))
    except (av.FFmpegError, IndexError) as error:
        raise SamplesError(f"{path} cannot be read as a video ({error}): make it anew, or remove it") from None


def require_clips(clips: ClipSet) -> None:
    """DataError where there is nothing to evaluate on."""
    if not clips.clips:
        raise DataError(
            f"split {clips.split} holds no clip to evaluate on: export one with `curate split` and `curate export`"
        )
