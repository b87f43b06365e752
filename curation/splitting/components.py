"""What belongs together: videos that a split must not tear apart.

Two videos are tied if their makers cut them from one recording (`Video.group_key`), if clips of theirs are
near-duplicates (`Clip.scene`), or, as an option, if they are of one channel; a component is what ties connect. Only
clips that can reach a shard count, the accepted ones: a rejected or filtered duplicate leaks nothing, and black or
blurred clips, which all look alike, would tie strangers together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from db.models import Clip, Recipe, Split, Video
from db.states import ClipState

ACCEPTED = Clip.state == ClipState.ACCEPTED
WHY = {
    "group": "were cut from one recording",
    "scene": "hold near-duplicate clips",
    "channel": "are of one channel",
}


@dataclass(frozen=True, kw_only=True)
class Tie:
    """Videos (two or more, sorted) that share a key of one kind: `group`, `scene` or `channel`."""

    kind: str
    key: str
    videos: tuple[str, ...]

    def __str__(self) -> str:
        return f"{WHY[self.kind]} ({self.kind} {self.key})"


def tied(session: Session, *, by_channel: bool = False, counted: ColumnElement[bool] = ACCEPTED) -> list[Tie]:
    """All ties between the videos that have `counted` clips (a condition on `Clip`)."""
    videos = select(Clip.video_id).where(counted)
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    # A data set's groups mean nothing beside another data set's.
    for provider, group, video in session.execute(
        select(Video.provider, Video.group_key, Video.id).where(Video.group_key.is_not(None), Video.id.in_(videos))
    ):
        keys["group", f"{provider}:{group}"].add(video)
    for scene, video in session.execute(
        select(Clip.scene, Clip.video_id).where(Clip.scene.is_not(None), counted).distinct()
    ):
        keys["scene", str(scene)].add(video)
    if by_channel:
        # A channel's name tells it where the site gives no id.
        for provider, channel_id, channel, video in session.execute(
            select(Video.provider, Video.channel_id, Video.channel, Video.id).where(
                Video.channel_id.is_not(None) | Video.channel.is_not(None), Video.id.in_(videos)
            )
        ):
            keys["channel", f"{provider}:{channel_id or channel}"].add(video)
    return [
        Tie(kind=kind, key=key, videos=tuple(sorted(together)))
        for (kind, key), together in sorted(keys.items())
        if len(together) > 1
    ]


def connect(videos: Iterable[str], ties: Iterable[Tie]) -> dict[str, str]:
    """Each video -> the smallest video of its component (union-find with path halving)."""
    parent = {video: video for video in videos}

    def root(video: str) -> str:
        while parent[video] != video:
            parent[video] = parent[parent[video]]
            video = parent[video]
        return video

    for tie in ties:
        first = root(tie.videos[0])
        for video in tie.videos[1:]:
            # The smaller one stays the root, so that a root is its component's name.
            one, other = sorted((first, root(video)))
            parent[other] = first = one
    return {video: root(video) for video in parent}


@dataclass(frozen=True, kw_only=True)
class SplitRules:
    """By which rules the splits that stand were made."""

    by_channel: bool = False
    ignore_official: bool = False

    def settings(self) -> dict[str, Any]:
        """As stored and hashed."""
        return {
            "kind": "split",
            "version": 1,
            "together": ["video", "group", "scene", *(["channel"] if self.by_channel else [])],
            "official": "ignored" if self.ignore_official else "kept",
        }


def rules_that_stand(session: Session) -> SplitRules:
    """What the rows of the split say of themselves."""
    recipes = session.scalars(
        select(Recipe.settings).where(Recipe.hash.in_(select(Split.recipe_hash).where(Split.recipe_hash.is_not(None))))
    ).all()
    return SplitRules(
        by_channel=any("channel" in settings["together"] for settings in recipes),
        ignore_official=any(settings["official"] == "ignored" for settings in recipes),
    )


def officially_placed(session: Session, rules: SplitRules) -> set[str]:
    """Videos that stand where the data set they came from put them; none where that is ignored."""
    if rules.ignore_official:
        return set()
    return set(
        session.scalars(
            select(Split.video_id).join(Video, Video.id == Split.video_id).where(Video.official_split == Split.name)
        )
    )


def leaks(ties: Iterable[Tie], side_of: Mapping[str, str]) -> list[tuple[Tie, dict[str, str]]]:
    """The ties whose videos stand on two sides or more, each with one video a side. Videos without a side are left out.

    A component is torn exactly where a tie of it is: its sides cannot change along a tie that holds.
    """
    torn = []
    for tie in ties:
        sides: dict[str, str] = {}
        for video in tie.videos:
            if video in side_of:
                sides.setdefault(side_of[video], video)
        if len(sides) > 1:
            torn.append((tie, sides))
    return torn


def torn_by_its_makers(sides: Collection[str], official_sides: Collection[str]) -> bool:
    """Whether a component stands on several sides only because its official split has it so."""
    return len(set(official_sides)) > 1 and set(sides) == set(official_sides)
