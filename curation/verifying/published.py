"""Verification against a published manifest: is this the data set that was published, and if not, what is missing?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.exporting.plan import newest_exports
from curation.publishing.published import Published, PublishedShard, PublishedVideo
from curation.verifying.verify import Fault
from db.engine import Catalogue
from db.files import sha256_of
from db.models import Clip, ExportShard, Shard, ShardClip, Video
from db.states import VideoState

MANIFEST = "manifest"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How much of a published data set is here."""

    clips: int  # whose frames have the published hash
    clips_published: int
    shards: int  # that have the published hash
    shards_published: int
    faults: tuple[Fault, ...]


def compare(catalogue: Catalogue, published: Published, *, recipe: str | None = None) -> Comparison:
    """Compare a dataset's catalogue with a manifest, or with its shards of one recipe, by hash.

    The shards' bytes are `check_dataset`'s business.
    """
    listed = [shard for shard in published.shards if recipe in (None, shard.recipe)]
    with catalogue.reading() as session:
        faults = list(_source_faults(session, published))
        exported = _Exported(session)
        same = 0
        for shard in listed:
            fault = exported.fault(shard)
            if fault is None:
                same += 1
            else:
                faults.append(Fault(file=shard.file, against=MANIFEST, message=fault))
    clips = [(clip, digest) for shard in listed for clip, digest in zip(shard.clips, shard.clip_sha256, strict=True)]
    return Comparison(
        clips=sum(1 for clip in clips if clip in exported.clips),
        clips_published=len(clips),
        shards=same,
        shards_published=len(listed),
        faults=tuple(faults),
    )


def compare_folder(folder: Path, published: Published, done: Callable[[str], None] = lambda file: None) -> Comparison:
    """Compare a folder of shards, of one format, with a manifest: every byte of them."""
    faults: list[Fault] = []
    suffixes = {path.suffix for path in folder.iterdir()}
    listed = [shard for shard in published.shards if Path(shard.file).suffix in suffixes] or list(published.shards)
    for shard in listed:
        path = folder / Path(shard.file).name
        if not path.is_file():
            faults.append(Fault(file=shard.file, against=MANIFEST, message="is not there"))
        elif sha256_of(path) != shard.sha256:
            faults.append(Fault(file=shard.file, against=MANIFEST, message="does not have the published SHA-256"))
        done(shard.file)
    bad = {fault.file for fault in faults}
    return Comparison(
        clips=sum(len(shard.clips) for shard in listed if shard.file not in bad),
        clips_published=sum(len(shard.clips) for shard in listed),
        shards=len(listed) - len(bad),
        shards_published=len(listed),
        faults=tuple(faults),
    )


def _source_faults(session: Session, published: Published) -> Iterator[Fault]:
    rows = {
        row.id: row
        for row in session.execute(select(Video.id, Video.state, Video.error, Video.sha256, Video.cut_recipe))
    }
    clips = session.execute(select(Clip.id, Clip.video_id)).all()
    known, cut = {clip for clip, _ in clips}, {video for _, video in clips}
    wanted: dict[str, list[str]] = defaultdict(list)
    for clip in published.clips:
        wanted[clip.video].append(clip.id)
    for video in published.videos:
        row = rows.get(video.id)
        if row is None:
            yield _fault(video, "is not in this dataset; run: curate add --manifest")
        elif row.state == VideoState.TAKEN_DOWN:
            yield _fault(video, "was taken down")
        elif row.state != VideoState.DOWNLOADED:
            yield _fault(video, f"is not downloaded: {row.error or row.state}")
        else:
            if video.sha256 is not None and row.sha256 is not None and row.sha256 != video.sha256:
                yield _fault(video, "is not the published file: it has another SHA-256")
            missing = [clip for clip in wanted[video.id] if clip not in known]
            if missing and video.id not in cut:
                yield _fault(video, "is not cut yet; run: curate cut")
            elif missing:
                yield _fault(
                    video, f"{len(missing)} of its {len(wanted[video.id])} clips could not be cut: {missing[0]}"
                )


def _fault(video: PublishedVideo, message: str) -> Fault:
    return Fault(file=video.id, against=MANIFEST, message=message)


class _Exported:
    """What the newest exports hold."""

    def __init__(self, session: Session) -> None:
        versions = [export.version for export in newest_exports(session).values()]
        inside = ExportShard.version.in_(versions)
        rows = session.execute(
            select(Shard.sha256, Shard.recipe_hash).join(ExportShard, ExportShard.shard_id == Shard.id).where(inside)
        ).all()
        self._shards = {sha256 for sha256, _ in rows}
        self._recipes = {recipe for _, recipe in rows}
        clips = session.execute(
            select(Shard.recipe_hash, ShardClip.clip_id, ShardClip.sha256)
            .join(ShardClip, ShardClip.shard_id == Shard.id)
            .join(ExportShard, ExportShard.shard_id == Shard.id)
            .where(inside)
        )
        self._clips: dict[tuple[str, str], str] = {(recipe, clip): digest for recipe, clip, digest in clips}
        self.clips = {(clip, digest) for (_, clip), digest in self._clips.items()}

    def fault(self, shard: PublishedShard) -> str | None:
        """Why a published shard is not here; None if it is."""
        if shard.sha256 in self._shards:
            return None
        if shard.recipe not in self._recipes:
            return f"nothing is exported with its recipe ({shard.recipe[:12]}); curate add --manifest says the command"
        here = [self._clips.get((shard.recipe, clip)) for clip in shard.clips]
        if missing := here.count(None):
            return f"cannot be the same: {missing} of its {len(shard.clips)} clips are not exported here"
        other = sum(one != digest for one, digest in zip(here, shard.clip_sha256, strict=True))
        if other:
            return f"is not the same: the frames of {other} of its {len(shard.clips)} clips differ"
        return "is not the same: its frames are, what it says of them (source, licence, label, version, order) is not"
