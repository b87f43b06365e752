"""The split: which videos are for training, which are watched during it (val), which only evaluation sees (test).

All clips of a video go together; what must not be torn apart is a component, and `splitting.components` says what
belongs to one. An assignment stays as the data grows: new components fill what is missing. Where what came later ties
together videos that stand in different splits, all of them go to the most held-out of these: what was trained on
may be tested no more, but what was tested on has never been trained on. A data set's official split is kept, with the
leaks that it has of its own.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from curation.recipes import keep_recipe
from curation.splitting.components import (
    ACCEPTED,
    SplitRules,
    connect,
    officially_placed,
    rules_that_stand,
    tied,
    torn_by_its_makers,
)
from db.engine import Catalogue
from db.models import Clip, Split, Video
from db.shards import SPLITS

LEAST_COMPONENTS = 3  # with fewer, not every split can have one, and all are for training
HELD_OUT = ("test", "val")  # filled in this order; the rest is for training


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """How large the splits shall be, and what is held together. `counts` (clips) take the place of a split's share.

    `by_channel` and `ignore_official` None: as the splits that stand were made.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: {"train": 90.0, "val": 5.0, "test": 5.0})
    counts: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    by_channel: bool | None = None
    ignore_official: bool | None = None

    def __post_init__(self) -> None:
        if set(self.shares) != set(SPLITS):
            raise ValueError(f"shares are needed for {', '.join(SPLITS)}")
        if not all(0 <= share < math.inf for share in self.shares.values()) or self.shares["train"] <= 0:
            raise ValueError("shares must not be negative, and train's must be above 0")
        if not set(self.counts) <= set(HELD_OUT) or min(self.counts.values(), default=0) < 0:
            raise ValueError("counts are for val and test, from 0 on")

    def target(self, split: str, clips: int) -> float:
        """How many of `clips` a held-out split shall have."""
        share = clips * self.shares[split] / sum(self.shares.values())
        return float(self.counts.get(split, share))


@dataclass(frozen=True, kw_only=True)
class OfficialLeak:
    """A component that the makers of a data set put on several sides: its videos on each."""

    component: str
    videos: dict[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class SplitResult:
    """What a split did. Numbers by split name, over all videos with accepted clips."""

    assigned: dict[str, str]  # video -> split, of this call alone
    videos: dict[str, int]
    clips: dict[str, int]
    components: int
    targets: dict[str, float]
    moved: dict[str, tuple[str, str]]  # video -> (from, to), where a leak was mended
    official: dict[str, int]  # videos that stand where their data set put them
    official_leaks: tuple[OfficialLeak, ...]
    by_channel: bool


def rank(component: str, seed: int) -> str:
    """A component's place in the seeded order, which other components do not change."""
    return hashlib.sha256(f"{seed}:{component}".encode()).hexdigest()


def assign(clips: Mapping[str, int], fixed: Mapping[str, str], settings: SplitSettings) -> dict[str, str]:
    """Give each component that is not `fixed` a split. `clips`: each component's number of clips.

    In the seeded order a held-out split takes whatever brings it nearer to its target. From three components on, each
    held-out split with a target above 0 gets at least one (the one nearest to its target) and train keeps one; with
    fewer, all go to train.
    """
    new = sorted((name for name in clips if name not in fixed), key=lambda name: (rank(name, settings.seed), name))
    if len(clips) < LEAST_COMPONENTS:
        return dict.fromkeys(new, "train")
    total = sum(clips.values())
    present = {fixed[name] for name in clips if name in fixed}
    empty = [split for split in HELD_OUT if split not in present and settings.target(split, total) > 0]
    chosen: dict[str, str] = {}
    for split in HELD_OUT:
        target = settings.target(split, total)
        have = sum(number for name, number in clips.items() if fixed.get(name) == split)
        later = [other for other in empty if other not in (split, *chosen.values())]
        spare = len(new) - len(chosen) - len(later) - ("train" not in present)
        taken: list[str] = []
        for name in new:
            if len(taken) >= spare:
                break
            if name not in chosen and abs(have + clips[name] - target) < abs(have - target):
                taken.append(name)
                have += clips[name]
        if split in empty and not taken:
            free = [name for name in new if name not in chosen]
            # Where there are too few for all, a split without any comes before train, which then has some already.
            if free and (spare > 0 or "train" in present):
                taken.append(min(free, key=lambda name: abs(clips[name] - target)))
        chosen.update(dict.fromkeys(taken, split))
    return {name: chosen.get(name, "train") for name in new}


def most_held_out(sides: Iterable[str]) -> str:
    """Test over val over train."""
    return max(sides, key=SPLITS.index)


def split_videos(catalogue: Catalogue, settings: SplitSettings, *, reassign: bool = False) -> SplitResult:
    """Give every video with accepted clips a split, in one transaction; existing ones stay unless `reassign`.

    The one exception: a component that stands in several splits goes to the most held-out of them.
    """
    with catalogue.writing() as session:
        return _Drawing(session, settings, reassign).draw()


class _Drawing:
    """One draw: what stands, what belongs together, and where all of it goes."""

    def __init__(self, session: Session, settings: SplitSettings, reassign: bool) -> None:
        self._session = session
        self._settings = settings
        before = SplitRules() if reassign else rules_that_stand(session)
        self._rules = SplitRules(
            by_channel=_choice(settings.by_channel, before.by_channel),
            ignore_official=_choice(settings.ignore_official, before.ignore_official),
        )
        if reassign:
            session.execute(delete(Split))
        counted = select(Clip.video_id, func.count()).where(ACCEPTED).group_by(Clip.video_id)
        self._clips: dict[str, int] = dict(session.execute(counted).all())
        self._component_of = connect(self._clips, tied(session, by_channel=self._rules.by_channel))
        self._known = {row.video_id: row for row in session.scalars(select(Split))}
        placed = {} if self._rules.ignore_official else self._official_sides()
        self._side_of = placed | {video: row.name for video, row in self._known.items()}
        self._official = officially_placed(session, self._rules) | (placed.keys() - self._known.keys())
        self._leaks: list[OfficialLeak] = []

    def _official_sides(self) -> dict[str, str]:
        rows = self._session.execute(
            select(Video.id, Video.official_split).where(
                Video.official_split.is_not(None), Video.id.in_(select(Clip.video_id).where(ACCEPTED))
            )
        )
        return {video: str(side) for video, side in rows}

    def draw(self) -> SplitResult:
        members: dict[str, list[str]] = defaultdict(list)
        for video, component in self._component_of.items():
            members[component].append(video)
        sizes = {component: sum(self._clips[video] for video in videos) for component, videos in members.items()}
        fixed: dict[str, str] = {}
        kept: set[str] = set()  # videos that stay apart from their component, as their data set has it
        for component, videos in sorted(members.items()):
            sides = {self._side_of[video] for video in videos if video in self._side_of}
            if sides:
                fixed[component] = most_held_out(sides)
            official = {self._side_of[video] for video in videos if video in self._official}
            if torn_by_its_makers(official | {fixed.get(component, "train")}, official):
                kept.update(video for video in videos if video in self._official)
                self._leaks.append(self._official_leak(component, videos))
        chosen = fixed | assign(sizes, fixed, self._settings)
        sides_now = {
            video: self._side_of[video] if video in kept else chosen[component]
            for video, component in self._component_of.items()
        }
        return self._store(sides_now, sizes)

    def _official_leak(self, component: str, videos: list[str]) -> OfficialLeak:
        sides: dict[str, list[str]] = defaultdict(list)
        for video in sorted(videos):
            if video in self._official:
                sides[self._side_of[video]].append(video)
        return OfficialLeak(component=component, videos={side: tuple(sides[side]) for side in SPLITS if side in sides})

    def _store(self, sides: Mapping[str, str], sizes: Mapping[str, int]) -> SplitResult:
        key = keep_recipe(self._session, "split", self._rules.settings())
        # The newest rules are those of all rows: what they hold together is what `verify` looks for.
        self._session.execute(update(Split).values(recipe_hash=key).execution_options(synchronize_session=False))
        assigned = {video: side for video, side in sides.items() if video not in self._known}
        moved = {
            video: (self._known[video].name, side)
            for video, side in sides.items()
            if video in self._known and self._known[video].name != side
        }
        self._session.add_all(
            Split(
                video_id=video,
                name=side,
                component=self._component_of[video],
                seed=self._settings.seed,
                recipe_hash=key,
            )
            for video, side in assigned.items()
        )
        changed = [
            {"video": video, "side": sides[video], "now": component}
            for video, component in self._component_of.items()
            if video in moved or (video in self._known and self._known[video].component != component)
        ]
        if changed:
            table = Split.__table__
            self._session.connection().execute(
                update(table)  # type: ignore[arg-type]
                .where(table.c.video_id == bindparam("video"))
                .values(name=bindparam("side"), component=bindparam("now")),
                changed,
            )
        videos: Counter[str] = Counter(sides.values())
        clips: Counter[str] = Counter()
        official: Counter[str] = Counter()
        for video, side in sides.items():
            clips[side] += self._clips[video]
            official[side] += video in self._official and self._side_of[video] == side
        return SplitResult(
            assigned=assigned,
            videos={split: videos[split] for split in SPLITS},
            clips={split: clips[split] for split in SPLITS},
            components=len(sizes),
            targets={split: self._settings.target(split, sum(sizes.values())) for split in HELD_OUT},
            moved=moved,
            official={split: official[split] for split in SPLITS if official[split]},
            official_leaks=tuple(self._leaks),
            by_channel=self._rules.by_channel,
        )


def _choice(asked: bool | None, otherwise: bool) -> bool:
    return otherwise if asked is None else asked
