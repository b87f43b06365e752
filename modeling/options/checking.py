"""How a training looks at its own results on the split `val`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from modeling.options.checks import not_negative
from modeling.parsing import require

CheckMetric = Literal["proxy", "fid", "is", "fvd"]


@dataclass(frozen=True, kw_only=True)
class ChecksConfig:
    """A score of the split `val` at intervals. It draws nothing of the training's and may change on a resume."""

    evaluate_every: int = 0  #                  steps between two scores; 0: none is taken
    evaluate_metric: CheckMetric = "proxy"  #   proxy needs no weights; the others those that STILLFLOW_WEIGHTS names
    evaluate_clips: int = 256  #                of val, at most; few make a rough score, which is flagged

    def __post_init__(self) -> None:
        not_negative("checks", evaluate_every=self.evaluate_every)
        require(self.evaluate_clips >= 2, f"checks.evaluate_clips must be 2 or more, not {self.evaluate_clips}")
