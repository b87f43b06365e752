"""The guide names every option and every preset."""

from __future__ import annotations

from pathlib import Path

from modeling.config import Config
from modeling.parsing import option_paths
from modeling.presets import PRESETS

GUIDE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()


def test_the_guide_names_every_option() -> None:
    assert [path for path in option_paths(Config) if f"`{path}`" not in GUIDE] == []


def test_the_guide_names_every_preset() -> None:
    named = [preset.removesuffix("-dvdgan-s").removesuffix("-as-published") for preset in PRESETS]
    assert [preset for preset in named if f"`{preset}`" not in GUIDE] == []
