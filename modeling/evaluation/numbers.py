"""From what was taken of the clips to the numbers of the report, each with its interval and what it rests on.

Letters: N clips, K futures, T frames, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modeling.evaluation.distances import distance, each_step, is_few
from modeling.evaluation.intervals import of_mean
from modeling.evaluation.plan import Plan
from modeling.evaluation.protocol import Reference
from modeling.evaluation.scores import frame_summary, mean
from modeling.training.seeding import derived

Array = NDArray[Any]
Row = Mapping[str, Array]  # the arrays of one future of a row
Entry = dict[str, Any]
HALVES = "real_against_real"


class Numbers:
    """Of one evaluation. `real`: what was taken of the true clips; `rows`: of each row's futures."""

    def __init__(
        self,
        plan: Plan,
        real: Row,
        rows: Mapping[str, Sequence[Row]],
        reference: Reference,
        *,
        draws: int,
        seed: int,
    ) -> None:
        self._plan, self._real, self._rows, self._reference = plan, real, rows, reference
        self._draws, self._seed = draws, seed

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
            entries = {**self._paired(futures), **self._of_sets(row, futures[0])}
            if row == "model" and deterministic:
                for name in ("psnr", "ssim", "lpips"):
                    if name in entries:
                        entries[name]["note"] = "deterministic: one image has one future"
            made[row] = entries
        made[HALVES] = self._halves()
        return made

    def curves(self, *, first_shown: int) -> dict[str, dict[str, list[float | None] | None]]:
        """Over the frames of a clip, from the first generated one on: `first_shown`, counted from those scored."""
        made: dict[str, dict[str, list[float | None] | None]] = {}
        for row, futures in self._rows.items():
            curves: dict[str, list[float | None] | None] = {}
            for name, array in self._frame_scores(futures).items():
                curves[f"{name}_per_frame"] = [mean(column[np.isfinite(column)]) for column in array.T[first_shown:]]
            inception, windows = self._plan.inception(row), self._plan.windows(row)
            if "fid-per-frame" in self._plan.chosen and inception is not None:
                curves["fid_per_frame"] = self._steps("inception", "pool3", row, futures[0], first_shown)
            if windows is not None:
                pooled = self._reference == "pooled"
                known = self._plan.windows("real")
                assert known is not None
                curves["proxy_fd_per_frame"] = each_step(
                    self._real[known.name], futures[0][windows.name], pooled=pooled, first=first_shown
                )
            made[row] = curves
        return made

    def _steps(self, extractor: str, output: str, row: str, future: Row, first: int) -> list[float | None]:
        known, made = self._plan.inception("real"), self._plan.inception(row)
        assert known is not None
        assert made is not None
        return each_step(
            self._real[known.name(output)],
            future[made.name(output)],
            pooled=self._reference == "pooled",
            first=first,
        )

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
            of_clips = scores.reshape(K, N, -1).swapaxes(0, 1).reshape(N, -1)
            low, high = of_mean(of_clips, draws=self._draws, seed=self._seed)
            value = mean(scores[np.isfinite(scores)])
            made[name] = entry(value, (low, high), n=(N, N * K), note=f"mean of {K} futures" if K > 1 else "")
        return made

    def _of_sets(self, row: str, future: Row) -> dict[str, Entry]:
        """Distances between the features of the real clips and of a row's first future."""
        made = {}
        for name, output in self._frechet(row).items():
            known = self._real[output[0]]
            made[name] = self._distance(known, future[output[1]][:, : known.shape[1]])
        return made

    def _halves(self) -> dict[str, Entry]:
        """Distances between two halves of the real clips, which no model can be expected to beat at this n."""
        made = {}
        for name, (array, _) in self._frechet("real").items():
            features = self._real[array]
            if len(features) >= 4:
                order = np.random.Generator(np.random.Philox(derived(self._seed, "halves"))).permutation(len(features))
                first, second = (np.sort(half) for half in np.array_split(order, 2))
                made[name] = self._distance(features[first], features[second])
                made[name]["note"] = "two halves of the real clips: at half the n, so larger than at the full one"
        return made

    def _distance(self, real: Array, fake: Array) -> Entry:
        n = tuple(int(np.prod(features.shape[:-1])) for features in (real, fake))
        return entry(distance(real, fake), n=(n[0], n[1]), few=is_few(real, fake))

    def _frechet(self, row: str) -> dict[str, tuple[str, str]]:
        """Metric -> the names of the real arrays and of a row's."""
        plan, made = self._plan, {}
        real, fake = plan.inception("real"), plan.inception(row)
        if "fid" in plan.chosen and real is not None and fake is not None:
            made["fid"] = real.name("pool3"), fake.name("pool3")
        if plan.i3d is not None:
            made["fvd"] = (plan.i3d.name("logits"),) * 2
        if "proxy" in plan.chosen and plan.proxy is not None:
            made["proxy-fd"] = (plan.proxy.name("features"),) * 2
        return made


def entry(
    value: float | None,
    interval: tuple[float | None, float | None] = (None, None),
    *,
    n: tuple[int, int],
    few: bool = False,
    note: str = "",
) -> Entry:
    """A number as it stands in the report."""
    return {"value": value, "low": interval[0], "high": interval[1], "n": list(n), "few": few, "note": note}
