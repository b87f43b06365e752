"""From what was taken of the clips to the numbers of the report, each with its interval and what it rests on.

Letters: N clips, K futures, T frames, D features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modeling.evaluation.distances import (
    each_step,
    frechet,
    is_few,
    moments,
    neighbours,
    parts_of,
    score_of_classes,
    taken,
)
from modeling.evaluation.entries import Entry, entry, joined, noted
from modeling.evaluation.motions import AMOUNT, BLUR, FLICKER, REAL_AMOUNT, REAL_FLICKER, STATIC
from modeling.evaluation.plan import NEIGHBOURS, Plan
from modeling.evaluation.points import Points
from modeling.evaluation.protocol import Reference
from modeling.evaluation.report import ROWS
from modeling.evaluation.scores import frame_summary, mean
from modeling.metrics.bootstrap import Interval, mean_interval, ratio, ratio_interval
from modeling.metrics.diversity import best_of_k
from modeling.metrics.frechet import Moments
from modeling.training.seeding import derived

Array = NDArray[Any]
Row = Mapping[str, Array]  # the arrays of one future of a row
Curve = list[float | None]
STILL = "the real clips do not move"
HALVES, REAL = "real_against_real", "the real clips"
DETERMINISTIC = "deterministic: one image has one future"
HIGHER = {"psnr": True, "ssim": True, "lpips": False}


class Numbers:
    """Of one evaluation. `real`: what was taken of the true clips; `rows`: of each row's futures; `together`: of all
    futures of the model at once; `videos` (N,): which each clip is of, that the bootstrap draws; `say` is told of sets
    without any spread."""

    def __init__(
        self,
        plan: Plan,
        real: Row,
        rows: Mapping[str, Sequence[Row]],
        together: Row,
        reference: Reference,
        *,
        videos: Array,
        draws: int,
        seed: int,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._plan, self._real, self._rows, self._together = plan, real, rows, together
        self._pooled = reference == "pooled"
        self._videos = videos
        self._draws, self._seed = draws, seed
        self._kept: dict[str, Moments] = {}
        self._points = Points(say)

    def summaries(self) -> dict[str, Any]:
        """PSNR and SSIM of each row, over all of its futures."""
        frames = self._plan.frames
        return {
            row: frame_summary(
                np.concatenate([future[frames.psnr] for future in futures]),
                None if frames.ssim is None else np.concatenate([future[frames.ssim] for future in futures]),
            )
            for row, futures in self._rows.items()
        }

    def metrics(self, *, deterministic: bool) -> dict[str, dict[str, Entry]]:
        """The numbers of each row."""
        made = {}
        for row, futures in self._rows.items():
            entries = {**self._of_sets(row, futures[0]), **self._paired(futures), **self._moving(row, futures[0])}
            if row == "model":
                entries.update(self._of_futures(futures, deterministic=deterministic))
            made[row] = entries
        halves = self._halves()
        if halves:
            made[HALVES] = halves
        return made

    def curves(self, *, first_shown: int) -> dict[str, dict[str, Curve | None]]:
        """Over the frames of a clip, from the first generated one on: `first_shown`, counted from those scored."""
        made: dict[str, dict[str, Curve | None]] = {}
        for row, futures in self._rows.items():
            curves: dict[str, Curve | None] = {}
            if "fid-per-frame" in self._plan.chosen:
                curves["fid_per_frame"] = self._steps(row, futures[0], "fid", first_shown)
            if "proxy-per-frame" in self._plan.chosen:
                curves["proxy_fd_per_frame"] = self._steps(row, futures[0], "windows", first_shown)
            for name, array in self._frame_scores(futures).items():
                curves[f"{name}_per_frame"] = [mean(column[np.isfinite(column)]) for column in array.T[first_shown:]]
            curves["self_similarity"] = self._similarity(row, futures[0])
            made[row] = curves
        made["real"] = {"self_similarity": self._similarity("real", self._real)}
        return made

    def few_curves(self) -> list[str]:
        """The curves of distances that rest on no more feature vectors a frame, one a clip, than features."""
        chosen, inception, windows = self._plan.chosen, self._plan.inception("real"), self._plan.windows("real")
        names = {
            "fid_per_frame": inception.name("pool3") if inception is not None and "fid-per-frame" in chosen else None,
            "proxy_fd_per_frame": None if windows is None else windows.name,
        }
        sets = {curve: self._real[name] for curve, name in names.items() if name is not None}
        return [curve for curve, features in sets.items() if is_few(len(features), features.shape[-1])]

    def _similarity(self, row: str, arrays: Row) -> Curve | None:
        loops = self._plan.loops(row)
        if loops is None:
            return None
        return [mean(column[np.isfinite(column)]) for column in arrays[loops.similarity].T]

    def _frame_scores(self, futures: Sequence[Row]) -> dict[str, Array]:
        """Scores against the truth (K N, T), of the metrics that were asked for."""
        frames, lpips, chosen = self._plan.frames, self._plan.lpips, self._plan.chosen
        names = {"psnr": frames.psnr if "psnr" in chosen else None, "ssim": frames.ssim if "ssim" in chosen else None}
        names["lpips"] = None if lpips is None else lpips.name
        return {
            name: np.concatenate([future[array] for future in futures])
            for name, array in names.items()
            if array is not None
        }

    def _paired(self, futures: Sequence[Row]) -> dict[str, Entry]:
        """Means over clips, frames and futures of the scores against the truth."""
        N, K = len(next(iter(futures[0].values()))), len(futures)
        made = {}
        for name, scores in self._frame_scores(futures).items():
            finite = np.isfinite(scores)
            sums = np.where(finite, scores, 0.0).sum(axis=1).reshape(K, N).sum(axis=0)
            counts = finite.sum(axis=1).reshape(K, N).sum(axis=0)
            interval = self._ratio(sums, counts)
            note = f"mean of {K} futures" if K > 1 else ""
            made[name] = entry(mean(scores[finite]), interval, n=(N, N * K), note=note)
        return made

    def _of_futures(self, futures: Sequence[Row], *, deterministic: bool) -> dict[str, Entry]:
        """What several futures of an image say: how far they differ, and the best of them."""
        N, K = len(next(iter(futures[0].values()))), len(futures)
        made = {}
        if "diversity" in self._plan.chosen:
            measure = self._plan.diversity
            if measure is None:
                note = DETERMINISTIC if deterministic else "one future of each image: give --futures K"
                made["diversity"] = entry(None, n=(N, N), note=note)
            else:
                made["diversity"] = self._mean(self._together[measure.name], n=(N, N * K), note=f"{K} futures")
        if K == 1:
            return made
        for name, scores in self._frame_scores(futures).items():
            finite = np.isfinite(scores)
            counts = finite.sum(axis=1)
            sums = np.where(finite, scores, 0.0).sum(axis=1)
            of_futures = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).reshape(K, N).T
            best = best_of_k(torch.from_numpy(of_futures), higher_is_better=HIGHER[name]).numpy()
            made[f"best_of_k_{name}"] = self._mean(best, n=(N, N * K), note=f"the best of {K} futures of each image")
        return made

    def _moving(self, row: str, future: Row) -> dict[str, Entry]:
        """How much a row moves, flickers, blurs and loops."""
        made = {}
        measure, loops = self._plan.motion, self._plan.loops(row)
        if measure is not None:
            scores = future[measure.name]
            n = (len(scores), len(scores))
            for name, own, real in (("motion_amount", AMOUNT, REAL_AMOUNT), ("flicker", FLICKER, REAL_FLICKER)):
                amounts = f"{scores[:, own].mean():.3f} of {scores[:, real].mean():.3f} grey levels"
                if not scores[:, REAL_AMOUNT].any():
                    self._points.warn(f"{STILL}: what is measured against their motion is undefined")
                    amounts = joined(amounts, STILL)
                against = ratio(_tensor(scores[:, own]), _tensor(scores[:, real]))
                interval = self._ratio(scores[:, own], scores[:, real])
                made[name] = entry(against if math.isfinite(against) else None, interval, n=n, note=amounts)
            for name, column in (("static_error", STATIC), ("blur_spread", BLUR)):
                made[name] = self._mean(scores[:, column], n=n)
        if loops is not None:
            known = self._plan.loops("real")
            of_real = None if known is None else mean(_finite(self._real[known.score]))
            note = f"the real clips: {of_real:.3f}" if of_real is not None else ""
            scores = future[loops.score]
            made["looping"] = self._mean(scores, n=(len(scores), len(scores)), note=note)
        return made

    def _of_sets(self, row: str, future: Row) -> dict[str, Entry]:
        """Distances and shares between the features of the real clips and of a row's first future."""
        made = {}
        for name, (known, own) in self._features(row).items():
            real = self._real[known]
            fake = taken(future[own], steps=real.shape[1]) if real.ndim == 3 else future[own]
            sides = [] if name == "is" else [(REAL, known, real)]
            note = self._points.note(*sides, (f"the row {ROWS[row]!r}", own, fake))
            made.update(noted(self._compared(name, real, fake, self._moments_of(known)), note))
        return made

    def _halves(self) -> dict[str, Entry]:
        """Between two halves of the real clips, which no model can be expected to beat at this n."""
        made: dict[str, Entry] = {}
        for name, (known, _) in self._features("real").items():
            features = self._real[known]
            point = self._points.note((REAL, known, features))
            if name == "is":
                made.update(self._compared(name, features, features, None))
                made["is"]["note"] = joined("of all real clips", point)
                continue
            halves = halves_of(self._videos, self._seed)
            if min(map(len, halves)) < (2 if name != "prdc" else NEIGHBOURS + 1):
                continue
            first, second = (taken(features, half) for half in halves)
            videos = self._videos[halves[0]], self._videos[halves[1]]
            note = joined("two halves of the real clips that share no video, so at half the n", point)
            for metric, number in self._compared(name, first, second, moments(first), videos).items():
                made[metric] = {**number, "note": note}
        return made

    def _compared(
        self, name: str, real: Array, fake: Array, known: Moments | None, videos: tuple[Array, Array] | None = None
    ) -> dict[str, Entry]:
        """The numbers of one metric between two sets of features; `videos`: of their clips, None: of all clips."""
        videos = (self._videos, self._videos) if videos is None else videos
        chance: Any = {"draws": self._draws, "seed": self._seed}
        n_real, n_fake = (int(np.prod(features.shape[:-1], dtype=np.int64)) for features in (real, fake))
        n, width = (n_real, n_fake), int(real.shape[-1])
        if name == "is":
            parts = parts_of(n_fake)
            value, deviation, interval = score_of_classes(fake, parts, **chance, videos=videos[1])
            note = f"deviation {deviation:.2f} over {parts} parts"
            return {"is": entry(value, interval, n=(0, n_fake), few=is_few(n_fake, width), note=note)}
        if name == "prdc":
            return self._neighbours(real, fake, videos)
        assert known is not None
        value, interval = frechet(real, fake, known, **chance, videos=videos)
        return {name: entry(value, interval, n=n, few=is_few(min(n), width))}

    def _neighbours(self, real: Array, fake: Array, videos: tuple[Array, Array]) -> dict[str, Entry]:
        scores, of_real, of_fake = neighbours(real, fake, NEIGHBOURS, videos)
        sides = {
            "precision": (scores.inside_real, of_fake),
            "recall": (scores.inside_fake, of_real),
            "density": (scores.density_each, of_fake),
            "coverage": (scores.covered, of_real),
        }
        n = (len(of_real), len(of_fake))
        made = {}
        for name, (each, of) in sides.items():
            interval = mean_interval(each, of, draws=self._draws, seed=self._seed) if self._draws else None
            made[name] = entry(float(each.mean()), interval, n=n)
        return made

    def _features(self, row: str) -> dict[str, tuple[str, str]]:
        """Metric -> the names of the real arrays and of a row's."""
        plan, made = self._plan, {}
        real, own = plan.inception("real"), plan.inception(row)
        if real is not None and own is not None:
            for metric, output in (("fid", "pool3"), ("is", "logits"), ("prdc", "pool3")):
                if metric in plan.chosen:
                    made[metric] = real.name(output), own.name(output)
        if plan.i3d is not None:
            made["fvd"] = (plan.i3d.name("logits"),) * 2
        if plan.proxy is not None:
            name = plan.proxy.name("features")
            if "proxy" in plan.chosen:
                made["proxy-fd"] = name, name
            if "prdc" in plan.chosen and "prdc" not in made:
                made["prdc"] = name, name
        return made

    def _steps(self, row: str, future: Row, kind: str, first: int) -> Curve:
        if kind == "fid":
            known, own = self._plan.inception("real"), self._plan.inception(row)
            assert known is not None and own is not None
            names = known.name("pool3"), own.name("pool3")
        else:
            windows, of_row = self._plan.windows("real"), self._plan.windows(row)
            assert windows is not None and of_row is not None
            names = windows.name, of_row.name
        real = self._real[names[0]]
        return each_step(real, self._moments_of(names[0]), future[names[1]], pooled=self._pooled, first=first)

    def _moments_of(self, name: str) -> Moments:
        """Of the real clips' features; kept, as every row and every step is compared with them."""
        if name not in self._kept:
            self._kept[name] = moments(self._real[name])
        return self._kept[name]

    def _mean(self, values: Array, *, n: tuple[int, int], note: str = "") -> Entry:
        """Of one value a clip; those that are not defined are left out and counted."""
        defined = _finite(values)
        interval = None
        if self._draws:
            interval = mean_interval(
                _tensor(values), torch.from_numpy(self._videos), draws=self._draws, seed=self._seed
            )
        undefined = len(values) - len(defined)
        return entry(
            mean(defined), interval, n=n, note=joined(note, f"undefined for {undefined} clips" if undefined else "")
        )

    def _ratio(self, above: Array, below: Array) -> Interval | None:
        if not self._draws:
            return None
        videos = torch.from_numpy(self._videos)
        return ratio_interval(_tensor(above), _tensor(below), videos, draws=self._draws, seed=self._seed)


def halves_of(videos: Array, seed: int) -> tuple[Array, Array]:
    """The clips of two halves of about one size, no video in both; the second is empty where there is one video."""
    order = np.random.Generator(np.random.Philox(derived(seed, "halves"))).permutation(np.unique(videos))
    halves: tuple[list[int], list[int]] = ([], [])
    for video in order:
        shorter = min(halves, key=len)
        shorter += np.flatnonzero(videos == video).tolist()
    first, second = (np.array(sorted(half), dtype=np.int64) for half in halves)
    return first, second


def _tensor(values: Array) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))


def _finite(values: Array) -> Array:
    return values[np.isfinite(values)]
