"""The split: which videos are for training, which are watched during it (val), which only evaluation sees (test).

All clips of a video go together; what must not be torn apart is a component, and `components` says what belongs to
one. An assignment stays as the data grows: new components fill what is missing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from db.engine import Catalogue
from db.models import Clip, Split
from db.shards import SPLITS
from db.states import ClipState

LEAST_COMPONENTS = 3  # with fewer, not every split can have one, and all are for training
HELD_OUT = ("test", "val")  # filled in this order; the rest is for training


@dataclass(frozen=True, kw_only=True)
class SplitSettings:
    """How large the splits shall be. `counts` (clips) take the place of a split's share."""

    shares: Mapping[str, float] = field(default_factory=lambda: {"train": 90.0, "val": 5.0, "test": 5.0})
    counts: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0

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
class SplitResult:
    """What a split did. Numbers by split name, over all videos with accepted clips."""

    assigned: dict[str, str]  # video -> split, of this call alone
    videos: dict[str, int]
    clips: dict[str, int]
    components: int
    targets: dict[str, float]


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


def components(session: Session) -> dict[str, str]:
    """Each video with accepted clips -> the smallest video of its component. A video is one of its own."""
    accepted = select(Clip.video_id).where(Clip.state == ClipState.ACCEPTED).distinct()
    return {video: video for video in session.scalars(accepted)}


def split_videos(catalogue: Catalogue, settings: SplitSettings, *, reassign: bool = False) -> SplitResult:
    """Give every video with accepted clips a split, in one transaction; existing ones stay unless `reassign`."""
    with catalogue.writing() as session:
        component_of = components(session)
        accepted = dict(
            session.execute(
                select(Clip.video_id, func.count()).where(Clip.state == ClipState.ACCEPTED).group_by(Clip.video_id)
            ).all()
        )
        if reassign:
            session.execute(delete(Split))
        known = {row.video_id: row for row in session.scalars(select(Split))}
        clips: Counter[str] = Counter()
        fixed: dict[str, str] = {}
        for video, component in component_of.items():
            clips[component] += accepted[video]
            if video in known:
                fixed[component] = known[video].name
        chosen = {**fixed, **assign(clips, fixed, settings)}
        assigned = {}
        for video, component in component_of.items():
            if video not in known:
                session.add(Split(video_id=video, name=chosen[component], component=component, seed=settings.seed))
                assigned[video] = chosen[component]
    videos: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    for video, component in component_of.items():
        videos[chosen[component]] += 1
        numbers[chosen[component]] += accepted[video]
    return SplitResult(
        assigned=assigned,
        videos={split: videos[split] for split in SPLITS},
        clips={split: numbers[split] for split in SPLITS},
        components=len(clips),
        targets={split: settings.target(split, sum(clips.values())) for split in HELD_OUT},
    )
