"""`curate search` asked of a server that answers as the YouTube Data API does, and what the catalogue holds then."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select

from curation.commands import main
from curation.providers import youtube_api
from db.engine import Catalogue
from db.models import Query, QuotaUse, Video
from tests.curation.youtube_server import KEY, YouTubeServer, serving


def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[YouTubeServer]:
    """A running server; no waiting between tries, and no key from outside."""
    monkeypatch.setattr(youtube_api, "PAUSES", (0.0, 0.0, 0.0))
    for name in ("YOUTUBE_API_KEY", "STILLFLOW_YOUTUBE_API_KEY", "STILLFLOW_YOUTUBE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with serving() as server:
        yield server


def curate(catalogue: Catalogue, youtube: YouTubeServer, *arguments: object, key: str = KEY) -> Result:
    options = ["--api-endpoint", youtube.endpoint, "--dataset", str(catalogue.folder)]
    result = CliRunner().invoke(
        main, ["search", "river relaxing", *map(str, arguments), *options], env={"YOUTUBE_API_KEY": key}
    )
    assert "Traceback" not in result.output
    assert KEY not in result.output
    return result


def told(result: Result) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def videos(catalogue: Catalogue) -> list[Video]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Video).order_by(Video.query_rank)))


def queries(catalogue: Catalogue) -> list[Query]:
    with catalogue.reading() as session:
        return list(session.scalars(select(Query).order_by(Query.id)))


def ranks(catalogue: Catalogue) -> list[int]:
    return sorted(v.query_rank for v in videos(catalogue) if v.query_rank is not None)


def spent(catalogue: Catalogue) -> dict[str, int]:
    with catalogue.reading() as session:
        return {use.bucket: use.used for use in session.scalars(select(QuotaUse))}
