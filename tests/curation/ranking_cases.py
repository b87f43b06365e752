"""Clips with scores, some of them bad, for the tests of the order of review."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from curation.ranking import appearance
from curation.ranking.suspicion import Bounds
from curation.recipes import keep_recipe
from db.engine import Catalogue
from db.models import Score
from tests.browser.review_dataset import make_dataset

BOUNDS = Bounds(minimum={"variance": 0.001}, maximum={"camera_motion": 0.01, "hard_cuts": 0.0})
CLIPS = 60
PLAIN = bytes(appearance.EDGES)  # of a picture without edges


def is_bad(number: int) -> bool:
    return number % 6 == 0


def scored_clips(folder: Path) -> Catalogue:
    """Bad clips move a little more than others, below the bound; a few clips are suspicious and not bad."""
    catalogue = make_dataset(folder, CLIPS, previews=[Path("none")])
    rng = np.random.default_rng(0)
    with catalogue.writing() as session:
        recipe = keep_recipe(session, "score", {"kind": "score"})
        for number in range(CLIPS):
            motion = 0.007 + 0.0005 * rng.standard_normal() if is_bad(number) else abs(0.002 * rng.standard_normal())
            values = {"variance": 0.01 + 0.001 * rng.random(), "camera_motion": motion, "hard_cuts": 0.0}
            if number in (7, 8):
                values["hard_cuts"] = float(number - 6)
            for name, value in values.items():
                session.add(Score(clip_id=f"clip-{number:05}", name=name, value=float(value), settings_hash=recipe))
    return catalogue
