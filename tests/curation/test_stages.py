"""Cut, score, filter and preview on a real catalogue with small real videos: what is left, fails, changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from sqlalchemy import func, select

from curation.cutting.cut import cut_videos
from curation.cutting.plan import CutRecipe
from curation.errors import ErrorClass, StageError
from curation.filtering.judging import apply, judge
from curation.filtering.rules import Rule, SavedRule
from curation.preview import make_previews
from curation.scores.stage import score_clips
from curation.stages import Stage, run_stage
from curation.status import counts, failures, listing
from db.engine import Catalogue, create
from db.models import Attempt, Clip, Decision, Preview, Score, Video
from db.states import ClipState, VideoState, move_clip, move_video

RECIPE = CutRecipe(length=1.0, margin=0.2, spacing=0.2)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {
        "moving": make_video(folder / "moving.mp4", frames=100),
        "still": make_video(folder / "still.mp4", frames=100, still=True),
        "short": make_video(folder / "short.mp4", frames=20, seed=3),
    }


@pytest.fixture
def dataset(tmp_path: Path, videos: dict[str, Path]) -> Iterator[Catalogue]:
    """Three downloaded videos: two of 4 s (three clips each by RECIPE), one of 0.8 s."""
    with create(tmp_path / "dataset") as catalogue:
        with catalogue.writing() as session:
            for name, path in videos.items():
                session.add(
                    Video(
                        id=name, provider="file", provider_id=str(path), source=str(path), path=str(path),
                        state="downloaded", bytes=path.stat().st_size,
                    )
                )  # fmt: skip
        yield catalogue


def states(catalogue: Catalogue) -> dict[str, str]:
    with catalogue.reading() as session:
        return {clip: state for clip, state in session.execute(select(Clip.id, Clip.state).order_by(Clip.id))}


def filter_now(catalogue: Catalogue, threshold: float) -> None:
    with catalogue.writing() as session:
        rule = SavedRule(name="default", version=1, rule=Rule(minimum={"variance": threshold}))
        apply(session, judge(session, [rule]))


def test_from_video_to_preview(dataset: Catalogue) -> None:
    assert sorted(cut_videos(dataset, RECIPE).done) == ["moving", "short", "still"]
    with dataset.reading() as session:
        clips = session.scalars(select(Clip).order_by(Clip.id)).all()
        assert [(c.video_id, c.start, c.end, c.frame_count, c.short) for c in clips] == [
            ("moving", 0.2, 1.2, 25, False), ("moving", 1.4, 2.4, 25, False), ("moving", 2.6, 3.6, 25, False),
            ("short", 0.0, 0.8, 20, True),
            ("still", 0.2, 1.2, 25, False), ("still", 1.4, 2.4, 25, False), ("still", 2.6, 3.6, 25, False),
        ]  # fmt: skip
    assert cut_videos(dataset, RECIPE).done == []

    assert len(score_clips(dataset, workers=2).done) == 7
    assert score_clips(dataset).done == []
    with dataset.reading() as session:
        for clip, score, path in session.execute(
            select(Clip, Score, Video.path)
            .join(Score, Score.clip_id == Clip.id)
            .join(Video, Video.id == Clip.video_id)
            .where(Score.name == "variance")
        ):
            with av.open(path) as container:
                frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)
                          if clip.start_pts <= f.pts < clip.end_pts]  # fmt: skip
            assert score.value == pytest.approx(float((np.stack(frames) / 255.0).var(axis=0).mean()), abs=1e-9)

    filter_now(dataset, 0.001)
    with dataset.reading() as session:
        filtered = session.scalars(select(Clip).where(Clip.state == ClipState.FILTERED)).all()
        assert {clip.video_id for clip in filtered} == {"still"}
        assert all(clip.reason and clip.reason.startswith("variance ") for clip in filtered)
    assert len(make_previews(dataset).done) == 4
    with dataset.reading() as session:
        for preview in session.scalars(select(Preview)):
            with av.open(str(dataset.path(preview.path or ""))) as container:
                shown = list(container.decode(video=0))
            assert (len(shown), shown[0].width, shown[0].height) == (preview.frames, 160, 90)
            assert preview.frames == (8 if preview.clip_id.startswith("short") else 10)
    assert list(dataset.path("previews").glob(".*")) == []
    assert make_previews(dataset).done == []


def test_a_changed_threshold_brings_clips_back_and_spares_decisions(dataset: Catalogue) -> None:
    cut_videos(dataset, RECIPE)
    score_clips(dataset)
    filter_now(dataset, 0.9)
    assert set(states(dataset).values()) == {"filtered"}
    filter_now(dataset, 0.001)
    before = states(dataset)
    kept = [clip for clip, state in before.items() if state == "pending"]
    assert len(kept) == 4
    with dataset.writing() as session:
        move_clip(session.get_one(Clip, kept[0]), ClipState.ACCEPTED)
        move_clip(session.get_one(Clip, kept[1]), ClipState.REJECTED)
    filter_now(dataset, 0.9)
    after = states(dataset)
    assert (after[kept[0]], after[kept[1]]) == ("accepted", "rejected")
    assert {after[clip] for clip in before if clip not in kept[:2]} == {"filtered"}


def test_another_recipe_recuts_only_what_nobody_judged(dataset: Catalogue) -> None:
    cut_videos(dataset, RECIPE)
    score_clips(dataset)
    filter_now(dataset, 0.001)
    other = CutRecipe(length=0.5, margin=0, spacing=0)
    assert cut_videos(dataset, other).done == []
    with dataset.writing() as session:
        judged = session.scalars(select(Clip).where(Clip.video_id == "moving")).first()
        assert judged
        session.add(Decision(clip_id=judged.id, annotator="me", verdict="accept"))
        move_clip(judged, ClipState.ACCEPTED)
    assert sorted(cut_videos(dataset, other, recut=True).done) == ["short", "still"]
    with dataset.reading() as session:
        assert session.scalar(select(func.count()).where(Clip.video_id == "still")) == 8
        assert session.scalar(select(func.count()).where(Clip.video_id == "moving")) == 3
        assert session.scalar(select(func.count()).where(Score.name == "variance")) == 3


def test_a_vanished_file_fails_its_video_and_spares_the_rest(dataset: Catalogue, tmp_path: Path) -> None:
    cut_videos(dataset, RECIPE)
    with dataset.writing() as session:
        session.get_one(Video, "moving").path = str(tmp_path / "gone.mp4")
    result = score_clips(dataset)
    assert len(result.done) == 4
    assert len(result.failed) == 1
    with dataset.reading() as session:
        video = session.get_one(Video, "moving")
        assert (video.state, video.error_class) == ("failed", "missing")
        assert "gone.mp4" in (video.error or "")
        assert failures(session) == [("moving", video.source, video.error)]
    assert {state for clip, state in states(dataset).items() if clip.startswith("moving")} == {"planned"}


def test_a_clip_that_does_not_decode_is_recorded_once_and_left_alone(
    dataset: Catalogue, tmp_path: Path, videos: dict[str, Path]
) -> None:
    cut_videos(dataset, RECIPE)
    data = bytearray(videos["moving"].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 600] = os.urandom(600)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with dataset.writing() as session:
        session.get_one(Video, "moving").path = str(broken)
    result = score_clips(dataset)
    failed = dict(result.failed)
    assert failed
    assert all(error.startswith("corrupt: broken.mp4") for error in failed.values())
    assert score_clips(dataset).failed == []
    with dataset.reading() as session:
        assert {c.id for c in session.scalars(select(Clip).where(Clip.error.is_not(None)))} == set(failed)
        tried = session.scalars(select(Attempt).where(Attempt.outcome == "failed", Attempt.stage == "score")).all()
        assert {attempt.item_id for attempt in tried} == set(failed)
        assert {attempt.error_class for attempt in tried} == {"corrupt"}


def test_listing_has_the_promised_fields(dataset: Catalogue) -> None:
    cut_videos(dataset, RECIPE)
    score_clips(dataset)
    filter_now(dataset, 0.001)
    with dataset.reading() as session:
        listed, counted = listing(session), counts(session)
    assert {"id", "provider", "provider_id", "source", "state", "error"} <= set(listed["videos"][0])
    assert {"id", "video", "source", "start", "end", "state", "reason", "scores", "split", "shard"} <= set(
        listed["clips"][0]
    )
    assert counted == {"videos": {"downloaded": 3}, "clips": {"filtered": 3, "pending": 4}}


def fail_on_short(job: str) -> str:
    if job == "short":
        raise StageError(ErrorClass.CORRUPT, "too short for this test")
    return job


def crash(job: str) -> str:
    raise OSError(28, "No space left on device")


def kill_itself(job: str) -> str:
    os._exit(9)


def stage_of(work: Callable[[str], str], done: list[str]) -> Stage[str, str]:
    def store(session: object, item: str, value: str) -> None:
        move_video(session.get_one(Video, item), VideoState.QUEUED)  # type: ignore[attr-defined]
        done.append(value)

    return Stage(
        name="test",
        candidates=select(Video.id).where(Video.state == VideoState.DOWNLOADED).order_by(Video.id),
        job=lambda session, item: item,
        work=work,
        store=store,
        fail=lambda session, item, error: move_video(session.get_one(Video, item), VideoState.FAILED),
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_one_failure_does_not_stop_the_others(dataset: Catalogue, workers: int) -> None:
    stored: list[str] = []
    result = run_stage(dataset, stage_of(fail_on_short, stored), workers=workers)
    assert sorted(stored) == sorted(result.done) == ["moving", "still"]
    assert result.failed == [("short", "corrupt: too short for this test")]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_nobodys_fault_and_gives_everything_back(dataset: Catalogue, workers: int) -> None:
    with pytest.raises(OSError, match="No space left"):
        run_stage(dataset, stage_of(crash, []), workers=workers)
    with dataset.reading() as session:
        assert session.scalar(select(func.count()).select_from(Attempt)) == 0
    stored: list[str] = []
    run_stage(dataset, stage_of(str, stored))
    assert sorted(stored) == ["moving", "short", "still"]


def test_a_killed_worker_is_told_plainly(dataset: Catalogue) -> None:
    with pytest.raises(StageError, match="killed"):
        run_stage(dataset, stage_of(kill_itself, []), workers=2)
    stored: list[str] = []
    run_stage(dataset, stage_of(str, stored))
    assert len(stored) == 3
