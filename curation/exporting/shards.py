"""Making one shard of an export: decode its clips, write them, and put the finished file into the catalogue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from curation.cutting.cut import fail_video
from curation.errors import ErrorClass, StageError
from curation.exporting.beside import Beside, ClipSource, Places
from curation.exporting.lock import STAGE
from curation.exporting.plan import NewShard, WantedClip
from curation.exporting.recipe import ExportRecipe
from curation.exporting.resample import read_clip
from curation.exporting.webdataset import TarWriter
from curation.sources import locate, locate_clip
from db.engine import Catalogue
from db.leases import worker_name
from db.models import Attempt, Clip, Shard, ShardClip, Video, now
from db.shards import NO_SIDE, ClipRow, Encoded, ShardInfo, ShardWriter, Side, SideLayout, shard_attributes
from db.states import VideoState

J = TypeVar("J")
R = TypeVar("R")
Frames = NDArray[np.uint8]
CHUNK = 500  # ids asked for in one query


@dataclass(frozen=True, kw_only=True)
class ClipFailure:
    """A clip that could not be exported."""

    clip_id: str
    source: str
    error: str


class Writer(Protocol):
    """What writes a shard, in either format."""

    def write(self, frames: Frames | Encoded, side: Side = NO_SIDE) -> None: ...
    def leave_out(self) -> None: ...
    def close(self) -> ShardInfo: ...
    def __enter__(self) -> Writer: ...
    def __exit__(self, *exc: object) -> None: ...
    @property
    def written(self) -> int: ...


def make_shard(
    catalogue: Catalogue,
    recipe: ExportRecipe,
    new: NewShard,
    *,
    workers: int,
    clip_done: Callable[[str], None],
) -> tuple[int | None, list[ClipFailure]]:
    """Write a shard of all clips that decode. Returns its id (None if none did) and what failed, recorded already."""
    started = now()
    sources = _sources(catalogue, new.clips)
    beside = Beside(catalogue.folder, recipe, new)
    places = {clip.row.id: _attempt(beside.places, clip, sources[clip.row.id]) for clip in new.clips}

    def read(clip: WantedClip) -> tuple[Frames, Side] | StageError:
        source, place = sources[clip.row.id], places[clip.row.id]
        if isinstance(source, StageError):
            return source
        if isinstance(place, StageError):
            return place
        try:
            side = beside.read(clip, source, place)
            return read_clip(source.path, clip.grid, size=recipe.size, fit=recipe.fit), side
        except StageError as error:
            return error

    failed: list[tuple[WantedClip, StageError]] = []
    info: ShardInfo | None = None
    announced = [len(place.masks) if isinstance(place, Places) else 0 for place in places.values()]
    layout = SideLayout(extras=new.extras, masks=announced)
    path = catalogue.folder / recipe.layout.folder / new.file
    with open_writer(path, recipe, new.split, [clip.row for clip in new.clips], layout) as writer:
        for clip, result in in_order(read, new.clips, workers):
            if isinstance(result, StageError):
                writer.leave_out()
                failed.append((clip, result))
            else:
                writer.write(*result)
            clip_done(clip.row.id)
        if writer.written:
            info = writer.close()
    with catalogue.writing() as session:
        for clip, error in failed:
            _record_failure(session, clip, error, started)
        shard_id = None if info is None else record(session, recipe, info, started)
    failures = [
        ClipFailure(clip_id=clip.row.id, source=clip.row.source_url, error=str(error)) for clip, error in failed
    ]
    return shard_id, failures


def open_writer(path: Path, recipe: ExportRecipe, split: str, rows: Sequence[ClipRow], side: SideLayout) -> Writer:
    """A writer of a recipe's format."""
    if recipe.format == "webdataset":
        attributes = shard_attributes(
            split=split,
            height=recipe.size,
            width=recipe.size,
            fps=recipe.shard_fps,
            recipe=recipe.settings(),
            tool_version=tool_version(),
            codec=recipe.codec,
        )
        return TarWriter(path, attributes=attributes, rows=rows, codec=recipe.codec, side=side)
    return ShardWriter(
        path,
        split=split,
        height=recipe.size,
        width=recipe.size,
        fps=recipe.shard_fps,
        recipe=recipe.settings(),
        rows=rows,
        tool_version=tool_version(),
        codec=recipe.codec,
        side=side,
    )


def in_order(work: Callable[[J], R], jobs: Iterable[J], workers: int) -> Iterator[tuple[J, R]]:
    """Each job with its result, in the order of the jobs; up to `workers` at once, and one more result waiting.

    Threads suffice: decoding and resizing leave Python's lock alone (two threads give 2.0x of one).
    """
    if workers <= 1:
        for job in jobs:
            yield job, work(job)
        return
    running: deque[tuple[J, Future[R]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        for job in jobs:
            running.append((job, pool.submit(work, job)))
            if len(running) > workers:
                first, future = running.popleft()
                yield first, future.result()
        while running:
            first, future = running.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def record(session: Session, recipe: ExportRecipe, info: ShardInfo, started: datetime) -> int:
    """Put a finished shard, whose file is in place, into the catalogue. Returns its id."""
    shard = Shard(
        file=f"{recipe.layout.folder}/{info.path.name}",
        split=info.split,
        recipe_hash=recipe.hash,
        sha256=info.sha256,
        bytes=info.bytes,
        frames=info.frames,
    )
    session.add(shard)
    session.flush()
    worker, ended = worker_name(), now()
    session.execute(
        insert(ShardClip),
        [
            {
                "shard_id": shard.id,
                "position": position,
                "clip_id": row.id,
                "length": row.length,
                "sha256": digest,
                "side": row.side or None,
            }
            for position, (row, digest) in enumerate(zip(info.rows, info.clip_sha256, strict=True))
        ],
    )
    session.execute(
        insert(Attempt),
        [
            {
                "stage": STAGE,
                "item_id": row.id,
                "worker": worker,
                "started_at": started,
                "ended_at": ended,
                "outcome": "done",
            }
            for row in info.rows
        ],
    )
    inside = select(ShardClip.clip_id).where(ShardClip.shard_id == shard.id)
    session.execute(
        update(Clip)
        .where(Clip.id.in_(inside), Clip.error.is_not(None))
        .values(error=None)
        .execution_options(synchronize_session=False)
    )
    return shard.id


def tool_version() -> str:
    """What writes the shards."""
    return f"stillflow {version('stillflow')}"


def _sources(catalogue: Catalogue, clips: Sequence[WantedClip]) -> Mapping[str, ClipSource | StageError]:
    """Where each clip's frames are, or why nowhere."""
    found: dict[str, ClipSource | StageError] = {}
    with catalogue.reading() as session:
        for first in range(0, len(clips), CHUNK):
            some = clips[first : first + CHUNK]
            # Loaded at once; the session then has them at hand, one by one.
            videos = session.scalars(select(Video).where(Video.id.in_({clip.row.video_id for clip in some}))).all()
            rows = session.scalars(select(Clip).where(Clip.id.in_([clip.row.id for clip in some]))).all()
            of_id = {video.id: video for video in videos}
            for row in rows:
                found[row.id] = _source(catalogue, session, row, of_id[row.video_id])
    return {clip.row.id: found[clip.row.id] for clip in clips}


def _source(catalogue: Catalogue, session: Session, clip: Clip, video: Video) -> ClipSource | StageError:
    try:
        path = locate_clip(catalogue, session, clip)
    except StageError as error:
        return error
    try:
        whole = locate(catalogue, video)
    except StageError:  # its clips have files of their own
        whole = None
    return ClipSource(path=path, whole=whole, start=clip.start, rate=video.fps, frames=video.frames)


def _attempt(
    places: Callable[[WantedClip, ClipSource], Places], clip: WantedClip, source: ClipSource | StageError
) -> Places | StageError:
    if isinstance(source, StageError):
        return source
    try:
        return places(clip, source)
    except StageError as error:
        return error


def _record_failure(session: Session, clip: WantedClip, error: StageError, started: datetime) -> None:
    session.get_one(Clip, clip.row.id).error = str(error)
    video = session.get_one(Video, clip.row.video_id)
    if error.error_class is ErrorClass.MISSING and video.state == VideoState.DOWNLOADED:
        fail_video(session, video.id, error)  # so that the next download fetches or checks it anew
    session.add(
        Attempt(
            stage=STAGE,
            item_id=clip.row.id,
            worker=worker_name(),
            started_at=started,
            outcome="failed",
            error_class=error.error_class,
            message=error.message,
        )
    )
