"""New datasets: the migrations run once, and each test gets a copy of what they made. `create` has tests of its own."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from db.engine import Catalogue, create, open_catalogue


@functools.cache
def _made() -> tempfile.TemporaryDirectory[str]:
    kept = tempfile.TemporaryDirectory()  # goes when the process ends
    create(Path(kept.name)).close()
    return kept


def fresh_dataset(folder: Path) -> Catalogue:
    """What `create(folder)` gives for a folder that is new or holds other things."""
    shutil.copytree(_made().name, folder, dirs_exist_ok=True)
    return open_catalogue(folder)
