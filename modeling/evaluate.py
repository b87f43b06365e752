"""Held-out clips against what the generator makes of their first frames: PSNR, SSIM, and where things move.

Letters: k context frames, T time, R side of the frames. The context is the input itself and is left out of every
figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.data.examples import Example, example
from modeling.data.windows import ClipSet, DataError
from modeling.errors import UsageError
from modeling.inference import Trained, roll_out
from modeling.metrics.psnr import psnr
from modeling.metrics.ssim import ssim
from modeling.networks import Generator, build_generator

Clip = NDArray[np.uint8]  # (T, R, R, 3)
Map = NDArray[np.float64]  # (R, R)


@dataclass
class FrameScores:
    """PSNR and SSIM of clips against their true future after the `given` frames, a column a time step."""

    given: int = 1
    psnr: list[Tensor] = field(default_factory=list)  # (T - k,) a clip
    ssim: list[Tensor] = field(default_factory=list)

    def add(self, clip_THW3: Clip, truth_THW3: Clip) -> None:
        futures = (clip[self.given :] for clip in (clip_THW3, truth_THW3))
        x, y = (torch.from_numpy(frames).movedim(-1, -3).double() / 255 for frames in futures)
        self.psnr.append(psnr(x, y))
        self.ssim.append(ssim(x, y))

    def summary(self) -> dict[str, Any]:
        """Means over clips and frames. A frame equal to the truth has no finite PSNR: it is counted and left out."""
        values = torch.stack(self.psnr)
        finite = values.isfinite()
        return {
            "psnr": _mean(values[finite]),
            "ssim": _mean(torch.stack(self.ssim).flatten()),
            "identical_frames": int((~finite).sum()),
            "psnr_per_frame": [_mean(column[column.isfinite()]) for column in values.T],
            "ssim_per_frame": torch.stack(self.ssim).mean(dim=0).tolist(),
        }


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None


def motion_map(clip_THW3: Clip, given: int = 1) -> Map:
    """Standard deviation over time of each pixel, the given frames left out, averaged over its channels: (R, R)."""
    deviation: Map = clip_THW3[given:].astype(np.float64).std(axis=0).mean(axis=-1)
    return deviation


def pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    """Pearson's correlation; None where one side does not vary, so that it is undefined."""
    x, y = x.ravel() - x.mean(), y.ravel() - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / scale if scale > 0 else None


@dataclass
class MotionScores:
    """Correlation of where samples move with where the real clips move, the `given` frames left out."""

    given: int = 1
    samples: list[Map] = field(default_factory=list)
    real: list[Map] = field(default_factory=list)

    def add(self, sample_THW3: Clip, real_THW3: Clip) -> None:
        self.samples.append(motion_map(sample_THW3, self.given))
        self.real.append(motion_map(real_THW3, self.given))

    def summary(self) -> dict[str, Any]:
        """r over all pixels of all clips, and the mean of each clip's own r; None: undefined (nothing moves)."""
        each = [pearson(sample, real) for sample, real in zip(self.samples, self.real, strict=True)]
        defined = [r for r in each if r is not None]
        return {
            "r": pearson(np.stack(self.samples), np.stack(self.real)),
            "r_mean_of_clips": sum(defined) / len(defined) if defined else None,
            "undefined_clips": len(each) - len(defined),
        }


def evaluate(
    trained: Trained,
    clips: ClipSet,
    *,
    frames: int,
    seed: int,
    motion: bool,
    limit: int | None = None,
    done: Callable[[int, int], None] = lambda clip, clips: None,
) -> dict[str, Any]:
    """The report on the first `frames` frames of each clip (`limit`: of the first so many), as plain values.

    A clip's frames begin at its first label map where the model takes masks. Beside the model stands the last input
    frame copied. With `motion`, the noise-free samples' per-pixel temporal standard deviation is correlated with the
    real clips', for the model and for the same network before training. `done` is told (clips done, clips in all).
    DataError where the split holds no clip; UsageError for a model or a length that leaves nothing to score.
    """
    options = trained.config.generator
    given = options.context_frames
    if given == 0:
        raise UsageError(
            "this model is unconditional (generator.context_frames=0): its clips have no true future to score"
        )
    if frames <= given:
        raise UsageError(f"--frames {frames} leaves nothing to score after the {given} frames that the model is given")
    count = len(clips.clips) if limit is None else min(limit, len(clips.clips))
    if count == 0:
        raise DataError(
            f"split {clips.split} holds no clip to evaluate on: export one with `curate split` and `curate export`"
        )
    model, copied = FrameScores(given), FrameScores(given)
    moving = {name: MotionScores(given) for name in ("trained", "untrained", "copied_frame")}
    untrained = build_generator(trained.config).to(next(trained.generator.parameters()).device).eval()
    for index in range(count):
        shown = example(clips, index, options, frames)

        def sample(generator: Generator, seed: int | None, shown: Example = shown) -> Clip:
            return roll_out(generator, shown.context, frames=frames, seed=seed, labels_HW=shown.labels)

        made = sample(trained.generator, seed + index)
        model.add(made, shown.real)
        copied.add(shown.copied, shown.real)
        if motion:
            quiet = made if trained.deterministic else sample(trained.generator, None)
            moving["trained"].add(quiet, shown.real)
            moving["untrained"].add(sample(untrained, None), shown.real)
            moving["copied_frame"].add(shown.copied, shown.real)
        done(index + 1, count)
    report: dict[str, Any] = {
        "protocol": {
            "n": count,
            "frames": frames,
            "context_frames": given,
            "scored_frames": frames - given,
            "stride": 1,
            "start": "first label map" if options.mask_classes else 0,
            "resolution": clips.resolution,
            "split": clips.split,
            "left_out_shorter": clips.left_out,
            "left_out_unmasked": clips.unmasked,
            "weights": trained.source.name,
            "step": trained.step,
            "preset": trained.config.preset,
            "seed": seed,
            "noise": "off" if trained.deterministic else "on",
            "data_recipe_hash": clips.recipe_hash,
            "ssim": "RGB channels averaged, Gaussian 11x11 with sigma 1.5, windows inside the image, 8-bit frames",
        },
        "model": model.summary(),
        "copied_frame": copied.summary(),
    }
    if motion:
        report["motion"] = {name: scores.summary() for name, scores in moving.items()}
    return report


def as_markdown(report: dict[str, Any], run: Path) -> str:
    """The report as a page: protocol, then the scores."""
    protocol = report["protocol"]
    lines = [
        f"# Evaluation of {run.name}, step {protocol['step']}",
        "",
        "| | PSNR, dB | SSIM | frames equal to the truth |",
        "|---|---|---|---|",
    ]
    for title, key in (("model", "model"), ("input frame copied", "copied_frame")):
        scores = report[key]
        lines.append(
            f"| {title} | {shown(scores['psnr'], 2)} | {shown(scores['ssim'], 4)} | {scores['identical_frames']} |"
        )
    if "motion" in report:
        lines += [
            "",
            "Where the samples move: Pearson correlation of the per-pixel temporal standard deviation with that of the",
            "real clips, noise off.",
            "",
            "| | all pixels | mean of the clips' own |",
            "|---|---|---|",
        ]
        for title, key in (
            ("model", "trained"),
            ("before training", "untrained"),
            ("input frame copied", "copied_frame"),
        ):
            scores = report["motion"][key]
            lines.append(f"| {title} | {shown(scores['r'], 3)} | {shown(scores['r_mean_of_clips'], 3)} |")
    lines += ["", "## Protocol", "", *(f"- {key}: {value}" for key, value in protocol.items()), ""]
    return "\n".join(lines)


def shown(value: float | None, digits: int) -> str:
    return "undefined" if value is None else f"{value:.{digits}f}"
