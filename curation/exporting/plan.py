"""What an export has to do: which clips are wanted, which shards still serve, which have to be made.

A clip already in a shard of the same recipe and split stays there for as long as the whole shard is wanted; all other
clips go to new shards. Nothing is decoded here, and nothing is asked of the catalogue clip by clip.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from curation.exporting.recipe import HDF5, ExportRecipe, Format, FormatName
from curation.exporting.resample import Grid
from curation.exporting.side import ExtraFile, MaskFile, extra_types, extras_of_videos, masks_of_clips, side_hash
from db.models import Clip, Export, ExportShard, Shard, ShardClip, Split, Video
from db.shards import SPLITS, ClipRow, ExtraType
from db.states import ClipState


class SplitMissingError(Exception):
    """Accepted clips whose videos have no split yet."""


@dataclass(frozen=True, kw_only=True)
class WantedClip:
    """An accepted clip, as it shall stand in a shard."""

    row: ClipRow
    split: str
    grid: Grid
    extras: tuple[ExtraFile, ...] = ()
    masks: tuple[MaskFile, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NewShard:
    """A shard to be made, of these clips in this order. `extras` are those that all of them have."""

    file: str  # in the format's folder
    split: str
    clips: tuple[WantedClip, ...]
    extras: Mapping[str, ExtraType]


@dataclass(frozen=True, kw_only=True)
class Prescribed:
    """A shard that shall be made just so, where its clips are wanted: `clips` by id, in their order."""

    file: str  # in the format's folder
    split: str
    clips: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`kept`: ids of the shards that still serve; `dropped`: files of the newest export that do not."""

    kept: tuple[int, ...]
    new: tuple[NewShard, ...]
    dropped: tuple[str, ...]


def wanted_clips(session: Session, recipe: ExportRecipe) -> dict[str, WantedClip]:
    """All accepted clips by id, in the order in which new shards take them: by video, then by time.

    Raises `SplitMissingError` if a video has no split.
    """
    rows = session.execute(
        select(
            Clip.id,
            Clip.video_id,
            Clip.start_pts,
            Clip.end_pts,
            Clip.time_base_num,
            Clip.time_base_den,
            Clip.start,
            Clip.end,
            Clip.frame_count,
            Video.source,
            Video.licence,
            Video.label,
            Split.name.label("split"),
        )
        .join(Video, Video.id == Clip.video_id)
        .outerjoin(Split, Split.video_id == Clip.video_id)
        .where(Clip.state == ClipState.ACCEPTED)
        .order_by(Clip.video_id, Clip.start_pts, Clip.id)
    )
    extras = extras_of_videos(session)
    masks = masks_of_clips(session, recipe.masks) if recipe.masks else {}
    wanted: dict[str, WantedClip] = {}
    missing: set[str] = set()
    fraction = lru_cache(Fraction)
    for clip in rows:
        if clip.split is None:
            missing.add(clip.video_id)
            continue
        grid = Grid(
            start_pts=clip.start_pts,
            end_pts=clip.end_pts,
            time_base=fraction(clip.time_base_num, clip.time_base_den),
            frame_count=clip.frame_count,
            fps=recipe.fps,
        )
        beside = extras.get(clip.video_id, ()), masks.get(clip.id, ())
        row = ClipRow(
            id=clip.id,
            video_id=clip.video_id,
            source_url=clip.source,
            licence=clip.licence or "",
            label=clip.label or "",
            start=clip.start,
            end=clip.end,
            fps=grid.rate,
            length=grid.length,
            side=side_hash(*beside),
        )
        wanted[clip.id] = WantedClip(row=row, split=clip.split, grid=grid, extras=beside[0], masks=beside[1])
    if missing:
        raise SplitMissingError(f"no split yet for {len(missing):,} of the videos with accepted clips")
    return wanted


def plan_export(
    session: Session,
    folder: Path,
    recipe: ExportRecipe,
    wanted: Mapping[str, WantedClip],
    shard_bytes: int,
    prescribed: Sequence[Prescribed] = (),
) -> Plan:
    """Which shards to keep and which to make so that every wanted clip is in exactly one. `folder`: the dataset's.

    `prescribed` shards are made first, with their names (where these were never used) and orders: each that is named
    after its split and whose clips are all wanted, in that split, even where they stand in other shards. The other
    clips are laid out as ever.
    """
    newest = newest_export(session, recipe.format)
    current = (
        []
        if newest is None
        else list(session.scalars(select(ExportShard.shard_id).where(ExportShard.version == newest.version)))
    )
    used = _used(session, folder, recipe.layout)
    prescribed = [shard for shard in prescribed if (recipe.layout.parse(shard.file) or ("",))[0] == shard.split]
    # The names of prescribed shards are left free for them, also while their clips are still to come.
    reserved = {parsed for shard in prescribed if (parsed := recipe.layout.parse(shard.file))}
    # What shall be made just so is made, even where other shards hold its clips already.
    made = _made(session, folder, recipe) if prescribed else set()
    due = {
        clip
        for shard in prescribed
        if shard.clips not in made and all(clip in wanted and wanted[clip].split == shard.split for clip in shard.clips)
        for clip in shard.clips
    }
    kept, covered = _kept(session, folder, recipe, wanted, set(current), due)
    serving = set(kept)
    dropped = [
        file
        for shard, file in session.execute(select(Shard.id, Shard.file).where(Shard.recipe_hash == recipe.hash))
        if shard in set(current) - serving
    ]
    left = {clip: each for clip, each in wanted.items() if clip not in covered}
    types = extra_types(folder, (file for clip in left.values() for file in clip.extras))
    new: list[NewShard] = []

    def add(split: str, clips: Sequence[WantedClip], file: str | None = None) -> None:
        parsed = recipe.layout.parse(file) if file else None
        if file is None or parsed is None or parsed in used:
            number = max((n + 1 for name, n in used | reserved if name == split), default=0)
            file, parsed = recipe.layout.file(split, number), (split, number)
        used.add(parsed)
        new.append(_new_shard(file, split, clips, types))

    for shard in prescribed:
        clips = [left[clip] for clip in shard.clips if clip in left]
        if (
            not clips
            or len(clips) != len(shard.clips)
            or len({clip.row.id for clip in clips}) != len(clips)
            or any(clip.split != shard.split for clip in clips)
            or len({_signature(clip, types) for clip in clips}) != 1
        ):
            continue
        for clip in clips:
            del left[clip.row.id]
        add(shard.split, clips, shard.file)
    for split in SPLITS:
        of_split = [clip for clip in left.values() if clip.split == split]
        for group in _groups(of_split, types, recipe, shard_bytes):
            add(split, group)
    return Plan(kept=tuple(kept), new=tuple(new), dropped=tuple(sorted(dropped)))


def newest_export(session: Session, format: FormatName = "hdf5") -> Export | None:
    """The newest finished export of a format."""
    return session.scalar(
        select(Export).where(Export.complete, Export.format == format).order_by(Export.version.desc()).limit(1)
    )


def newest_exports(session: Session) -> dict[FormatName, Export]:
    """The newest finished export of each format that there is one of."""
    found: dict[FormatName, Export | None] = {
        "hdf5": newest_export(session),
        "webdataset": newest_export(session, "webdataset"),
    }
    return {name: export for name, export in found.items() if export is not None}


def _used(session: Session, folder: Path, layout: Format) -> set[tuple[str, int]]:
    """The (split, number) of all shards of a format that ever were, and of files that are there."""
    names = [Path(file).name for file in session.scalars(select(Shard.file))]
    names += [path.name for path in (folder / layout.folder).glob(f"*{layout.suffix}")]
    return {parsed for name in names if (parsed := layout.parse(name))}


def _made(session: Session, folder: Path, recipe: ExportRecipe) -> set[tuple[str, ...]]:
    """The clips, in order, of all shards of a recipe that are there."""
    clips: dict[str, list[str]] = defaultdict(list)
    for file, clip in session.execute(
        select(Shard.file, ShardClip.clip_id)
        .join(ShardClip, ShardClip.shard_id == Shard.id)
        .where(Shard.recipe_hash == recipe.hash)
        .order_by(Shard.id, ShardClip.position)
    ):
        clips[file].append(clip)
    return {tuple(inside) for file, inside in clips.items() if (folder / file).is_file()}


def _kept(
    session: Session,
    folder: Path,
    recipe: ExportRecipe,
    wanted: Mapping[str, WantedClip],
    current: set[int],
    due: set[str],
) -> tuple[list[int], set[str]]:
    """Shards that are wanted whole and hold no clip twice, those of the newest export first, then newer ones.

    None that holds a `due` clip, which goes elsewhere. Also the ids of the clips that they hold.
    """
    shards = session.scalars(select(Shard).where(Shard.recipe_hash == recipe.hash)).all()
    members: dict[int, dict[str, str]] = defaultdict(dict)
    for shard_id, clip_id, side in session.execute(
        select(ShardClip.shard_id, ShardClip.clip_id, ShardClip.side)
        .join(Shard)
        .where(Shard.recipe_hash == recipe.hash)
    ):
        members[shard_id][clip_id] = side or ""
    kept: list[int] = []
    covered: set[str] = set()
    for shard in sorted(shards, key=lambda shard: (shard.id not in current, -shard.id)):
        clips = members[shard.id]
        if covered.isdisjoint(clips) and due.isdisjoint(clips) and _serves(shard, clips, folder, wanted):
            kept.append(shard.id)
            covered.update(clips)
    return kept, covered


def _serves(shard: Shard, clips: Mapping[str, str], folder: Path, wanted: Mapping[str, WantedClip]) -> bool:
    path = folder / shard.file
    return (
        all(
            clip in wanted and wanted[clip].split == shard.split and wanted[clip].row.side == side
            for clip, side in clips.items()
        )
        and path.is_file()
        and path.stat().st_size == shard.bytes
    )


Types = Mapping[str, ExtraType | None]  # an extra's path -> what its rows are, None where it cannot be read
Signature = tuple[tuple[str, str, tuple[int, ...]], ...]


def _signature(clip: WantedClip, types: Types) -> Signature:
    """The extras that a clip has: all clips of a shard have the same ones. One that cannot be read stands apart."""
    kinds = ((file.name, types[file.path]) for file in clip.extras)
    return tuple((name, kind.dtype, kind.shape) if kind else (name, "", ()) for name, kind in kinds)


def _new_shard(file: str, split: str, clips: Sequence[WantedClip], types: Types) -> NewShard:
    kinds = {extra.name: types[extra.path] for extra in clips[0].extras}
    return NewShard(
        file=file,
        split=split,
        clips=tuple(clips),
        extras={name: kind for name, kind in kinds.items() if kind is not None},
    )


def _groups(
    clips: Iterable[WantedClip], types: Types, recipe: ExportRecipe, shard_bytes: int
) -> list[list[WantedClip]]:
    """Clips in order, cut into shards of about `shard_bytes`; a larger clip is a shard of its own.

    Clips without extras come first, then those of each set of extras in its turn.
    """
    alike: dict[Signature, list[WantedClip]] = defaultdict(list)
    for clip in clips:
        alike[_signature(clip, types)].append(clip)
    groups: list[list[WantedClip]] = []
    for signature in sorted(alike):
        filled: int | None = None
        for clip in alike[signature]:
            size = clip.row.length * recipe.frame_bytes + len(clip.masks) * recipe.size**2
            if filled is None or filled + size > shard_bytes:
                groups.append([])
                filled = 0
            groups[-1].append(clip)
            filled += size
    return groups


SHARDS = HDF5.folder
