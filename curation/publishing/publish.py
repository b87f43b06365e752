"""Publishing a data set: the newest export of each format, as a manifest from which others can rebuild it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePath

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from curation.exporting.export import tools
from curation.exporting.plan import newest_exports
from curation.providers.urls import is_url
from curation.publishing.published import Published, PublishedClip, PublishedShard, PublishedVideo
from db.engine import Catalogue
from db.models import Clip, Export, ExportShard, Extra, Mask, Recipe, ShardClip, Split, Video
from db.shards import SPLITS
from db.states import ClipState


class NothingToPublishError(Exception):
    """There is no finished export."""


class UnfitToPublishError(Exception):
    """The newest export holds clips that must not be published; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A manifest, and what it cannot carry."""

    published: Published
    local: int  # videos that are files of this machine
    unlicensed: int  # videos whose licence nobody knows
    lossy: int  # clips whose frames came from re-encoded files
    beside: int  # videos with extras or masks, which only their import brings back
    unexported: int  # accepted clips that no export holds yet


def publish(catalogue: Catalogue, *, file_names: bool = False) -> Publication:
    """Put the newest exports into a manifest. `file_names`: of local files, not the path but the name.

    Raises `NothingToPublishError`, and `UnfitToPublishError` if clips in the shards are not accepted any more.
    """
    with catalogue.reading() as session:
        exports = newest_exports(session)
        if not exports:
            raise NothingToPublishError("nothing has been exported yet")
        versions = [export.version for export in exports.values()]
        shards = _shards(session, list(exports.values()))
        clips = _clips(session, versions)
        videos = _videos(session, versions, file_names)
        recipes = {clip.recipe for clip in clips} | {shard.recipe for shard in shards}
        recipes |= {clip.file_recipe for clip in clips if clip.file_recipe}
        recipes |= {key for key in session.scalars(select(Split.recipe_hash).distinct()) if key}
        settings = {row.hash: row.settings for row in session.scalars(select(Recipe)) if row.hash in recipes}
        lossy = sum(1 for clip in clips if clip.file_recipe and not settings[clip.file_recipe]["lossless"])
        ids = {video.id for video in videos}
        beside = set(session.scalars(select(Extra.video_id).distinct())) | set(
            session.scalars(select(Mask.video_id).distinct())
        )
        accepted = session.scalar(select(func.count()).where(Clip.state == ClipState.ACCEPTED)) or 0
    return Publication(
        published=Published(
            tools=tools(),
            versions={name: export.version for name, export in exports.items()},
            recipes=settings,
            videos=tuple(videos),
            clips=tuple(clips),
            shards=tuple(shards),
        ),
        local=sum(1 for video in videos if not is_url(video.source)),
        unlicensed=sum(1 for video in videos if not video.licence),
        lossy=lossy,
        beside=len(ids & beside),
        unexported=accepted - len(clips),
    )


def _shards(session: Session, exports: list[Export]) -> list[PublishedShard]:
    listed = []
    for export in exports:
        inside: dict[int, list[tuple[str, str]]] = defaultdict(list)
        for shard_id, clip, digest in session.execute(
            select(ShardClip.shard_id, ShardClip.clip_id, ShardClip.sha256)
            .join(ExportShard, ExportShard.shard_id == ShardClip.shard_id)
            .where(ExportShard.version == export.version)
            .order_by(ShardClip.shard_id, ShardClip.position)
        ):
            inside[shard_id].append((clip, digest))
        listed += [
            PublishedShard(
                format=export.format,
                recipe=shard.recipe_hash,
                file=PurePath(shard.file).name,
                split=shard.split,
                sha256=shard.sha256,
                bytes=shard.bytes,
                frames=shard.frames,
                clips=tuple(clip for clip, _ in inside[shard.id]),
                clip_sha256=tuple(digest for _, digest in inside[shard.id]),
            )
            for shard in sorted(export.shards, key=lambda shard: (SPLITS.index(shard.split), shard.file))
        ]
    return listed


def _clips(session: Session, versions: list[int]) -> list[PublishedClip]:
    rows = session.execute(
        select(
            Clip.id,
            Clip.video_id,
            Clip.recipe_hash,
            Clip.index,
            Clip.start,
            Clip.end,
            Clip.start_pts,
            Clip.end_pts,
            Clip.time_base_num,
            Clip.time_base_den,
            Clip.frame_count,
            Clip.short,
            Clip.scene,
            Clip.file_recipe,
            Clip.path,
            Clip.state,
        )
        .where(Clip.id.in_(_inside(versions)))
        .order_by(Clip.video_id, Clip.index)
    ).all()
    if unfit := [row.id for row in rows if row.state != ClipState.ACCEPTED]:
        raise UnfitToPublishError(
            f"the newest export holds {len(unfit):,} clips that are not accepted any more, such as {unfit[0]}; "
            "export again first (after a take-down: curate takedown)"
        )
    return [
        PublishedClip(
            id=id_,
            video=video,
            recipe=recipe,
            index=index,
            start=start,
            end=end,
            start_pts=start_pts,
            end_pts=end_pts,
            time_base=(numerator, denominator),
            frames=frames,
            short=short,
            scene=scene,
            file_recipe=file_recipe if path else None,
        )
        for (
            id_, video, recipe, index, start, end, start_pts, end_pts, numerator, denominator, frames, short, scene,
            file_recipe, path, _,
        ) in rows
    ]  # fmt: skip


def _inside(versions: list[int]) -> Select[str]:
    return (
        select(ShardClip.clip_id)
        .join(ExportShard, ExportShard.shard_id == ShardClip.shard_id)
        .where(ExportShard.version.in_(versions))
    )


def _videos(session: Session, versions: list[int], file_names: bool) -> list[PublishedVideo]:
    wanted = select(Clip.video_id).where(Clip.id.in_(_inside(versions)))
    rows = session.execute(
        select(Video, Split.name, Split.component)
        .join(Split, Split.video_id == Video.id)
        .where(Video.id.in_(wanted))
        .order_by(Video.id)
    )
    listed = []
    for video, split, component in rows:
        hide = file_names and not is_url(video.source)
        name = Path(video.source).name
        listed.append(
            PublishedVideo(
                id=video.id,
                provider=video.provider,
                # The path is a local file's identity; where it is hidden, the hash stands for it.
                provider_id=f"{name}#{(video.sha256 or video.id)[:12]}" if hide else video.provider_id,
                source=name if hide else video.source,
                name_only=hide,
                sha256=video.sha256,
                bytes=video.bytes,
                duration=video.duration,
                title=video.title,
                channel=video.channel,
                channel_id=video.channel_id,
                licence=video.licence,
                label=video.label,
                official_split=video.official_split,
                group_key=video.group_key,
                split=split,
                component=component,
            )
        )
    return listed
