"""Which clips are made: a list that depends on seed, split and size alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from .effects import CAPTIONS, LOGO_TEXT, RAMPS
from .footage import KINDS, WATER, Shot, pieces

DISSOLVES = (0.5, 1.0, 1.5, 2.0)  # s
FADES = (0.5, 1.0, 2.0)  # s
FADE_KINDS = ("through-black", "from-black", "to-black", "through-white", "from-white", "to-white")
CLEAN = {"strong-water": 70, "sunset": 40, "exposure-ramp": 35, "time-lapse": 40, "flash": 15}
# Of each fault as many as here; of dissolves for each duration and ramp, of fades for each kind and duration.
FAULTS = {
    "hard-cut": 24, "dissolve": 10, "fade": 3, "letterbox": 14, "frozen": 14, "pan": 14, "logo": 12, "caption": 12,
    "duplicate": 14,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Spec:
    """All that decides a clip's bytes. `fault` is None for a clean one, whose `kind` then says of what sort."""

    number: int
    fault: str | None
    kind: str
    shots: tuple[Shot, ...]
    seconds: float
    fps: int
    irregular: bool  # a phone's frame times
    crf: int
    detail: dict[str, Any] = field(default_factory=dict)

    def key(self) -> dict[str, Any]:
        return asdict(self)


def specs(seed: int, split: str, share: float = 1.0, pace: float = 1.0) -> list[Spec]:
    """The clips of a seed: all of `FAULTS` and `CLEAN`, or a share of each; `pace` times as fast."""
    if split not in ("train", "test"):
        raise ValueError(f"split is train or test, not {split!r}")
    chooser = Chooser(np.random.default_rng([seed, ("train", "test").index(split)]), split)
    made: list[Spec] = []
    for fault, count in FAULTS.items():
        for kind, detail in _variants(fault):
            for _ in range(max(1, round(count * share))):
                made.append(chooser.spec(len(made), fault, kind, dict(detail)))
    for kind, count in CLEAN.items():
        for _ in range(max(1, round(count * share))):
            made.append(chooser.spec(len(made), None, kind, {}))
    if pace != 1.0:
        made = [replace(s, shots=tuple(replace(shot, speed=pace * shot.speed) for shot in s.shots)) for s in made]
    return made


def _variants(fault: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if fault == "dissolve":
        yield from ((ramp, {"duration": d, "ramp": ramp}) for d in DISSOLVES for ramp in RAMPS)
    elif fault == "fade":
        yield from ((kind, {"duration": d}) for kind in FADE_KINDS for d in FADES)
    else:
        yield fault, {}


Maker = Callable[[float, dict[str, Any]], tuple[Shot, ...]]


class Chooser:
    """Draws what a clip is made of."""

    lengths = (5.0, 8.0)  # of a clip, s

    def __init__(self, rng: np.random.Generator, split: str) -> None:
        self.rng = rng
        self.split = split
        self.real = pieces(split)

    def between(self, low: float, high: float) -> float:
        return round(float(self.rng.uniform(low, high)), 3)

    def one(self, choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def spec(self, number: int, fault: str | None, kind: str, detail: dict[str, Any]) -> Spec:
        seconds = self.between(*self.lengths)
        detail["kind"] = kind
        maker: Maker = getattr(self, f"_{(fault or kind).replace('-', '_')}")
        shots = maker(seconds, detail)
        return Spec(
            number=number, fault=fault, kind=kind, shots=shots, seconds=seconds, detail=detail,
            fps=int(self.one((24, 25, 25, 30))), irregular=bool(self.rng.random() < 0.1),
            crf=int(self.rng.integers(20, 31)),
        )  # fmt: skip

    # Shots

    def shot(self, *, water: bool = False, real: float = 0.5, speed: tuple[float, float] = (0.8, 1.5)) -> Shot:
        """Any shot, or one of water, with the chance of a real one."""
        known = [piece for piece in self.real if piece.water or not water]
        if known and self.rng.random() < real:
            piece = self.one(known)
            return Shot(
                source=f"real:{piece.name}", begin=self.between(0, 4), speed=self.between(*speed),
                zoom=self.between(0.68, 1.0), at=(self.between(0, 1), self.between(0, 1)),
                mirror=bool(self.rng.random() < 0.5), gain=self.between(0.8, 1.15), lift=self.between(-8, 8),
            )  # fmt: skip
        return self.rendered(WATER if water else KINDS, speed)

    def rendered(self, kinds: tuple[str, ...], speed: tuple[float, float] = (0.8, 1.5)) -> Shot:
        return Shot(
            source=f"rendered:{self.one(kinds)}", seed=int(self.rng.integers(1, 10_000)), begin=self.between(0, 20),
            speed=self.between(*speed), mirror=bool(self.rng.random() < 0.5), gain=self.between(0.85, 1.1),
        )  # fmt: skip

    def pair(self) -> tuple[Shot, Shot]:
        """Two shots of different sources."""
        one = self.shot()
        for _ in range(100):
            other = self.shot()
            if other.source != one.source:
                return one, other
        raise RuntimeError("there is only one source of footage")

    # Faults

    def _hard_cut(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["time"] = self.between(1.0, seconds - 1.0)
        return self.pair()

    def _dissolve(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["time"] = self.between(0.7, seconds - detail["duration"] - 0.7)
        return self.pair()

    def _fade(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        way, colour = detail["kind"].split("-")
        detail["level"] = 0 if colour == "black" else 255
        detail["way"] = way
        detail["ramp"] = self.one(RAMPS)
        if way == "through":
            detail["hold"] = self.between(0.0, 0.3)
            detail["time"] = self.between(0.7, seconds - detail["duration"] - 0.7)
            return self.pair()
        detail["hold"] = self.between(0.0, 0.4)
        detail["time"] = 0.0 if way == "from" else round(seconds - detail["duration"] - detail["hold"], 3)
        return (self.shot(),)

    def _letterbox(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["sides"] = self.one(("rows", "rows", "columns"))
        detail["share"] = self.between(0.06, 0.16)
        detail["level"] = int(self.one((0, 0, 0, 8)))
        return (self.shot(),)

    def _frozen(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["duration"] = self.between(1.0, 4.0)
        detail["time"] = self.between(0.0, seconds - detail["duration"])
        return (self.shot(),)

    def _pan(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["motion"] = self.one(("right", "left", "down", "zoom", "shake"))
        detail["widths_a_second"] = self.between(0.03, 0.12)  # of the picture's width; a zoom's are of its scale
        return (self.shot(),)

    def _logo(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["words"] = self.one((None, *LOGO_TEXT))
        detail["corner"] = (float(self.rng.integers(2)), float(self.rng.integers(2)))
        detail["opacity"] = self.between(0.6, 1.0)
        detail["size"] = self.between(0.12, 0.2)
        return (self.shot(),)

    def _caption(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["words"] = self.one(CAPTIONS)
        detail["corner"] = (self.between(0.1, 0.9), self.one((0.0, 0.92, 1.0)))
        detail["box"] = bool(self.rng.random() < 0.5)
        detail["size"] = self.between(0.45, 0.7)
        return (self.shot(),)

    def _duplicate(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["crop"] = self.one((0.0, 0.02, 0.04))
        detail["size"] = self.one(((256, 144), (320, 180), (400, 226)))
        detail["brightness"] = self.between(-10, 10)
        detail["delay"] = self.between(0.0, 0.25)  # s that the other cut begins later
        return (self.shot(),)

    # Clean

    def _strong_water(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        shot = self.shot(water=True, real=0.4, speed=(1.0, 3.0))
        if shot.source.startswith("real:ocean"):  # slow motion: faster is how the sea moves
            shot = Shot(**{**asdict(shot), "speed": self.between(2.0, 8.0), "at": tuple(shot.at)})
        return (shot,)

    def _sunset(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["until"] = self.between(0.25, 0.6)  # of the light, at the end
        detail["red"] = self.between(1.0, 1.6)
        detail["rising"] = bool(self.rng.random() < 0.4)
        return (self.shot(),)

    def _exposure_ramp(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["duration"] = self.between(0.4, 3.0)
        detail["time"] = self.between(0.3, seconds - detail["duration"] - 0.3)
        detail["stops"] = self.between(0.5, 1.3) * float(self.one((-1, 1)))
        detail["gamma"] = self.between(0.8, 1.25)
        detail["ramp"] = self.one(RAMPS)
        return (self.shot(),)

    def _time_lapse(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["flicker"] = self.between(0.0, 0.03)
        flower = [piece for piece in self.real if piece.file == "flower"]
        slow = [piece for piece in self.real if piece.file in ("flower", "crosswalk", "stream-of-water", "ocean")]
        if slow and self.rng.random() < 0.4:
            piece = self.one(flower or slow)
            return (Shot(
                source=f"real:{piece.name}", begin=self.between(0, 5), speed=self.between(1.0, 4.0),
                zoom=self.between(0.68, 1.0), mirror=bool(self.rng.random() < 0.5),
            ),)  # fmt: skip
        return (self.rendered(("clouds", "lake", "sea", "meadow", "leaves"), speed=(5.0, 20.0)),)

    def _flash(self, seconds: float, detail: dict[str, Any]) -> tuple[Shot, ...]:
        detail["times"] = [self.between(0.7, seconds - 0.7) for _ in range(int(self.rng.integers(1, 4)))]
        detail["gain"] = self.between(1.6, 3.0)
        detail["length"] = self.between(0.03, 0.12)  # s
        return (self.shot(),)
