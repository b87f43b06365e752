"""Hard cuts: PySceneDetect's adaptive detector on small frames, each of its finds confirmed by what stays afterwards.

The detector tells a jump from strong motion by comparing with the frames around it, but takes a flash for two cuts. A
cut is confirmed if the picture a moment later is still another one than before, whatever their exposures; and if it
differs more than the shot's own motion makes two pictures differ that are as far apart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.scores import Scorer
from curation.scores.frame import Frame

# A clip with more cuts than this has the fault.
THRESHOLDS = {"hard_cuts": 0.0}

RATIO = 3.0  # a jump's content value over the mean of the two frames before and after: PySceneDetect's default
CONTENT = 10.0  # least content value of a jump; its default of 15 overlooks cuts between dark shots
AROUND = 2  # frames on each side that the detector compares a frame with
AFTER = 0.2  # s: a flash or a passer-by is over by then
APART = 0.3  # s: jumps closer together are one cut
DIFFERENT = 0.3  # least distance of the pictures before and after, of 1 for unrelated ones
MOTION = 1.6  # times the distance that motion alone makes on the calmer side of the cut
UNRELATED = 0.85  # a distance that is a cut whatever the motion
RETURN = 0.6  # what is nearer than that to a picture of the time before has come back after a flash
VISIBLE = 3.0  # levels of mean luma difference: hue jumps in the dark that nobody sees are no cuts


class HardCuts(Scorer):
    """`hard_cuts`: how many; `hard_cut_at`: seconds from the clip's start to the first one, -1 without."""

    names = ("hard_cuts", "hard_cut_at")
    settings: ClassVar[Mapping[str, Any]] = {
        "detector": "PySceneDetect AdaptiveDetector", "size": [90, 160], "ratio": RATIO, "content": CONTENT,
        "around": AROUND, "after": AFTER, "apart": APART, "different": DIFFERENT, "motion": MOTION,
        "unrelated": UNRELATED, "return": RETURN, "visible": VISIBLE,
    }  # fmt: skip

    def __init__(self) -> None:
        # Takes a second to import: only where clips are scored.
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector

        # The least length is not theirs to check: it would hide cuts in a clip's first half second.
        self._detector = AdaptiveDetector(
            adaptive_threshold=RATIO, min_scene_len=1, window_width=AROUND, min_content_val=CONTENT
        )
        self._timecode = FrameTimecode
        self._count = 0
        self._recent: deque[tuple[int, float, NDArray[np.uint8]]] = deque()  # number, time, luma
        self._jumps: deque[int] = deque()  # frame numbers, not yet confirmed
        self._last: NDArray[np.uint8] | None = None
        self.cuts: list[float] = []

    def push(self, frame: Frame) -> None:
        """Take a frame."""
        picture = np.asarray(cv2.cvtColor(frame.small, cv2.COLOR_RGB2BGR), np.uint8)
        if self._last is None:  # the first frame stands for those before it, so that a jump after it can be told
            for _ in range(AROUND):
                self._detect(picture)
        self._last = picture
        self._recent.append((self._count, frame.time, frame.luma.copy()))
        self._detect(picture)
        self._confirm(frame.time)
        while len(self._recent) > 2 * AROUND + 2 and self._recent[0][1] < frame.time - 2 * AFTER - 0.1:
            self._recent.popleft()

    def values(self) -> dict[str, float]:
        """The number of cuts and the time of the first."""
        if self._last is not None:
            for _ in range(AROUND):  # likewise for a jump before the last frame
                self._detect(self._last)
            self._confirm(np.inf)
            self._last = None
        return {"hard_cuts": float(len(self.cuts)), "hard_cut_at": self.cuts[0] if self.cuts else -1.0}

    def _detect(self, picture: NDArray[np.uint8]) -> None:
        for found in self._detector.process_frame(self._timecode(self._count, 25.0), picture):
            self._jumps.append(found.frame_num)
        self._count += 1

    def _confirm(self, now: float) -> None:
        """Decide about the jumps that are `AFTER` seconds past."""
        while self._jumps:
            number = self._jumps[0]
            before = [(time, luma) for n, time, luma in self._recent if n < number]
            after = [(time, luma) for n, time, luma in self._recent if n >= number]
            if not before or not after:  # its first frame is not a frame of the clip
                self._jumps.popleft()
                continue
            begin = after[0][0]
            if now < begin + AFTER:
                return
            self._jumps.popleft()
            if self.cuts and begin - self.cuts[-1] < APART:
                continue
            later = [luma for time, luma in after if time >= begin + AFTER - 1e-6]
            settled = direction(later[0] if later else after[-1][1])
            jumped = direction(after[0][1])
            known = [direction(luma) for time, luma in before if time >= begin - AFTER - 0.05]
            known = known or [direction(before[-1][1])]
            last = direction(before[-1][1])
            across = min(distance(last, jumped), distance(last, settled))
            returned = min(distance(one, other) for one in known for other in (jumped, settled)) < RETURN
            visible = float(cv2.absdiff(before[-1][1], after[0][1]).mean()) >= VISIBLE
            # A side of a single frame has no motion to compare with; the other's counts then.
            sides = [distance(known[0], known[-1])] if len(known) > 1 else []
            sides += [distance(jumped, settled)] if len(after) > 1 else []
            moving = min(UNRELATED, MOTION * min(sides, default=0.0))
            if visible and not returned and across > max(DIFFERENT, moving):
                self.cuts.append(begin)


def direction(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A picture without its brightness and contrast: zero mean, unit length; zeros for an even grey."""
    vector = luma.astype(np.float32).ravel()
    vector -= vector.mean()
    length = float(np.linalg.norm(vector))
    # Under a level of deviation there is only the codec's noise.
    return vector / length if length > np.sqrt(vector.size) else np.zeros_like(vector)


def distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How different two pictures are whatever their exposure: 0 the same, 1 unrelated. An even grey is unrelated."""
    likeness = max(float(one @ other), 0.0)
    return float(np.sqrt(max(1 - likeness**2, 0.0)))
