"""What a curator meets in footage, laid over a scene: the pictures of a video with faults at known times.

Faults of the picture live here; a broken file, variable frame times and a re-upload are faults of the file (`render`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from curation.demo.fields import U8, u8
from curation.demo.scenes import make_scene

PICTURE_FAULTS = ("frozen", "hard-cut", "dissolve", "fade-to-black", "letterbox", "pan")
FILE_FAULTS = ("re-upload", "broken", "variable-frame-rate")
FAULTS = PICTURE_FAULTS + FILE_FAULTS

BAR = 0.125  # height of each letterbox bar, in picture heights
OVERSCAN = 1.34  # width of the scene a pan moves over, in picture widths


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault from `start` to `end`, seconds, end exclusive; a hard cut shows its first new frame at `start`."""

    name: str
    start: float
    end: float

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"no fault {self.name!r}: choose one of {', '.join(FAULTS)}")
        if not 0 <= self.start <= self.end:
            raise ValueError(f"fault {self.name} needs 0 <= start <= end, not {self.start} to {self.end}")

    def covers(self, t: float) -> bool:
        return self.start <= t < self.end

    def part(self, t: float) -> float:
        """How far the fault has gone at t: 0 before, 1 after."""
        if t >= self.end:
            return 1.0
        return float(np.clip((t - self.start) / max(self.end - self.start, 1e-9), 0.0, 1.0))


class FaultyScene:
    """A scene with picture faults; `render(t)` is a pure function of t, as a scene's is."""

    def __init__(
        self,
        scene: tuple[str, int],
        size: tuple[int, int],
        faults: Sequence[Fault] = (),
        other: tuple[str, int] | None = None,
    ) -> None:
        """`scene`, `other`: kind and seed; `other` is where hard cuts and dissolves lead, and lead back from."""
        self.size = size
        self.faults = {name: [f for f in faults if f.name == name] for name in PICTURE_FAULTS}
        self.changes = sorted(self.faults["hard-cut"] + self.faults["dissolve"], key=lambda f: f.start)
        if self.changes and other is None:
            raise ValueError("a hard cut or a dissolve needs a second scene")
        wide = int(size[0] * OVERSCAN) // 2 * 2 if self.faults["pan"] else size[0]
        self.scenes = [make_scene(scene[0], (wide, size[1]), scene[1])]
        if self.changes and other is not None:
            self.scenes.append(make_scene(other[0], (wide, size[1]), other[1]))

    def _scene_time(self, t: float) -> float:
        """The scene's clock: it stands still while the picture is frozen."""
        return t - sum(min(max(t - f.start, 0.0), f.end - f.start) for f in self.faults["frozen"])

    def _shot(self, number: int, t: float) -> U8:
        picture = self.scenes[number].render(self._scene_time(t))
        spare = picture.shape[1] - self.size[0]
        if not spare:
            return picture
        # Every other pan goes back, so that the camera always ends where it can stay.
        gone = sum(f.part(t) * (1 if i % 2 == 0 else -1) for i, f in enumerate(self.faults["pan"]))
        left = float(np.clip(gone, 0, 1)) * spare
        moved = np.array([[1, 0, -left], [0, 1, 0]], np.float32)
        return u8(cv2.warpAffine(picture, moved, self.size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))

    def render(self, t: float) -> U8:
        """The picture at t seconds: (H, W, 3) uint8 RGB."""
        shot, blend = 0, 0.0
        for change in self.changes:
            part = (1.0 if t >= change.start else 0.0) if change.name == "hard-cut" else change.part(t)
            if part >= 1.0:
                shot, blend = 1 - shot, 0.0
            elif part > 0.0:
                blend = part
        picture = self._shot(shot, t)
        if blend > 0.0:
            picture = u8(cv2.addWeighted(picture, 1.0 - blend, self._shot(1 - shot, t), blend, 0.0))
        for fade in self.faults["fade-to-black"]:
            if fade.covers(t):  # two fifths down, one fifth black, two fifths up
                light = float(np.clip((abs(2 * fade.part(t) - 1) - 0.2) / 0.8, 0, 1))
                picture = u8(cv2.convertScaleAbs(picture, alpha=light))
        if any(f.covers(t) for f in self.faults["letterbox"]):
            bar = round(BAR * self.size[1])
            picture = picture.copy()
            picture[:bar] = 0
            picture[-bar:] = 0
        return picture
