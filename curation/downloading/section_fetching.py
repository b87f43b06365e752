"""The sections of one web video: planned or given, fetched alone, checked and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.cutting.plan import CutRecipe
from curation.downloading.section_reader import SectionReader, reading
from curation.downloading.sections import Range, Source, given_range, planned_ranges, section_clip
from curation.errors import ErrorClass, StageError
from curation.probe import VideoInfo, probe
from curation.providers.found import Details
from curation.providers.ranges import NotInParts
from db.engine import Catalogue
from db.files import sha256_of
from db.models import Section, Video

if TYPE_CHECKING:
    from curation.providers.media import Media
    from curation.providers.ytdlp import WebFetcher


@dataclass(frozen=True, kw_only=True)
class SectionsWanted:
    """Which sections of a video: those of its rows, or else those that a cut recipe plans."""

    rows: tuple[Section, ...] = ()
    recipe: CutRecipe | None = None
    kept: tuple[Path, ...] = ()  # files of other sections of it, that are there already

    def __bool__(self) -> bool:
        return bool(self.rows) or self.recipe is not None


def sections_wanted(catalogue: Catalogue, session: Session, video: Video, recipe: CutRecipe | None) -> SectionsWanted:
    """Which sections of a video to fetch: those of its rows whose files are not there; else what `recipe` plans.

    Nothing is planned for a video that has been cut: its clips are of the whole file.
    """
    rows = session.scalars(select(Section).where(Section.video_id == video.id).order_by(Section.index)).all()
    if not rows:
        return SectionsWanted(recipe=recipe if video.cut_recipe is None else None)
    there = [row for row in rows if _is_there(catalogue, row)]
    if len(there) == len(rows):  # the video is to be fetched for another reason
        there = []
    return SectionsWanted(
        rows=tuple(row for row in rows if row not in there),
        kept=tuple(catalogue.path(row.path) for row in there if row.path is not None),
    )


def _is_there(catalogue: Catalogue, row: Section) -> bool:
    if row.path is None:
        return False
    try:
        return catalogue.path(row.path).stat().st_size == row.bytes
    except OSError:
        return False


@dataclass(frozen=True, kw_only=True)
class FetchedSection:
    """A section's file, decoded and hashed, not yet in its place; `path` None: the video has no frames there."""

    index: int
    start: float
    end: float
    path: Path | None
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class FetchedSections:
    """All that was wanted of one video."""

    sections: list[FetchedSection]
    source: Source
    info: VideoInfo
    details: Details
    bytes: int


def fetch_sections(
    web: WebFetcher, url: str, wanted: SectionsWanted, folder: Path, watch: Callable[[int, int | None], None]
) -> FetchedSections:
    """Fetch sections into `folder`, going on with what an earlier call brought.

    Raises `NotInParts` where the video must be fetched whole, `StageError`, and the provider's `Cancelled`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return web.in_parts(url, lambda media: _read(media, wanted, folder, watch))


def _read(
    media: Media, wanted: SectionsWanted, folder: Path, watch: Callable[[int, int | None], None]
) -> FetchedSections:
    with reading(media.open()) as reader:
        source = reader.source(exactly=not wanted.rows)
        ranges = _ranges(wanted, source)
        planned_bytes = reader.bytes_of(ranges)
        total = None if planned_bytes is None else media.bytes + planned_bytes
        media.watch = lambda done: watch(done, None if total is None else max(total, done))
        sections: list[FetchedSection] = []
        info: VideoInfo | None = None
        for each in ranges:
            found = _fetch(reader, media, each, source, folder)
            sections.append(found[0])
            info = info or found[1]
    if info is None:
        raise StageError(
            ErrorClass.UNSUPPORTED, f"it has no frames in its sections; it ends at {float(source.duration):.2f} s"
        )
    return FetchedSections(sections=sections, source=source, info=info, details=media.details, bytes=media.bytes)


def _ranges(wanted: SectionsWanted, source: Source) -> Sequence[Range]:
    if wanted.rows:
        return [given_range(row) for row in wanted.rows]
    assert wanted.recipe is not None
    planned = planned_ranges(source.duration, wanted.recipe)
    if not planned:
        raise NotInParts("its planned sections are most of it")
    return planned


def _fetch(
    reader: SectionReader, media: Media, wanted: Range, source: Source, folder: Path
) -> tuple[FetchedSection, VideoInfo | None]:
    # The name changes with the file on the server: what an earlier call left is of this one, or not found.
    identity = f"{media.version}|{media.size}|{wanted}"
    path = folder / f"{wanted.index:03d}-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.mp4"
    nothing = FetchedSection(
        index=wanted.index, start=float(wanted.start), end=float(wanted.end), path=None, sha256=None
    )
    if not path.is_file() and not reader.write(wanted, path):
        return nothing, None
    info = probe(path)
    clip = section_clip(info, wanted, index=wanted.index, first_pts=source.first_pts, own_file=True)
    if clip is None:
        raise StageError(ErrorClass.CORRUPT, f"{path.name}: a fetched section without its frames")
    start, end = (clip.start, clip.end) if wanted.planned else (float(wanted.start), float(wanted.end))
    return FetchedSection(index=wanted.index, start=start, end=end, path=path, sha256=sha256_of(path)), info
