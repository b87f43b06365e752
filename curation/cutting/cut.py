"""The cut stage: clips as rows, from a packet scan of each video. No file is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, or_, select
from sqlalchemy.orm import Session

from curation.cutting.plan import ClipPlan, CutRecipe, plan
from curation.downloading.sections import Range, cut_settings, given_range, section_clip
from curation.errors import StageError
from curation.probe import VideoInfo, probe
from curation.recipes import keep_recipe
from curation.sources import locate, locate_section
from curation.stages import Result, Stage, run_stage
from db.engine import Catalogue
from db.models import BatchClip, Clip, Decision, Fingerprint, Preview, Query, Score, Section, Video, now
from db.recipes import recipe_hash
from db.states import VideoState, move_video

PUBLISHED = (
    "manifest"  # provider of queries whose videos are cut as a published manifest says: curation.cutting.published
)


@dataclass(frozen=True, kw_only=True)
class SectionJob:
    """A section to make a clip of. `first_pts` is the video's; None: `path` is the whole video."""

    wanted: Range
    path: Path
    first_pts: int | None


@dataclass(frozen=True, kw_only=True)
class Job:
    path: Path | None  # of the whole video
    recipe: CutRecipe
    sections: tuple[SectionJob, ...] = ()  # where there are any, they are the clips


@dataclass(frozen=True, kw_only=True)
class Cut:
    clips: list[ClipPlan]
    time_base: tuple[int, int]
    settings: dict[str, Any]


def cut(job: Job) -> Cut:
    """Plan a video's clips. Raises `StageError` if it cannot be read."""
    if job.path is None or job.sections:
        return _cut_sections(job)
    info = probe(job.path)
    return _cut(plan(info, job.recipe), info, job.recipe.settings())


def _cut_sections(job: Job) -> Cut:
    """One clip a section, from the frames of its own file or of the whole video's."""
    clips: list[ClipPlan] = []
    infos = {path: probe(path) for path in dict.fromkeys(each.path for each in job.sections)}
    for each in job.sections:
        info = infos[each.path]
        first_pts = int(info.pts[0]) if each.first_pts is None else each.first_pts
        clip = section_clip(
            info, each.wanted, index=len(clips), first_pts=first_pts, own_file=each.first_pts is not None
        )
        if clip is not None:
            clips.append(clip)
    ranges = [(float(each.wanted.start), float(each.wanted.end)) for each in job.sections]
    return _cut(clips, next(iter(infos.values())), cut_settings(ranges))


def _cut(clips: list[ClipPlan], info: VideoInfo, settings: dict[str, Any]) -> Cut:
    return Cut(clips=clips, time_base=(info.time_base.numerator, info.time_base.denominator), settings=settings)


def cut_videos(
    catalogue: Catalogue,
    recipe: CutRecipe,
    *,
    recut: bool = False,
    workers: int = 1,
    done: Callable[[str], None] = lambda item: None,
) -> Result:
    """Cut all downloaded videos that have no clips yet; with `recut`, also those that another recipe cut.

    The clips of a video with sections are its sections, whatever the recipe. Videos with decided clips are never cut
    again: their decisions would be lost.
    """
    key = remember(catalogue, recipe)
    stage: Stage[Job, Cut] = Stage(
        name="cut",
        candidates=_candidates(key, recut),
        job=lambda session, video: _job(catalogue, session, video, recipe),
        work=cut,
        store=_store,
        fail=fail_video,
    )
    return run_stage(catalogue, stage, workers=workers, done=done)


def videos_to_cut(catalogue: Catalogue, recipe: CutRecipe, *, recut: bool = False) -> list[str]:
    """Ids of the videos that `cut_videos` would cut."""
    with catalogue.reading() as session:
        return list(session.scalars(_candidates(recipe_hash(recipe.settings()), recut)))


def _candidates(key: str, recut: bool) -> Select[Any]:
    left: ColumnElement[bool] = Video.cut_recipe.is_(None)
    if recut:
        decided = exists().where(Decision.clip_id == Clip.id, Clip.video_id == Video.id)
        shown = exists().where(BatchClip.clip_id == Clip.id, Clip.video_id == Video.id)
        left = or_(left, (Video.cut_recipe != key) & ~decided & ~shown & ~_has_sections())
    there = and_(Video.state == VideoState.DOWNLOADED, Video.pruned_at.is_(None), ~_published())
    return select(Video.id).where(there, left).order_by(Video.created_at, Video.id)


def _published() -> ColumnElement[bool]:
    return exists().where(Query.id == Video.query_id, Query.provider == PUBLISHED)


def _has_sections() -> ColumnElement[bool]:
    return exists().where(Section.video_id == Video.id)


def cut_otherwise(session: Session, recipe: CutRecipe) -> list[str]:
    """Ids of the videos that another recipe cut."""
    key = recipe_hash(recipe.settings())
    return list(
        session.scalars(
            select(Video.id).where(
                Video.state == VideoState.DOWNLOADED,
                Video.cut_recipe.is_not(None),
                Video.cut_recipe != key,
                ~_published(),
                ~_has_sections(),
            )
        )
    )


def remember(catalogue: Catalogue, recipe: CutRecipe) -> str:
    """Store a recipe once; its hash."""
    with catalogue.writing() as session:
        return keep_recipe(session, "cut", recipe.settings())


def fail_video(session: Session, video_id: str, error: StageError) -> None:
    """Record that a downloaded video turned out to be unusable."""
    video = session.get_one(Video, video_id)
    if video.state == VideoState.TAKEN_DOWN:  # meanwhile, and its file went
        return
    move_video(video, VideoState.FAILED)
    video.error_class, video.error = error.error_class, str(error)
    pause = error.policy.pause(video.tries + 1)
    video.retry_at = None if pause is None else now() + timedelta(seconds=pause)


def _job(catalogue: Catalogue, session: Session, video_id: str, recipe: CutRecipe) -> Job:
    video = session.get_one(Video, video_id)
    rows = session.scalars(select(Section).where(Section.video_id == video_id).order_by(Section.index)).all()
    whole = locate(catalogue, video) if video.path is not None or not rows else None
    sections = []
    for row in rows:
        if whole is not None:
            sections.append(SectionJob(wanted=given_range(row), path=whole, first_pts=None))
        elif row.path is not None or row.first_pts is None:
            path = locate_section(catalogue, row)
            sections.append(SectionJob(wanted=given_range(row), path=path, first_pts=row.first_pts))
    return Job(path=whole, recipe=recipe, sections=tuple(sections))


def _store(session: Session, video_id: str, result: Cut) -> None:
    key = keep_recipe(session, "cut", result.settings)
    video = session.get_one(Video, video_id)
    old = select(Clip.id).where(Clip.video_id == video_id)
    for table in (Score, Fingerprint, Preview):
        session.execute(delete(table).where(table.clip_id.in_(old)))
    session.execute(delete(Clip).where(Clip.video_id == video_id))
    numerator, denominator = result.time_base
    for clip in result.clips:
        session.add(
            Clip(
                id=f"{video_id}-{key[:6]}-{clip.index:02d}",
                video_id=video_id,
                recipe_hash=key,
                time_base_num=numerator,
                time_base_den=denominator,
                **vars(clip),
            )
        )
    video.cut_recipe = key
