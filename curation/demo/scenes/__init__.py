"""The kinds of landscape, one module each: a fixed camera, moving water, clouds or leaves, land that stands still.

`SCENES` maps a kind's name to its class; `make_scene` builds one from a size and a seed.
"""

from __future__ import annotations

from curation.demo.scenes.base import Scene
from curation.demo.scenes.beach import Beach
from curation.demo.scenes.clouds import Clouds
from curation.demo.scenes.leaves import Leaves
from curation.demo.scenes.meadow import Meadow
from curation.demo.scenes.rain import Rain
from curation.demo.scenes.river import River
from curation.demo.scenes.sea import Lake, Sea
from curation.demo.scenes.waterfall import Waterfall

SCENES: dict[str, type[Scene]] = {
    scene.kind: scene for scene in (River, Beach, Waterfall, Clouds, Meadow, Sea, Lake, Rain, Leaves)
}


def make_scene(kind: str, size: tuple[int, int], seed: int) -> Scene:
    """A scene of this kind, `size` (width, height) in pixels; raises ValueError where there is no such kind."""
    if kind not in SCENES:
        raise ValueError(f"no demo scene {kind!r}: choose one of {', '.join(SCENES)}")
    return SCENES[kind](size, seed)


__all__ = ["SCENES", "Scene", "make_scene"]
