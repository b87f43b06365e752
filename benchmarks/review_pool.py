"""A pool of clips for measuring orders of review: videos of a fixed camera, most clips good, some with a planted fault.

`Pool.fill` makes it once, in a folder that is a real dataset: clips are rendered and encoded, then scored and given
previews by the stages of `curate`. It can be stopped at any moment and goes on where it was, group by group: a group is
ten videos of five good clips each, some also with one or two faulty ones, and their re-uploads and wrong videos. A
faulty clip is of its video's own shot, as in life: what differs is the fault. Good clips are of all sorts: a tenth of
the videos are time lapses, and every fifth clip has a sunset, a passing cloud or a flash.

Pools of different names share neither scenes nor real shots: one is for tuning, another for the report.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from planted.effects import RAMPS
from planted.footage import KINDS, PIECES, REAL, Shot
from planted.make import make, original_of, path_of
from planted.plan import DISSOLVES, FADE_KINDS, FADES, Chooser, Spec
from sqlalchemy import select

from curation.preview import make_previews
from curation.probe import probe
from curation.ranking.appearance import unpack
from curation.recipes import keep_recipe
from curation.scores.scenes import update_scenes
from curation.scores.stage import score_clips
from db.engine import CATALOGUE, Catalogue, create, open_catalogue
from db.models import Clip, Preview, Video
from db.states import ClipState, VideoState, move_clips

VIDEOS, CLIPS = 10, 5  # a group's, and good clips a video
# A group's faults; of dissolves and fades each group has the next variants.
FAULTS: tuple[str, ...] = (
    *("hard-cut",) * 2, *("dissolve",) * 3, *("fade",) * 2, *("pan",) * 2, *("duplicate",) * 2,
    "letterbox", "frozen", "logo", "caption",
)  # fmt: skip
WRONG = "wrong-content"  # of people, traffic and drawn films, in a data set of nature
NATURE = ("ocean", "flower", "stream-of-water")  # real videos that belong there
VARIED = ("sunset", "exposure-ramp", "flash", "sunset", "exposure-ramp")
SPACING = 6.0  # s of the shot from clip to clip
SPLITS = {"tune": "train", "report": "test"}  # the real shots that a pool has
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class PoolClip:
    """A clip of a pool. `fault` is None for a good one; a duplicate is `of` the pool's clip of that id."""

    clip_id: str
    video_id: str
    fault: str | None
    kind: str
    of: str | None = None


class _Shots(Chooser):
    """Draws clips of one video's shot; where a fault shows a second one, that is another scene's."""

    lengths = (4.0, 4.4)

    def __init__(self, rng: np.random.Generator, split: str, shot: Shot) -> None:
        super().__init__(rng, split)
        self.of_video = shot
        self.taken = 0

    def shot(self, **_: Any) -> Shot:
        self.taken += 1
        return replace(self.of_video, begin=round(self.of_video.begin + SPACING * self.taken, 3))

    def pair(self) -> tuple[Shot, Shot]:
        own = self.of_video.source.removeprefix("rendered:")
        return self.shot(), self.rendered(tuple(kind for kind in KINDS if kind != own))


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A clip to make: `again` says that it is the re-upload's file of its spec, not the original."""

    video_id: str
    index: int
    spec: Spec
    again: bool = False

    @property
    def clip_id(self) -> str:
        return f"{self.video_id}-{self.index}"

    def path(self, folder: Path) -> Path:
        if self.spec.fault == "duplicate" and not self.again:
            return original_of(self.spec, folder)
        return path_of(self.spec, folder)


def plan(name: str, group: int) -> Iterator[Planned]:
    """The clips of a group of a pool."""
    split = SPLITS[name]
    rng = np.random.default_rng([group, sorted(SPLITS).index(name), 7])
    homes = rng.permutation(np.tile(np.arange(VIDEOS), 2))[: len(FAULTS)]
    variants = {"dissolve": 3 * group, "fade": 2 * group}
    for number in range(VIDEOS):
        serial = group * VIDEOS + number
        chooser = _Shots(rng, split, _shot(rng, name, serial))
        video = f"{name}-{serial:04}"
        lapse = chooser.of_video.speed >= 3
        for index in range(CLIPS):
            kind = VARIED[int(rng.integers(len(VARIED)))] if rng.random() < 0.2 and not lapse else "plain"
            if lapse:
                spec = _lapse(chooser, serial * 100 + index)
            elif kind == "plain":
                spec = _plain(chooser, serial * 100 + index)
            else:
                spec = chooser.spec(serial * 100 + index, None, kind, {})
            yield Planned(video_id=video, index=index, spec=spec)
        for offset in np.flatnonzero(homes == number):
            fault = FAULTS[offset]
            kind, detail = _variant(fault, variants)
            index = CLIPS + int(offset)
            spec = chooser.spec(serial * 100 + index, fault, kind, detail)
            if fault == "duplicate":
                yield Planned(video_id=video, index=index, spec=spec)
                yield Planned(video_id=f"{video}-again-{index}", index=0, spec=spec, again=True)
            else:
                yield Planned(video_id=video, index=index, spec=spec)
    yield from _real(name, split, group, rng)


def _shot(rng: np.random.Generator, name: str, serial: int) -> Shot:
    """A video's shot; every tenth is a time lapse."""
    lapse = serial % 10 == 3
    kinds = ("clouds", "lake", "sea", "meadow", "leaves") if lapse else KINDS
    return Shot(
        source=f"rendered:{kinds[int(rng.integers(len(kinds)))]}",
        seed=10 * serial + 20_000 + 100_000 * sorted(SPLITS).index(name), begin=round(float(rng.uniform(0, 20)), 3),
        speed=round(float(rng.uniform(5, 15) if lapse else rng.uniform(0.8, 1.6)), 3), mirror=bool(rng.random() < 0.5),
        gain=round(float(rng.uniform(0.85, 1.1)), 3),
    )  # fmt: skip


def _plain(chooser: Chooser, number: int) -> Spec:
    return Spec(
        number=number, fault=None, kind="plain", shots=(chooser.shot(),), seconds=chooser.between(*chooser.lengths),
        fps=int(chooser.one((24, 25, 25, 30))), irregular=bool(chooser.rng.random() < 0.1),
        crf=int(chooser.rng.integers(20, 31)),
    )  # fmt: skip


def _lapse(chooser: Chooser, number: int) -> Spec:
    return replace(_plain(chooser, number), kind="time-lapse", detail={"flicker": chooser.between(0.0, 0.03)})


def _variant(fault: str, next_variant: dict[str, int]) -> tuple[str, dict[str, Any]]:
    if fault not in next_variant:
        return fault, {}
    number = next_variant[fault]
    next_variant[fault] += 1
    if fault == "dissolve":
        ramp = RAMPS[number % len(RAMPS)]
        return ramp, {"duration": DISSOLVES[number // len(RAMPS) % len(DISSOLVES)], "ramp": ramp}
    kind = FADE_KINDS[number % len(FADE_KINDS)]
    return kind, {"duration": FADES[number // len(FADE_KINDS) % len(FADES)]}


def _real(name: str, split: str, group: int, rng: np.random.Generator) -> Iterator[Planned]:
    """One real video a group while there are some: two clips of wrong content, or five of nature."""
    known = [piece for piece in PIECES if piece.split == split and (REAL / f"{piece.file}.mp4").is_file()]
    # Round the groups, wrong ones first: each is shown once, for a second video of it would be a duplicate.
    known.sort(key=lambda piece: piece.file in NATURE)
    if group >= len(known):
        return
    piece = known[group]
    nature = piece.file in NATURE
    shot = Shot(source=f"real:{piece.name}", zoom=round(float(rng.uniform(0.75, 1.0)), 3), mirror=bool(group % 2))
    chooser = _Shots(rng, split, shot)
    for index in range(CLIPS if nature else 3):
        spec = replace(_plain(chooser, 900_000 + 10 * group + index), fault=None if nature else WRONG)
        yield Planned(video_id=f"{name}-real-{group:02}", index=index, spec=spec)


class Pool:
    """A pool's folder: `catalogue` holds its clips with scores and previews, `clips()` says what they are."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """Open or begin the pool of this name (a key of `SPLITS`)."""
        self.name = name
        self.folder = (folder or Path(tempfile.gettempdir()) / "stillflow-review-pool") / name
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        made = (self.folder / CATALOGUE).exists()
        self.catalogue: Catalogue = open_catalogue(self.folder) if made else create(self.folder)

    def fill(self, groups: int, progress: Progress = lambda done, total: None) -> None:
        """Make what is missing of the first `groups` groups, in one process; then bring all up to today's code."""
        for group in range(groups):
            self._fill(list(plan(self.name, group)))
            progress(group + 1, groups)
        score_clips(self.catalogue)
        update_scenes(self.catalogue)
        with self.catalogue.writing() as session:
            for preview in session.scalars(select(Preview)):
                if unpack(preview.appearance) is None:
                    session.delete(preview)
        make_previews(self.catalogue)

    def clips(self, groups: int) -> list[PoolClip]:
        """The clips of the first groups, with the truth about them."""
        listed = []
        for group in range(groups):
            for one in plan(self.name, group):
                spec = one.spec
                original = spec.fault == "duplicate" and not one.again
                listed.append(
                    PoolClip(
                        clip_id=one.clip_id, video_id=one.video_id, kind=spec.kind,
                        fault=None if original else spec.fault,
                        of=one.clip_id.replace("-again", "").removesuffix("-0") if one.again else None,
                    )
                )  # fmt: skip
        return listed

    def _fill(self, planned: list[Planned]) -> None:
        with self.catalogue.reading() as session:
            known = set(session.scalars(select(Clip.id).where(Clip.id.in_([one.clip_id for one in planned]))))
        videos = self.folder / "videos"
        missing = [one for one in planned if one.clip_id not in known]
        for one in missing:
            if not one.path(videos).exists():
                make(one.spec, videos)
        if missing:
            with self.catalogue.writing() as session:
                recipe = keep_recipe(session, "cut", {"kind": "cut", "pool": self.name})
                for one in missing:
                    path = one.path(videos)
                    if session.get(Video, one.video_id) is None:
                        session.add(
                            Video(
                                id=one.video_id, provider="file", provider_id=one.video_id, source=str(path),
                                state=VideoState.DOWNLOADED, title=one.video_id,
                            )
                        )  # fmt: skip
                        session.flush()
                    session.add(_row(one, path, recipe))
        score_clips(self.catalogue)
        with self.catalogue.writing() as session:
            scored = session.scalars(select(Clip.id).where(Clip.state == ClipState.SCORED))
            move_clips(session, list(scored), ClipState.PENDING)
        make_previews(self.catalogue)


def _row(one: Planned, path: Path, recipe: str) -> Clip:
    info = probe(path)
    start = SPACING * one.index
    return Clip(
        id=one.clip_id, video_id=one.video_id, recipe_hash=recipe, index=one.index, start_pts=int(info.pts[0]),
        end_pts=info.end_pts, time_base_num=info.time_base.numerator, time_base_den=info.time_base.denominator,
        start=start, end=start + float(info.duration), frame_count=info.frames, path=f"videos/{path.name}",
        bytes=path.stat().st_size,
    )  # fmt: skip


def main() -> None:
    """Fill a pool: python benchmarks/review_pool.py report 20"""
    pool = Pool(sys.argv[1])
    pool.fill(int(sys.argv[2]), lambda done, total: print(f"group {done} of {total}", flush=True))


if __name__ == "__main__":
    main()
