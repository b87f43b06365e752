"""The fault planter and the table: what is planted is there, another split has other shots, and the sums are right."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.planted import planted
from benchmarks.planted.footage import pieces
from benchmarks.planted.make import VERSION
from benchmarks.planted.plan import CLEAN, FAULTS, specs
from benchmarks.planted.table import Detector, Judged, by_detector, by_fault, tally


def test_the_plan_is_a_function_of_seed_and_split() -> None:
    assert [s.key() for s in specs(5, "train")] == [s.key() for s in specs(5, "train")]
    assert [s.key() for s in specs(5, "train")] != [s.key() for s in specs(6, "train")]
    every = specs(5, "test")
    assert sum(s.fault is None for s in every) == sum(CLEAN.values()) == 200
    assert sum(s.fault is not None for s in every) >= 200
    assert {s.fault for s in every} == {None, *FAULTS}
    with pytest.raises(ValueError, match="train or test"):
        specs(5, "validation")


def test_splits_share_no_real_shot(footage: Path) -> None:
    train, test = (pieces(split) for split in ("train", "test"))
    assert train and test
    for one in train:
        for other in test:
            assert one.file != other.file or one.last <= other.first or other.last <= one.first
    used = {shot.source for s in specs(5, "test") for shot in s.shots if shot.real}
    assert used <= {f"real:{piece.name}" for piece in test}


@pytest.mark.parametrize("fault", ["hard-cut", "frozen"])
def test_what_is_planted_is_there(fault: str, tmp_path: Path) -> None:
    clips = list(planted(7, split="train", share=0.05, faults=(fault,), folder=tmp_path, workers=1))
    assert clips
    for clip in clips:
        with av.open(str(clip.path)) as container:
            shown = [(float(f.time or 0), f.to_ndarray(format="gray").astype(float)) for f in container.decode(video=0)]
        assert shown[-1][0] == pytest.approx(clip.seconds, abs=0.15)
        change = np.array([np.abs(b - a).mean() for (_, a), (_, b) in pairwise(shown)])
        times = np.array([time for time, _ in shown[1:]])
        if fault == "hard-cut":
            assert times[change.argmax()] == pytest.approx(clip.detail["time"], abs=0.07)
        else:
            still = (times > clip.detail["time"] + 0.1) & (times < clip.detail["time"] + clip.detail["duration"] - 0.1)
            assert np.median(change[still]) < 0.5 * np.median(change[~still]) or np.median(change) < 0.5
    before = [clip.path.stat().st_mtime_ns for clip in clips]
    again = list(planted(7, split="train", share=0.05, faults=(fault,), folder=tmp_path, workers=1))
    assert [clip.path.stat().st_mtime_ns for clip in again] == before  # kept, not made anew
    assert VERSION >= 1


def test_counts_precision_and_recall() -> None:
    def clip(fault: str | None, *flagged: str, real: bool = False) -> Judged:
        return Judged(fault=fault, row=(fault or "sunset",), real=real, flagged=frozenset(flagged))

    clips = [
        clip("dissolve", "dissolve", "fade"), clip("dissolve", "dissolve"), clip("dissolve"), clip("fade", "dissolve"),
        clip("pan", "dissolve"), clip(None, "dissolve", real=True), clip(None), clip(None),
    ]  # fmt: skip
    detector = Detector(name="dissolve", faults=("dissolve",), neutral=("fade",), bound="> 0.5")
    counts = tally(clips, detector)
    assert (counts.hits, counts.positives, len(counts.false), counts.negatives) == (2, 3, 2, 4)
    assert counts.recall == pytest.approx(2 / 3)
    assert counts.precision == pytest.approx(2 / 4)
    peer = Detector(name="fade", faults=("dissolve", "fade"))
    assert list(by_fault(clips, [detector], [peer]))[2:] == ["| dissolve | 3 | dissolve | 0.67 | 0.50 | 0.67 | 0.33 |"]
    assert list(by_detector(clips, [detector]))[2] == (
        "| dissolve | > 0.5 | dissolve | 0.667 | 0.500 | 1 | 1 | pan 1, sunset 1 |"
    )
