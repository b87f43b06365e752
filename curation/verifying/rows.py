"""Verification of the catalogue's rows: nothing torn apart, no decision changed, nothing left that was taken down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import groupby

from sqlalchemy import String, or_, select, type_coerce
from sqlalchemy.orm import Session

from curation.splitting.components import (
    ACCEPTED,
    connect,
    leaks,
    officially_placed,
    rules_that_stand,
    tied,
    torn_by_its_makers,
)
from curation.verifying.verify import Fault
from db.engine import CATALOGUE, Catalogue
from db.models import Clip, Decision, Export, ExportShard, Shard, ShardClip, Split, Video
from db.shards import MANIFEST, SPLITS
from db.states import VideoState
from db.tables.review import DIGESTED, digest


def row_fault(file: str, message: str) -> Fault:
    """A fault that the catalogue's rows show."""
    return Fault(file=file, against="catalogue", message=message)


def component_faults(session: Session, exports: Sequence[Export]) -> tuple[list[Fault], list[Fault]]:
    """Components on two sides of the split, worked out anew from the rows: (ours, those of official splits).

    Looks at the split as it stands, and at where the exported clips stand, whatever has become of them since.
    """
    rules = rules_that_stand(session)
    versions = [export.version for export in exports]
    inside = (
        select(ShardClip.clip_id)
        .join(ExportShard, ExportShard.shard_id == ShardClip.shard_id)
        .where(ExportShard.version.in_(versions))
    )
    counted = or_(ACCEPTED, Clip.id.in_(inside))
    ties = tied(session, by_channel=rules.by_channel, counted=counted)
    stored = session.execute(
        select(Split.video_id, Split.name, Split.component).where(
            Split.video_id.in_(select(Clip.video_id).where(counted))
        )
    ).all()
    side_of = {video: name for video, name, _ in stored}
    component_of = connect([*side_of, *(video for tie in ties for video in tie.videos)], ties)
    official = officially_placed(session, rules)
    sides: dict[str, set[str]] = defaultdict(set)
    official_sides: dict[str, set[str]] = defaultdict(set)
    for video, side in side_of.items():
        sides[component_of[video]].add(side)
        if video in official:
            official_sides[component_of[video]].add(side)
    by_makers = {name for name in sides if torn_by_its_makers(sides[name], official_sides[name])}
    ours: list[Fault] = []
    theirs: list[Fault] = []
    for tie, torn in leaks(ties, side_of):
        told = theirs if component_of[tie.videos[0]] in by_makers else ours
        told.append(row_fault(MANIFEST, f"a leak: videos {_listed(torn)} {tie}"))
    # What a split held together once, though no row says why any more.
    recorded: dict[str, dict[str, str]] = defaultdict(dict)
    for video, name, component in stored:
        recorded[component].setdefault(name, video)
    for component, torn in sorted(recorded.items()):
        joined = {component_of[video] for video in torn.values()}
        if len(torn) > 1 and len(joined) > 1:  # else a tie has told it
            told = theirs if joined <= by_makers else ours
            told.append(
                row_fault(MANIFEST, f"a leak: the videos of component {component} are in {' and '.join(_order(torn))}")
            )
    exported = session.execute(
        select(Clip.video_id, Shard.split)
        .join(ShardClip, ShardClip.clip_id == Clip.id)
        .join(Shard, Shard.id == ShardClip.shard_id)
        .join(ExportShard, ExportShard.shard_id == Shard.id)
        .where(ExportShard.version.in_(versions))
        .distinct()
    )
    in_shards = {video: side for video, side in exported}
    if any(side_of.get(video) != side for video, side in in_shards.items()):
        for tie, torn in leaks(ties, in_shards):
            told = theirs if component_of[tie.videos[0]] in by_makers else ours
            told.append(row_fault(MANIFEST, f"a leak: in the shards, videos {_listed(torn)} {tie}"))
    return ours, theirs


def _order(sides: dict[str, str]) -> list[str]:
    return sorted(sides, key=lambda name: SPLITS.index(name) if name in SPLITS else len(SPLITS))


def _listed(torn: dict[str, str]) -> str:
    return " and ".join(f"{torn[side]} ({side})" for side in _order(torn))


def decision_faults(session: Session) -> list[Fault]:
    """Decisions that were changed, removed or brought in past this program, each by its number."""
    told = []
    columns = [getattr(Decision, name) for name in DIGESTED[:-1]]
    # As the database holds it: a time that somebody wrote there need not be one.
    rows = session.execute(
        select(Decision.id, Decision.digest, *columns, type_coerce(Decision.created_at, String)).order_by(Decision.id)
    )
    sqlite = session.get_bind().dialect.name == "sqlite"
    expected = 1
    for number, recorded, *values in rows:
        if sqlite and number != expected:  # SQLite gives the numbers without gaps
            told.append(row_fault(CATALOGUE, f"{_missing(expected, number - 1)} removed"))
        expected = number + 1
        row = dict(zip(DIGESTED, values, strict=True))
        if recorded != digest(row):
            how = "was changed after it was made" if recorded else "was not made by a command"
            told.append(
                row_fault(
                    CATALOGUE,
                    f"decision {number} on clip {row['clip_id']} {how}: it says {row['verdict']!r} "
                    f"by {row['annotator']!r}",
                )
            )
    return told


def _missing(first: int, last: int) -> str:
    return f"decision {first} was" if first == last else f"decisions {first} to {last} were"


def taken_down_faults(catalogue: Catalogue, session: Session) -> Iterator[Fault]:
    """Files that still hold something of a video that was taken down."""
    held = (
        select(Shard.file, Clip.video_id)
        .join(ShardClip, ShardClip.shard_id == Shard.id)
        .join(Clip, Clip.id == ShardClip.clip_id)
        .join(Video, Video.id == Clip.video_id)
        .where(Video.state == VideoState.TAKEN_DOWN)
        .order_by(Shard.file, Clip.video_id)
        .distinct()
    )
    for file, rows in groupby(session.execute(held), key=lambda row: str(row[0])):
        if catalogue.path(file).exists():
            videos = " ".join(str(video) for _, video in rows)
            yield row_fault(file.rpartition("/")[2], f"holds clips that were taken down; run: curate takedown {videos}")
