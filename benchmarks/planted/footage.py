"""The shots that clips are spliced from, real ones and rendered ones: each has a picture for any time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from curation.demo.scenes import make_scene
from db.files import replacing

U8 = NDArray[np.uint8]
SIZE = (320, 180)  # width, height of the planted clips
WIDE = (432, 244)  # of pictures that a pan moves over
REAL = Path(os.environ.get("STILLFLOW_FOOTAGE", Path(__file__).parents[3] / "shared" / "videos"))
KEPT = (480, 270)  # real frames are kept at this size, cut to 16:9 and freed of their bars


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Frames [first, last) of a real video: one shot. `height` is the part of the frame's height without bars."""

    file: str
    first: int
    last: int
    split: str
    height: float = 1.0
    water: bool = False

    @property
    def name(self) -> str:
        return f"{self.file}-{self.first}-{self.last}"


def _pieces(file: str, split: str, *shots: tuple[int, int], height: float = 1.0, water: bool = False) -> list[Piece]:
    return [Piece(file=file, first=first, last=last, split=split, height=height, water=water) for first, last in shots]


# Shot boundaries were found by eye. Fades of the film are left out; so are shots of less than a second.
PIECES: tuple[Piece, ...] = (
    *_pieces("ocean", "train", (0, 144), water=True),
    *_pieces("flower", "train", (0, 150)),
    *_pieces("crosswalk", "train", (0, 118)),
    *_pieces("bikes", "train", (0, 30), (76, 137)),
    *_pieces("sintel-30s", "train", (108, 142), (258, 286), (526, 573), height=0.74),
    *_pieces("ocean", "test", (144, 240), water=True),
    *_pieces("stream-of-water", "test", (0, 60), water=True),
    *_pieces("crosswalk", "test", (122, 240)),
    *_pieces("bikes", "test", (30, 76), (137, 187), (187, 242)),
    *_pieces("sintel-30s", "test", (574, 610), height=0.74),
)
KINDS = ("river", "beach", "waterfall", "clouds", "meadow", "sea", "lake", "rain", "leaves")
WATER = ("river", "beach", "waterfall", "sea", "rain")


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A shot as a clip uses it: what it shows, and how it is cut out, mirrored, sped up and lit."""

    source: str  # "real:<piece>" or "rendered:<kind>"
    seed: int = 0  # of a rendered scene
    begin: float = 0.0  # s of the shot's own time at the clip's first frame
    speed: float = 1.0
    zoom: float = 1.0  # part of the picture's height that is shown
    at: tuple[float, float] = (0.5, 0.5)  # where, of what there is to choose: x, y in [0, 1]
    mirror: bool = False
    gain: float = 1.0
    lift: float = 0.0

    @property
    def real(self) -> bool:
        return self.source.startswith("real:")

    @property
    def name(self) -> str:
        return self.source if self.real else f"{self.source}-{self.seed}"


def pieces(split: str) -> list[Piece]:
    """The real shots of one split; none where the videos are not there."""
    return [piece for piece in PIECES if piece.split == split and (REAL / f"{piece.file}.mp4").is_file()]


def picture(shot: Shot, t: float, folder: Path, size: tuple[int, int] = SIZE) -> U8:
    """What the shot shows t seconds after its beginning: (height, width, 3) uint8 RGB."""
    moment = shot.begin + t * shot.speed
    if shot.real:
        frames, rate = _real(shot.source.removeprefix("real:"), folder)
        # To and fro: a shot of two seconds fills a clip of eight, and never jumps.
        position = round(moment * rate) % max(2 * len(frames) - 2, 1)
        whole = np.asarray(frames[min(position, 2 * len(frames) - 2 - position)])
    else:
        whole = _scene(shot.source.removeprefix("rendered:"), shot.seed, size).render(moment)
    height, width = whole.shape[:2]
    tall, wide = round(height * shot.zoom), round(width * shot.zoom)
    y, x = round((height - tall) * shot.at[1]), round((width - wide) * shot.at[0])
    cut = whole[y : y + tall, x : x + wide]
    if cut.shape[:2] != (size[1], size[0]):
        shrinking = tall >= size[1]
        cut = cv2.resize(cut, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    if shot.mirror:
        cut = cv2.flip(cut, 1)
    if shot.gain != 1.0 or shot.lift:
        cut = cv2.convertScaleAbs(np.ascontiguousarray(cut), alpha=shot.gain, beta=shot.lift)
    return np.ascontiguousarray(cut, np.uint8)


_scene = lru_cache(maxsize=6)(lambda kind, seed, size: make_scene(kind, size, seed))


@lru_cache(maxsize=8)
def _real(name: str, folder: Path) -> tuple[U8, float]:
    """(frames, 270, 480, 3) of a piece, memory-mapped from the folder, where they are put by the first who asks."""
    piece = next(piece for piece in PIECES if piece.name == name)
    video = REAL / f"{piece.file}.mp4"
    target = folder / f"{piece.name}.npy"
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 25)
        if not target.exists():
            frames = [
                _cut(frame.to_ndarray(format="rgb24", threads=1), piece.height)
                for index, frame in zip(range(piece.last), container.decode(stream), strict=False)
                if index >= piece.first
            ]
            with replacing(target) as partial, partial.open("wb") as file:
                np.save(file, np.stack(frames))
    return np.load(target, mmap_mode="r"), rate


def _cut(frame: U8, part: float) -> U8:
    """The middle of a frame: `part` of its height, 16:9."""
    height = round(frame.shape[0] * part)
    width = min(round(height * 16 / 9), frame.shape[1])
    height = round(width * 9 / 16)
    y, x = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
    return np.asarray(cv2.resize(frame[y : y + height, x : x + width], KEPT, interpolation=cv2.INTER_AREA), np.uint8)
