"""From specs to files: composed picture by picture, encoded, kept for the next run by the hash of what decides them."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from curation.demo.encode import irregular_times, reupload_frames, write_video

from . import effects
from .footage import SIZE, WIDE, picture
from .plan import Spec, specs

VERSION = 1  # of the maker: another number makes every clip anew
U8 = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class PlantedClip:
    """A clip and the truth about it.

    `fault` is "hard-cut", "dissolve", "fade", "letterbox", "frozen", "pan", "logo", "caption", "duplicate" or None (a
    clean clip); `kind` says more ("linear", "through-black", ... or the sort of clean clip). `detail` has what the
    fault has of `time` and `duration` (s from the clip's start), `ramp`, `share`, `corner` and so on; a duplicate's
    `of` is the path of the clip that it repeats.
    """

    path: Path
    fault: str | None
    kind: str
    detail: dict[str, Any]
    source: str  # "real:ocean-0-144", "rendered:river-17" (its seed), or two of them joined by " + "
    split: str
    seconds: float


def planted(
    seed: int,
    *,
    split: str = "train",
    share: float = 1.0,
    pace: float = 1.0,
    faults: tuple[str | None, ...] | None = None,
    folder: Path | None = None,
    workers: int = 2,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[PlantedClip]:
    """Yield the clips of a seed: about 250 with faults and 200 clean ones, or a `share` of each sort.

    `split` chooses the real shots: "train" and "test" share none. `pace` speeds
    all shots up. `faults` limits them (None: clean ones). Files are
    kept in `folder` (by default in the system's temporary folder) and made only once.
    """
    folder = folder or Path(tempfile.gettempdir()) / "stillflow-planted"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [spec for spec in specs(seed, split, share, pace) if faults is None or spec.fault in faults]
    waiting = [spec for spec in wanted if not path_of(spec, folder).exists()]
    if workers == 1 or len(waiting) < 4:
        for number, spec in enumerate(waiting):
            make(spec, folder)
            progress(number + 1, len(waiting))
    elif waiting:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            for number, _ in enumerate(pool.map(make, waiting, [folder] * len(waiting), chunksize=2)):
                progress(number + 1, len(waiting))
    for spec in wanted:
        detail = dict(spec.detail)
        if spec.fault == "duplicate":
            detail["of"] = original_of(spec, folder)
        yield PlantedClip(
            path=path_of(spec, folder), fault=spec.fault, kind=spec.kind, detail=detail, split=split,
            source=" + ".join(shot.name for shot in spec.shots), seconds=spec.seconds,
        )  # fmt: skip


def path_of(spec: Spec, folder: Path) -> Path:
    """Where a clip is kept."""
    key = hashlib.sha256(json.dumps([VERSION, spec.key()], sort_keys=True).encode()).hexdigest()[:16]
    return folder / f"{spec.fault or 'clean'}-{spec.kind}-{key}.mp4"


def original_of(spec: Spec, folder: Path) -> Path:
    """Where the clip is kept that a duplicate repeats."""
    path = path_of(spec, folder)
    return path.with_name(f"original-{path.name}")


def make(spec: Spec, folder: Path) -> None:
    """Compose and encode a clip; of a duplicate, the original too. Files appear whole or not at all."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng([spec.number, spec.crf])
    if spec.irregular:
        times = irregular_times(spec.seconds, spec.fps, rng)
    else:
        times = [index / spec.fps for index in range(round(spec.seconds * spec.fps))]
    path = path_of(spec, folder)
    if spec.fault == "duplicate":
        original = original_of(spec, folder)
        pictures = ((t, picture(spec.shots[0], t, folder)) for t in times)
        write_video(original, pictures, size=SIZE, fps=spec.fps, crf=20)
        write_video(path, _again(spec, original), size=tuple(spec.detail["size"]), fps=spec.fps, crf=spec.crf)
        return
    composed = ((t, compose(spec, t, folder, rng)) for t in times)
    write_video(path, composed, size=SIZE, fps=spec.fps, crf=spec.crf)


def _again(spec: Spec, original: Path) -> Iterator[tuple[float, U8]]:
    """Another upload of the same shot: later, smaller or larger, cropped, a little brighter or darker."""
    detail = spec.detail
    begin: float | None = None
    for t, frame in reupload_frames(original, tuple(detail["size"]), detail["crop"]):
        if t >= detail["delay"]:
            begin = t if begin is None else begin
            yield t - begin, np.asarray(np.clip(frame + detail["brightness"], 0, 255), np.uint8)


def compose(spec: Spec, t: float, folder: Path, rng: np.random.Generator) -> U8:
    """The picture of a clip at t seconds, (180, 320, 3) uint8 RGB; `rng` is asked only for a time lapse's flicker."""
    fault = spec.fault or spec.kind
    detail = spec.detail
    shot = spec.shots[0]
    part = 0.0
    if "time" in detail and detail.get("duration"):
        part = effects.ramp(detail.get("ramp", "linear"), (t - detail["time"]) / detail["duration"])
    match fault:
        case "hard-cut":
            return picture(spec.shots[int(t >= detail["time"])], t, folder)
        case "dissolve":
            if part <= 0 or part >= 1:
                return picture(spec.shots[int(part >= 1)], t, folder)
            return effects.blend(picture(shot, t, folder), picture(spec.shots[1], t, folder), part)
        case "fade":
            return _fade(spec, t, folder)
        case "frozen":
            still = min(max(t - detail["time"], 0.0), detail["duration"])
            return picture(shot, t - still, folder)
        case "pan":
            return _panned(spec, t, folder)
    plain = picture(shot, t, folder)
    match fault:
        case "letterbox":
            return effects.bars(plain, detail["share"], detail["sides"], detail["level"])
        case "logo" if detail["words"] is None:
            return effects.emblem(plain, corner=detail["corner"], size=detail["size"], opacity=detail["opacity"])
        case "logo" | "caption":
            scale = 2.6 * detail["size"] if fault == "logo" else detail["size"]
            return effects.text(
                plain, detail["words"], corner=detail["corner"], scale=scale, opacity=detail.get("opacity", 1.0),
                box=detail.get("box", False),
            )  # fmt: skip
        case "sunset":
            way = t / spec.seconds
            light = 1 + (detail["until"] - 1) * (1 - way if detail["rising"] else way)
            red = 1 + (detail["red"] - 1) * (1 - light)
            return effects.lit(plain, light * np.array([red, 1.0, 2 - red]))
        case "exposure-ramp":
            return effects.lit(plain, np.full(3, 2 ** (detail["stops"] * part)), detail["gamma"] ** part)
        case "time-lapse":
            return effects.lit(plain, np.full(3, 1 + detail["flicker"] * float(rng.standard_normal())))
        case "flash":
            on = any(begin <= t < begin + detail["length"] for begin in detail["times"])
            return effects.lit(plain, np.full(3, detail["gain"])) if on else plain
    return plain


def _fade(spec: Spec, t: float, folder: Path) -> U8:
    detail = spec.detail
    way, duration, hold, begin = detail["way"], detail["duration"], detail["hold"], detail["time"]
    after = way == "from"
    if way == "through":  # half of what is not held goes down, half comes up
        slope = max(duration - hold, 0.2) / 2
        down = (t - begin) / slope
        up = (t - begin - duration + slope) / slope
        after = up > 0
        gone = 1 - effects.ramp(detail["ramp"], up) if after else effects.ramp(detail["ramp"], down)
    elif way == "from":
        gone = 1 - effects.ramp(detail["ramp"], (t - hold) / duration)
    else:
        gone = effects.ramp(detail["ramp"], (t - begin) / duration)
    shot = spec.shots[-1] if after else spec.shots[0]
    return effects.towards(picture(shot, t, folder), detail["level"], gone)


def _panned(spec: Spec, t: float, folder: Path) -> U8:
    """The camera moves over a picture larger than the clip's, there and back where it would come to its end."""
    detail = spec.detail
    wide = picture(spec.shots[0], t, folder, WIDE)
    room = WIDE[0] / SIZE[0] - 1
    gone = detail["widths_a_second"] * t / room
    way = 1 - abs(gone % 2 - 1)  # 0 to 1 and back
    match detail["motion"]:
        case "right":
            return effects.moved(wide, SIZE, way, 0.5)
        case "left":
            return effects.moved(wide, SIZE, 1 - way, 0.5)
        case "down":
            return effects.moved(wide, SIZE, 0.5, way)
        case "zoom":
            return effects.moved(wide, SIZE, 0.5, 0.5, SIZE[0] / WIDE[0] * (1 + room * way))
        case _:  # held by hand
            reach = min(detail["widths_a_second"] * 0.5 / room, 0.5)
            x = 0.5 + reach * (2 * effects.swing(t, 1.1, 0.0) - 1)
            y = 0.5 + reach * (2 * effects.swing(t, 0.7, 0.3) - 1)
            return effects.moved(wide, SIZE, x, y)
