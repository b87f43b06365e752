"""What the tests of downloads share: adding, fetching, and looking at what became of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import av
from av.video.stream import VideoStream
from sqlalchemy import select

from curation.downloading.download import DownloadReport, DownloadSettings, download
from curation.finding.adding import add_found
from curation.providers.folder import identify_file
from curation.providers.urls import identify_url
from db.engine import Catalogue
from db.models import Attempt, Video, now

MakeVideo = Callable[..., Path]


class Quiet:
    """Progress that nobody looks at, with its sum."""

    def __init__(self) -> None:
        self.total = 0.0
        self.done = 0.0

    def advance(self, amount: float) -> None:
        self.done += amount

    def grow(self, amount: float) -> None:
        self.total += amount

    def line(self, text: str) -> None:
        pass


def add(catalogue: Catalogue, *items: str | Path) -> list[str]:
    found = [identify_file(item) if isinstance(item, Path) else identify_url(item) for item in items]
    return add_found(catalogue, found, provider="add", phrase="test", settings={}).new


def fetch(catalogue: Catalogue, **settings: object) -> DownloadReport:
    defaults: dict[str, object] = {"network_retries": 1, "timeout": 2.0, "keep_free": 0, "workers": 2}
    return download(catalogue, DownloadSettings(**(defaults | settings)), Quiet())  # type: ignore[arg-type]


def row(catalogue: Catalogue, video_id: str) -> Video:
    with catalogue.reading() as session:
        return session.get_one(Video, video_id)


def attempts(catalogue: Catalogue) -> list[tuple[str, str, str | None]]:
    with catalogue.reading() as session:
        return [(a.item_id, a.outcome, a.error_class) for a in session.scalars(select(Attempt).order_by(Attempt.id))]


def files(catalogue: Catalogue) -> list[str]:
    folder = catalogue.folder / "videos"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def lengthened(source: Path, target: Path, times: int) -> Path:
    """A video that shows another so many times in a row: its packets with later times, nothing encoded."""
    with av.open(str(source)) as read:
        stream = read.streams.video[0]
        packets = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in read.demux(stream) if p.size]
        round_ = stream.duration or 0
        with av.open(str(target), "w", options={"movflags": "faststart"}) as written:
            copy = written.add_stream_from_template(stream)
            for number in range(times):
                for data, pts, dts, key in packets:
                    packet: av.Packet[VideoStream] = av.Packet(data)
                    packet.stream, packet.time_base = copy, stream.time_base
                    packet.pts, packet.dts = (pts or 0) + number * round_, (dts or 0) + number * round_
                    packet.is_keyframe = key
                    written.mux(packet)
    return target


def make_due(catalogue: Catalogue) -> None:
    """As if the pauses of all failed videos were over."""
    with catalogue.writing() as session:
        for video in session.scalars(select(Video).where(Video.retry_at.is_not(None))):
            video.retry_at = now() - timedelta(seconds=1)
