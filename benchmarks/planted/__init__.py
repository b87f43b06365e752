"""Clips with planted faults, and clean ones that look like it, for measuring detectors: the truth is known.

`planted(seed, ...)` makes them, small and short, through a real H.264 encoder, and yields each with its truth. Footage
is of two origins: the real videos beside this project, where they are, and the demo's rendered scenes. There is little
real footage (15 shots of 1 to 6 s): the training and the test split use other shots of it, and crop, mirror, speed up
and relight them, but two shots of a film are not as independent as two films.
"""

from __future__ import annotations

from .make import PlantedClip, planted

__all__ = ["PlantedClip", "planted"]
