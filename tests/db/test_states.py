"""The one table of legal transitions is what `move` obeys, for every pair of states."""

from __future__ import annotations

from itertools import product

import pytest
from sqlalchemy import select

from db.engine import Catalogue
from db.models import Clip, Recipe, Video
from db.states import (
    CLIP_TRANSITIONS,
    VIDEO_TRANSITIONS,
    ClipState,
    IllegalTransition,
    VideoState,
    move_clip,
    move_clips,
    move_video,
)


@pytest.mark.parametrize(("old", "new"), list(product(ClipState, ClipState)))
def test_clips(old: ClipState, new: ClipState) -> None:
    clip = Clip(id="c", state=old)
    if new == old or new in CLIP_TRANSITIONS[old]:
        move_clip(clip, new, "because")
        assert (clip.state, clip.reason) == (new, "because")
    else:
        with pytest.raises(IllegalTransition, match=f"clip c: .* from {old} to {new}"):
            move_clip(clip, new)
        assert clip.state == old


@pytest.mark.parametrize(("old", "new"), list(product(VideoState, VideoState)))
def test_videos(old: VideoState, new: VideoState) -> None:
    video = Video(id="v", state=old)
    if new == old or new in VIDEO_TRANSITIONS[old]:
        move_video(video, new)
        assert video.state == new
    else:
        with pytest.raises(IllegalTransition):
            move_video(video, new)


def test_what_is_taken_down_stays_down() -> None:
    assert CLIP_TRANSITIONS[ClipState.TAKEN_DOWN] == VIDEO_TRANSITIONS[VideoState.TAKEN_DOWN] == frozenset()
    assert all(ClipState.TAKEN_DOWN in targets for state, targets in CLIP_TRANSITIONS.items() if state != "taken-down")


def test_nothing_reaches_the_shards_unseen() -> None:
    """Only a clip that passed the filter can be accepted."""
    assert [state for state, targets in CLIP_TRANSITIONS.items() if ClipState.ACCEPTED in targets] == [
        ClipState.PENDING, ClipState.REJECTED
    ]  # fmt: skip


def test_moving_many_leaves_those_that_may_not(catalogue: Catalogue) -> None:
    with catalogue.writing() as session:
        session.add(Video(id="v", provider="file", provider_id="v", source="/v"))
        session.add(Recipe(hash="r", kind="cut", settings={}))
        session.flush()
        states = [*ClipState] * 300
        for index, state in enumerate(states):
            session.add(
                Clip(
                    id=f"c{index}", video_id="v", recipe_hash="r", index=index, start_pts=0, end_pts=1,
                    time_base_num=1, time_base_den=1, start=0, end=1, frame_count=1, state=state,
                )
            )  # fmt: skip
    with catalogue.writing() as session:
        moved = move_clips(session, [f"c{index}" for index in range(len(states))], ClipState.REJECTED, "seen")
    assert moved == 600  # 300 pending, 300 accepted
    with catalogue.reading() as session:
        rejected = session.scalars(select(Clip.id).where(Clip.state == "rejected")).all()
    assert len(rejected) == 900
