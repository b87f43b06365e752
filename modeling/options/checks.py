"""Checks that several sections share; each raises ConfigError with the option's path."""

from __future__ import annotations

import math

from modeling.parsing import require


def positive(section: str, **values: float) -> None:
    for name, value in values.items():
        require(math.isfinite(value) and value > 0, f"{section}.{name} must be above 0, not {value}")


def not_negative(section: str, **values: float) -> None:
    for name, value in values.items():
        require(math.isfinite(value) and value >= 0, f"{section}.{name} must be 0 or more, not {value}")


def probability(section: str, **values: float) -> None:
    for name, value in values.items():
        require(0 <= value <= 1, f"{section}.{name} must lie in [0, 1], not {value}")


def width_list(section: str, widths: tuple[int, ...]) -> None:
    good = len(widths) > 0 and all(width > 0 for width in widths)
    require(good, f"{section}.widths must be a list of positive whole numbers, not {list(widths)}")
