"""Making one shard of an export: decode its clips, write them, and put the finished file into the catalogue."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from curation.cut import fail_video
from curation.errors import ErrorClass, StageError
from curation.export_lock import STAGE
from curation.export_plan import SHARD_NAME, SHARDS, ExportRecipe, NewShard, WantedClip
from curation.resample import read_clip
from curation.sources import locate_clip
from db.engine import Catalogue
from db.files import sha256_of
from db.leases import worker_name
from db.models import Attempt, Clip, Shard, ShardClip, Video, now
from db.shards import ShardError, ShardInfo, ShardReader, ShardWriter
from db.states import VideoState

J = TypeVar("J")
R = TypeVar("R")
Frames = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class ClipFailure:
    """A clip that could not be exported."""

    clip_id: str
    source: str
    error: str


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
    with catalogue.reading() as session:
        paths = {clip.row.id: _source(catalogue, session, clip.row.id) for clip in new.clips}

    def read(clip: WantedClip) -> Frames | StageError:
        path = paths[clip.row.id]
        if isinstance(path, StageError):
            return path
        try:
            return read_clip(path, clip.grid, size=recipe.size, fit=recipe.fit)
        except StageError as error:
            return error

    failed: list[tuple[WantedClip, StageError]] = []
    info: ShardInfo | None = None
    with ShardWriter(
        catalogue.folder / SHARDS / new.file,
        split=new.split,
        height=recipe.size,
        width=recipe.size,
        fps=recipe.shard_fps,
        recipe=recipe.settings(),
        rows=[clip.row for clip in new.clips],
        tool_version=tool_version(),
    ) as writer:
        for clip, frames in in_order(read, new.clips, workers):
            if isinstance(frames, StageError):
                writer.leave_out()
                failed.append((clip, frames))
            else:
                writer.write(frames)
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
        file=f"{SHARDS}/{info.path.name}",
        split=info.split,
        recipe_hash=recipe.hash,
        sha256=info.sha256,
        bytes=info.bytes,
        frames=info.frames,
    )
    session.add(shard)
    session.flush()
    worker = worker_name()
    for position, (row, digest) in enumerate(zip(info.rows, info.clip_sha256, strict=True)):
        session.add(ShardClip(shard_id=shard.id, position=position, clip_id=row.id, length=row.length, sha256=digest))
        session.add(Attempt(stage=STAGE, item_id=row.id, worker=worker, started_at=started, outcome="done"))
    session.flush()
    inside = select(ShardClip.clip_id).where(ShardClip.shard_id == shard.id)
    session.execute(
        update(Clip)
        .where(Clip.id.in_(inside), Clip.error.is_not(None))
        .values(error=None)
        .execution_options(synchronize_session=False)
    )
    return shard.id


def adopt(catalogue: Catalogue, recipe: ExportRecipe, wanted: Mapping[str, WantedClip]) -> list[str]:
    """Take in whole shards that an export wrote but was killed before recording. Returns remarks on other strays."""
    with catalogue.reading() as session:
        known = set(session.scalars(select(Shard.file)))
    remarks = []
    for path in sorted((catalogue.folder / SHARDS).glob("*.h5")):
        if f"{SHARDS}/{path.name}" in known or not SHARD_NAME.fullmatch(path.name):
            continue
        info = _as_written(path, recipe, wanted)
        if info is None:
            remarks.append(f"{SHARDS}/{path.name} belongs to no export of this dataset; delete it if nothing needs it")
            continue
        with catalogue.writing() as session:
            record(session, recipe, info, now())
    return remarks


def _as_written(path: Path, recipe: ExportRecipe, wanted: Mapping[str, WantedClip]) -> ShardInfo | None:
    """What a stray shard is, if this export would write its clips just so."""
    try:
        with ShardReader(path) as reader:
            rows = reader.rows
            if reader.recipe_hash != recipe.hash or not all(
                row.id in wanted and wanted[row.id].row == row and wanted[row.id].split == reader.split for row in rows
            ):
                return None
            if reader.damaged_clips():
                return None
            return ShardInfo(
                path=path,
                split=reader.split,
                sha256=sha256_of(path),
                bytes=path.stat().st_size,
                frames=reader.frame_count,
                rows=rows,
                clip_sha256=reader.clip_sha256,
            )
    except ShardError:
        return None


def tool_version() -> str:
    """What writes the shards."""
    return f"stillflow {version('stillflow')}"


def _source(catalogue: Catalogue, session: Session, clip_id: str) -> Path | StageError:
    try:
        return locate_clip(catalogue, session, session.get_one(Clip, clip_id))
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
