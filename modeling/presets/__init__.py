"""The presets by name: `thesis` has its runs, `as_published` their quirks, `baselines` the rest of the related work.

Each is a function whose docstring says its command, its parameters, its memory, and what was measured with it.
"""

from __future__ import annotations

import difflib

from modeling.config import Config, ConfigError
from modeling.presets import as_published, baselines, own, thesis
from modeling.presets.registry import ABOUT, PRESETS

__all__ = ["ABOUT", "PRESETS", "as_published", "baselines", "get", "own", "summary", "thesis"]


def get(name: str) -> Config:
    """The preset called `name`; ConfigError naming all of them where there is none."""
    if name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(name, PRESETS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"unknown preset {name!r}: there are {', '.join(PRESETS)}{hint}")


def summary(name: str) -> str:
    """The preset `name` in one line."""
    return ABOUT[name].partition("\n")[0]
