"""A server with faults, and a movie to fetch from it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.curation.download_cases import MakeVideo
from tests.curation.fault_server import FaultServer, serving


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with serving() as running:
        yield running


@pytest.fixture(scope="session")
def movie(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A video of about 100 kB."""
    return make_video(tmp_path_factory.mktemp("movie") / "a.mp4", frames=60, height=144, width=192).read_bytes()
