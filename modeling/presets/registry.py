"""The presets by name, and what each is, told by the docstring of the function that makes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

from modeling.config import Config

PRESETS: dict[str, Config] = {}
ABOUT: dict[str, str] = {}  # first line: what it is; then command, parameters, memory, what was measured

Maker = Callable[[], Config]


def preset(name: str) -> Callable[[Maker], Maker]:
    """Register what the decorated function makes as the preset `name`."""

    def register(maker: Maker) -> Maker:
        if name in PRESETS:
            raise ValueError(f"there are two presets called {name}")
        PRESETS[name] = replace(maker(), preset=name)
        ABOUT[name] = inspect.getdoc(maker) or ""
        return maker

    return register
