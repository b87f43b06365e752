"""From what was flagged on clips whose truth is known to precision and recall, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A clip, what is planted in it, and which detectors flag it."""

    fault: str | None
    row: tuple[str, ...]  # as the table names it: fault, kind and duration; of clean clips their kind
    real: bool  # all of its footage
    flagged: frozenset[str]


@dataclass(frozen=True, kw_only=True)
class Detector:
    """`faults` are what it is for. On `neutral` faults its flag is neither right nor wrong; nor on real footage without
    a fault, if it is to be judged on `rendered` clips alone.
    """

    name: str
    faults: tuple[str, ...]
    neutral: tuple[str, ...] = ()
    bound: str = ""
    rendered: bool = False


@dataclass(kw_only=True)
class Tally:
    """Counts of one detector."""

    hits: int = 0
    positives: int = 0
    false: list[Judged] = field(default_factory=list)
    negatives: int = 0
    unsure: int = 0  # flags on real footage that is not counted

    @property
    def recall(self) -> float:
        return self.hits / self.positives if self.positives else float("nan")

    @property
    def precision(self) -> float:
        raised = self.hits + len(self.false)
        return self.hits / raised if raised else float("nan")


def tally(clips: Iterable[Judged], detector: Detector) -> Tally:
    """Count a detector's hits and false alarms."""
    counts = Tally()
    for clip in clips:
        raised = detector.name in clip.flagged
        if clip.fault in detector.faults:
            counts.positives += 1
            counts.hits += raised
        elif detector.rendered and clip.real:
            counts.unsure += raised
        elif clip.fault not in detector.neutral:
            counts.negatives += 1
            if raised:
                counts.false.append(clip)
    return counts


def by_fault(clips: Sequence[Judged], ours: Sequence[Detector], peers: Sequence[Detector]) -> Iterator[str]:
    """A row a fault and duration: recall and precision of the detector that is for it, and the peers' recall.

    A row's precision takes its share of the detector's false alarms: as large as its share of the detector's clips.
    """
    tallies = {detector.name: tally(clips, detector) for detector in ours}
    yield markdown_row(["planted", "clips", "detector", "recall", "precision", "any of ours", *(p.name for p in peers)])
    yield "|---|---|---|" + "---:|" * (3 + len(peers))
    faulty = sorted((clip for clip in clips if clip.fault), key=lambda clip: clip.row)
    for row, group in groupby(faulty, key=lambda clip: clip.row):
        same = list(group)
        for detector in ours:
            if same[0].fault not in detector.faults:
                continue
            counts = tallies[detector.name]
            hits = sum(detector.name in clip.flagged for clip in same)
            share = len(counts.false) * len(same) / counts.positives
            told = [" ".join(row), str(len(same)), detector.name, ratio(hits, len(same)), ratio(hits, hits + share)]
            any_ours = sum(any(other.name in clip.flagged for other in ours) for clip in same)
            told += [ratio(any_ours, len(same))]
            told += [ratio(sum(peer.name in clip.flagged for clip in same), len(same)) for peer in peers]
            yield markdown_row(told)


def by_detector(clips: Sequence[Judged], detectors: Sequence[Detector]) -> Iterator[str]:
    """A row a detector: recall, precision, and on what its false alarms were raised."""
    yield "| detector | flags where | for | recall | precision | false alarms on rendered | on real | of these on |"
    yield "|---|---|---|---:|---:|---:|---:|---|"
    for detector in detectors:
        counts = tally(clips, detector)
        places = Counter(" ".join(clip.row[:1]) if clip.fault else " ".join(clip.row) for clip in counts.false)
        on = ", ".join(f"{name} {count}" for name, count in places.most_common())
        real = sum(clip.real for clip in counts.false)
        cells = [detector.name, detector.bound, ", ".join(detector.faults), f"{counts.recall:.3f}"]
        cells += [f"{counts.precision:.3f}", str(len(counts.false) - real)]
        cells += [f"({counts.unsure})" if detector.rendered else str(real), on or "-"]
        yield markdown_row(cells)


def ratio(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
