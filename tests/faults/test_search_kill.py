"""`curate search` killed outright at many moments: what was found stays, and in the end all are found once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Catalogue, open_catalogue
from db.models import Query, QuotaUse, Video
from tests.curation.youtube_server import KEY, YouTubeServer, serving, uploads

CURATE = str(Path(sys.executable).parent / "curate")


@pytest.fixture
def youtube() -> Iterator[YouTubeServer]:
    with serving() as server:
        yield server


def test_killed_at_many_moments(catalogue: Catalogue, youtube: YouTubeServer) -> None:
    folder = catalogue.folder
    catalogue.close()
    youtube.uploads, youtube.slow = uploads(400), 0.02
    command = [CURATE, "search", "river", "--limit", "1000", "--dataset", str(folder), "--json"]
    environment = os.environ | {"YOUTUBE_API_KEY": KEY, "STILLFLOW_YOUTUBE_ENDPOINT": youtube.endpoint}
    rng = random.Random(0)
    for _ in range(4):
        before = youtube.calls.total()
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while youtube.calls.total() == before:
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.15))
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["found"] == 400
    with open_catalogue(folder) as reopened, reopened.reading() as session:
        found = list(session.scalars(select(Video).order_by(Video.query_rank)))
        assert [v.provider_id for v in found] == [upload.id for upload in youtube.uploads]
        assert [query.state for query in session.scalars(select(Query))] == ["complete"]
        counted = {use.bucket: use.used for use in session.scalars(select(QuotaUse))}
    # Each call is counted before it is made, and a killed call costs one page at most.
    assert counted["search"] >= youtube.calls["search"]
    assert youtube.calls["search"] <= 8 + 4
