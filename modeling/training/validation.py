"""A score of the split `val` while a run trains: proxy-FD, FID, FVD or IS of the clips that the generator makes now.

It draws from seeds of its own, so a training with it and one without it are the same to the last bit.
Letters: N clips, T frames, R side of the frames, D features.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modeling.config import Config
from modeling.data.conditions import open_for
from modeling.data.windows import DataError
from modeling.evaluation.distances import moments, parts_of, room_for, score_of_classes
from modeling.evaluation.filling import filled
from modeling.evaluation.measures import FRAMES_AT_ONCE, Features, Span
from modeling.evaluation.names import WEIGHTS_VARIABLE
from modeling.evaluation.points import EQUAL, Points, is_point
from modeling.evaluation.sources import HeldOut, real, seed_of
from modeling.evaluation.store import writable_home
from modeling.inference import roll_out
from modeling.metrics.extractors import WeightsError, load_extractor
from modeling.metrics.frechet import Moments, frechet_of_moments
from modeling.networks import Generator
from modeling.options.checking import CheckMetric

# Extractor, its output, and the score's name in metrics.jsonl.
OF_METRIC: dict[CheckMetric, tuple[str, str, str]] = {
    "proxy": ("proxy", "features", "val_proxy_fd"),
    "fid": ("inception", "pool3", "val_fid"),
    "is": ("inception", "logits", "val_is"),
    "fvd": ("i3d", "logits", "val_fvd"),
}


@dataclass(frozen=True)
class Score:
    """A value and what it rests on."""

    value: float
    n: tuple[int, int]  # feature vectors of real and generated clips
    few: bool  #          fewer than the features are wide

    @property
    def facts(self) -> dict[str, Any]:
        return {"n": list(self.n), "few": self.few}


class Validation:
    """Scores a generator on the first clips of `val`. Made before training; DataError where val cannot be scored."""

    def __init__(self, config: Config, data: Path, run: Path, device: torch.device, say: Callable[[str], None]) -> None:
        checks, generator = config.checks, config.generator
        kind, output, self.name = OF_METRIC[checks.evaluate_metric]
        self.every, self.higher = checks.evaluate_every, checks.evaluate_metric == "is"
        clips = open_for(config, data, "val")
        count = min(len(clips.clips), checks.evaluate_clips)
        if count < 2:
            raise DataError(
                f"checks.evaluate_every needs 2 clips or more in split val of {data}, which has {count}: export more "
                "(`curate split`, `curate export`), or set checks.evaluate_every=0"
            )
        self._config = config
        self._held = HeldOut(
            clips=clips, count=count, frames=config.frames, given=generator.context_frames, options=generator
        )
        if kind != "proxy" and not os.environ.get(WEIGHTS_VARIABLE):
            raise WeightsError(
                f"checks.evaluate_metric={checks.evaluate_metric} needs the weights of {kind}: set {WEIGHTS_VARIABLE} "
                "to their folder (`modeling doctor --weights DIR` says what belongs in it), or take proxy"
            )
        with torch.random.fork_rng(devices=[]):  # networks draw weights before theirs are loaded
            extractor = load_extractor(kind, None, device)  # type: ignore[call-overload]
        span = Span(generator.context_frames, config.frames)
        if span.length < extractor.shortest:
            raise DataError(
                f"checks.evaluate_metric={checks.evaluate_metric} needs {extractor.shortest} generated frames and this "
                f"run's clips have {span.length}: raise frames, or take another metric"
            )
        self._features = Features(extractor, span, (output,))
        self._feature_name = self._features.name(output)
        self._width = extractor.widths[output]
        home = writable_home(data / "features", run / "features")
        source = real(self._held, home)
        self._points = Points(say)
        self._real = filled(source, [self._features], self._held, normalisation="none", say=say)[self._feature_name]
        self._known: Moments | None = None if self.higher else moments(self._real)
        if not self.higher and is_point(self._real):
            self._points.warn(f"{self.name}: {EQUAL.format('clips of val')}")
        if self._few:
            say(
                f"{self.name}: {self._rows} feature vectors for features of width {self._width}, a rough score that "
                "compares with those of this run alone"
            )

    @property
    def _rows(self) -> int:
        steps = int(np.prod(self._features.specs[self._feature_name].shape[:-1], dtype=np.int64))
        return self._held.count * steps

    @property
    def _few(self) -> bool:
        return bool(self._rows <= self._width)

    def score(self, generator: Generator) -> Score:
        """The score of `generator` as it is now, whatever mode it is in."""
        spec = self._features.specs[self._feature_name]
        features = room_for((self._held.count, *spec.shape), np.dtype(spec.dtype))
        chunk = max(1, FRAMES_AT_ONCE // self._held.frames)
        for start in range(0, self._held.count, chunk):
            indices = range(start, min(start + chunk, self._held.count))
            shown_NTRR3 = np.stack([self._clip(generator, index) for index in indices])
            made = self._features(shown_NTRR3, shown_NTRR3)[self._feature_name]
            for index, row in zip(indices, made, strict=True):
                if not np.isfinite(row).all():
                    raise DataError(
                        f"{self.name}: clip {self._held.ids[index]} generated gives features that are not finite"
                    )
            features[start : start + len(made)] = made
        if is_point(features):
            self._points.warn(f"{self.name}: {EQUAL.format('generated clips')}")
        if self._known is None:
            seed = self._config.training.seed
            return Score(
                score_of_classes(features, parts_of(self._rows), draws=0, seed=seed)[0], (0, self._rows), self._few
            )
        return Score(frechet_of_moments(self._known, moments(features)), (self._rows, self._rows), self._few)

    def _clip(self, generator: Generator, index: int) -> NDArray[np.uint8]:
        shown = self._held.example(index)
        seed = seed_of(self._config.training.seed, 0, index) if self._config.generator.random else None
        return roll_out(generator, shown.context, frames=self._held.frames, seed=seed, labels_HW=shown.labels)
