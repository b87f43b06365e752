"""The metrics that can be asked for, what each needs, and what a report calls their numbers."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from modeling.errors import UsageError
from modeling.metrics.extractors import Extractor, MissingWeights, PairDistance, WeightsError, load_extractor
from modeling.metrics.extractors.weights import weights_folder

WEIGHTS_VARIABLE = "STILLFLOW_WEIGHTS"
NeedsWeights = Literal["inception", "i3d", "lpips"]

# What each needs of networks with published weights; None: nothing.
METRICS: dict[str, NeedsWeights | None] = {
    "fid": "inception",
    "is": "inception",
    "fvd": "i3d",
    "fid-per-frame": "inception",
    "psnr": None,
    "ssim": None,
    "lpips": "lpips",
    "proxy": None,
    "proxy-per-frame": None,
    "prdc": None,
    "motion": None,
    "loops": None,
    "diversity": None,
}


@dataclass(frozen=True, kw_only=True)
class Number:
    """How a number of the report is called and read."""

    title: str
    unit: str = ""
    digits: int = 3
    better: Literal["higher", "lower", "real", ""] = ""  # real: the nearer to the real clips' the better


NUMBERS: dict[str, Number] = {
    "fid": Number(title="FID", digits=2, better="lower"),
    "is": Number(title="IS", digits=2, better="higher"),
    "fvd": Number(title="FVD", digits=1, better="lower"),
    "proxy-fd": Number(title="proxy-FD", digits=4, better="lower"),
    "psnr": Number(title="PSNR", unit="dB", digits=2, better="higher"),
    "ssim": Number(title="SSIM", digits=4, better="higher"),
    "lpips": Number(title="LPIPS", digits=4, better="lower"),
    "motion_amount": Number(title="motion against the real", digits=3, better="real"),
    "static_error": Number(title="error in static regions", digits=3, better="lower"),
    "flicker": Number(title="flicker against the real", digits=3, better="real"),
    "blur_spread": Number(title="blur beyond the real clips'", digits=3, better="lower"),
    "looping": Number(title="looping", digits=3, better="real"),
    "precision": Number(title="precision", digits=3, better="higher"),
    "recall": Number(title="recall", digits=3, better="higher"),
    "density": Number(title="density", digits=3, better="higher"),
    "coverage": Number(title="coverage", digits=3, better="higher"),
    "diversity": Number(title="diversity of futures", digits=3, better="higher"),
    "best_of_k_psnr": Number(title="PSNR, best of k", unit="dB", digits=2, better="higher"),
    "best_of_k_ssim": Number(title="SSIM, best of k", digits=4, better="higher"),
    "best_of_k_lpips": Number(title="LPIPS, best of k", digits=4, better="lower"),
}


def parse(text: str) -> tuple[str, ...]:
    """The metrics of a list with commas, in the order of METRICS; UsageError naming the nearest for an unknown one."""
    asked = [name.strip() for name in text.split(",") if name.strip()]
    if not asked:
        raise UsageError(f"--metrics takes a list such as psnr,ssim,proxy of {', '.join(METRICS)}")
    for name in asked:
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=3, cutoff=0.4) or list(METRICS)
            raise UsageError(f"--metrics knows no {name!r}; nearest: {', '.join(near)}")
    return tuple(name for name in METRICS if name in asked)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The metrics of an evaluation and the networks that they need."""

    metrics: tuple[str, ...]
    inception: Extractor | None
    i3d: Extractor | None
    lpips: PairDistance | None
    proxy: Extractor | None

    def __contains__(self, metric: str) -> bool:
        return metric in self.metrics

    @property
    def extractors(self) -> list[Extractor]:
        return [extractor for extractor in (self.inception, self.i3d, self.proxy) if extractor is not None]


def choose(
    asked: tuple[str, ...] | None, weights: Path | None, device: torch.device, say: Callable[[str], None]
) -> Chosen:
    """The metrics `asked` for with their networks; None: all whose weights are there, the others said in one line.

    WeightsError for weights that are missing where a metric was asked for by name, and for a file that is there and
    broken unless its metrics were not asked for; UsageError where `weights` is no folder.
    """
    if weights is not None:
        weights_folder(weights)
    wanted = tuple(METRICS) if asked is None else asked
    folder_named = weights is not None or bool(os.environ.get(WEIGHTS_VARIABLE))
    extractors: dict[str, Extractor] = {}
    lpips: PairDistance | None = None
    without: set[NeedsWeights] = set()
    for name in dict.fromkeys(need for metric in wanted if (need := METRICS[metric]) is not None):
        if asked is None and not folder_named:
            without.add(name)
            continue
        try:
            if name == "lpips":
                lpips = load_extractor("lpips", weights, device)
            else:
                extractors[name] = load_extractor(name, weights, device)
        except MissingWeights as error:
            if asked is not None:
                raise
            without.add(name)
            say(f"left out {', '.join(_needing(name))}: {error}")
        except WeightsError as error:  # who put the file there counts on its numbers
            needing = ", ".join(metric for metric in wanted if METRICS[metric] == name)
            raise WeightsError(f"{error}, or name --metrics without {needing}") from None
    if without and not folder_named:
        needed = dict.fromkeys(need for need in METRICS.values() if need is not None)
        left = "; ".join(f"{', '.join(_needing(need))} ({need})" for need in needed)
        say(f"left out for want of weights: {left}; `--weights DIR` or {WEIGHTS_VARIABLE} names their folder")
    metrics = tuple(metric for metric in wanted if METRICS[metric] not in without)
    if {"proxy", "proxy-per-frame", "prdc"} & set(metrics):
        extractors["proxy"] = load_extractor("proxy", weights, device)
    return Chosen(
        metrics=metrics,
        inception=extractors.get("inception"),
        i3d=extractors.get("i3d"),
        lpips=lpips,
        proxy=extractors.get("proxy"),
    )


def _needing(need: NeedsWeights) -> list[str]:
    """The metrics that a network is needed for."""
    return [metric for metric, needed in METRICS.items() if needed == need]
