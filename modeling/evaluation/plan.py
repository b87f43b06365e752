"""Which measures each row of a report needs for the metrics asked for, and which of them cannot be had here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from modeling.errors import UsageError
from modeling.evaluation import protocol
from modeling.evaluation.distances import IS_PARTS
from modeling.evaluation.measures import Distance, Features, FrameScores, Measure, Span, WindowFeatures
from modeling.evaluation.motions import SHORTEST_LOOP, SHORTEST_MOTION, Diversity, Loops, MotionScores
from modeling.evaluation.names import Chosen
from modeling.metrics.extractors.lpips import SMALLEST
from modeling.metrics.ssim import WINDOW

FRECHET = ("fid", "fvd", "fid-per-frame", "proxy", "proxy-per-frame", "prdc")
NEIGHBOURS = 5  # k of precision, recall, density and coverage
MADE = ("model", "samples")  # rows that reach as far as the curves


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The measures of an evaluation; `span`: the frames that are scored, `long`: those that the curves cover."""

    chosen: Chosen
    span: Span
    long: Span
    side: int
    given: int
    futures: int

    @classmethod
    def of(
        cls,
        chosen: Chosen,
        span: Span,
        long: Span,
        *,
        side: int,
        given: int,
        futures: int,
        n: int,
        asked: tuple[str, ...] | None,
        say: Callable[[str], None],
    ) -> Plan:
        """The plan for `n` clips. What cannot be had is left out with a remark, or a UsageError where it was asked."""
        cannot: dict[str, str] = {}
        for metric in chosen.metrics:
            why = _why_not(metric, chosen, span, long.stop - given, side, n)
            if why is not None:
                cannot[metric] = why
        if cannot and asked is not None:
            metric, why = next(iter(cannot.items()))
            raise UsageError(f"--metrics {metric}: {why}")
        for metric, why in cannot.items():
            say(f"left out {metric}: {why}")
        kept = replace(chosen, metrics=tuple(metric for metric in chosen.metrics if metric not in cannot))
        return cls(chosen=kept, span=span, long=long, side=side, given=given, futures=futures)

    @property
    def frames(self) -> FrameScores:
        return FrameScores(self.span, self.side)

    @property
    def lpips(self) -> Distance | None:
        asked = self.chosen.lpips if "lpips" in self.chosen else None
        return None if asked is None else Distance(asked, self.span)

    def inception(self, row: str) -> Features | None:
        """Of each frame: pool3 for FID and the like, logits for IS."""
        per_frame = "fid-per-frame" in self.chosen
        outputs = ["pool3"] if per_frame or "fid" in self.chosen or "prdc" in self.chosen else []
        outputs += ["logits"] if "is" in self.chosen else []
        if self.chosen.inception is None or not outputs:
            return None
        return Features(self.chosen.inception, self.long if per_frame and row in MADE else self.span, tuple(outputs))

    @property
    def i3d(self) -> Features | None:
        asked = self.chosen.i3d if "fvd" in self.chosen else None
        return None if asked is None else Features(asked, self.span, ("logits",))

    @property
    def proxy(self) -> Features | None:
        asked = "proxy" in self.chosen or ("prdc" in self.chosen and self.chosen.inception is None)
        if self.chosen.proxy is None or not asked:
            return None
        return Features(self.chosen.proxy, self.span, ("features",))

    def windows(self, row: str) -> WindowFeatures | None:
        asked = self.chosen.proxy if "proxy-per-frame" in self.chosen else None
        return None if asked is None else WindowFeatures(asked, self.long if row in MADE else self.span, "features")

    @property
    def motion(self) -> MotionScores | None:
        return MotionScores(self.span, self.given) if "motion" in self.chosen else None

    def loops(self, row: str) -> Loops | None:
        span = self.long if row in MADE else self.span
        if "loops" not in self.chosen or span.stop - self.given < SHORTEST_LOOP:
            return None
        return Loops(span, self.given)

    @property
    def diversity(self) -> Diversity | None:
        """Of the model's futures, where there are several."""
        return Diversity(self.span) if "diversity" in self.chosen and self.futures > 1 else None

    def of_row(self, row: str) -> list[Measure]:
        """What is taken of the clips of a row (`real`: of the true ones)."""
        paired: list[Measure | None] = [] if row == "real" else [self.frames, self.lpips, self.motion]
        alone = [self.inception(row), self.i3d, self.proxy, self.windows(row), self.loops(row)]
        return [measure for measure in (*paired, *alone) if measure is not None]

    def facts(self) -> dict[str, Any]:
        """What the protocol says beyond the clips and the extractors."""
        facts: dict[str, Any] = {}
        if "is" in self.chosen:
            facts["is_parts"] = IS_PARTS
        if "prdc" in self.chosen:
            inception = self.chosen.inception is not None
            facts["prdc"] = f"{NEIGHBOURS} neighbours, {'inception pool3 of frames' if inception else 'proxy features'}"
        return facts

    def protocols(self, metrics: Mapping[str, Mapping[str, Any]], facts: Mapping[str, Any]) -> dict[str, str]:
        """The protocol of each number in one line."""
        names = dict.fromkeys(name for entries in metrics.values() for name in entries)
        return {name: protocol.line(facts, protocol.extractor_of(name, facts)) for name in names}


def _why_not(metric: str, chosen: Chosen, span: Span, made: int, side: int, n: int) -> str | None:
    """Why a metric cannot be had of `n` clips with these frames; None: it can."""
    if metric in FRECHET and n < 2:
        return f"it compares sets, and there is {n} clip: take 2 or more"
    if metric == "prdc" and n <= NEIGHBOURS:
        return f"it looks at {NEIGHBOURS} neighbours of each, and there are {n} clips"
    if metric == "motion" and span.length < SHORTEST_MOTION:
        return f"it needs {SHORTEST_MOTION} frames, and {span.length} are scored: raise --frames"
    if metric == "loops" and made < SHORTEST_LOOP:
        return f"it needs {SHORTEST_LOOP} generated frames, and there are {made}: raise --frames or --curve-frames"
    if metric == "ssim" and side < WINDOW:
        return f"its window is {WINDOW} pixels wide and the frames are {side}"
    if metric == "lpips" and side < SMALLEST:
        return f"it needs frames of {SMALLEST}x{SMALLEST} pixels, and these are {side}x{side}"
    if metric in ("proxy", "proxy-per-frame", "prdc", "fvd"):
        extractor = chosen.i3d if metric == "fvd" else chosen.proxy
        if metric == "prdc" and chosen.inception is not None:
            return None
        if extractor is not None and span.length < extractor.shortest:
            return f"{extractor.name} needs {extractor.shortest} frames, and {span.length} are scored: raise --frames"
    return None
