"""Every fault and kill -9 at once: each video ends as it must, once, with no file left over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.download_storm import KINDS, storm


@pytest.mark.slow
def test_downloads_in_a_storm(make_video: Callable[..., Path], tmp_path: Path) -> None:
    movie = make_video(tmp_path / "movie.mp4", frames=50, height=96, width=128).read_bytes()
    result = storm(tmp_path / "dataset", movie, videos=36, processes=2, workers=4, kills=3, seed=1, between=(0.8, 1.6))
    assert result.wrong == [], result.table()
    assert result.kills == 3 and result.kills_at_work >= 1
    assert {row[0] for row in result.rows} == {kind.name for kind in KINDS}
