"""What all scorers share: small pictures made once, turns on a time grid, and complete scores in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import av
import cv2
import numpy as np
import pytest
from sqlalchemy import select

from curation.cutting.cut import cut_videos
from curation.cutting.plan import CutRecipe
from curation.probe import probe
from curation.scores import ArrayFrame, Frame, Scorer, measure, stage
from curation.scores.frame import frames, medium_size
from curation.scores.stage import score_clips
from curation.scores.variance import Variance
from db.engine import Catalogue
from db.models import Clip, Fingerprint, Score, Video
from db.states import ClipState, move_clip

MakeVideo = Callable[..., Path]


class Times(Scorer):
    """Remembers when it was asked."""

    names = ("times",)
    settings: ClassVar[Mapping[str, Any]] = {}
    interval = 0.5

    def __init__(self) -> None:
        self.seen: list[float] = []

    def push(self, frame: Frame) -> None:
        self.seen.append(frame.time)

    def values(self) -> dict[str, float]:
        return {"times": float(len(self.seen))}


class Prints(Times):
    """A scorer of a later version, with a fingerprint."""

    names = ("asked",)
    settings: ClassVar[Mapping[str, Any]] = {"version": 2}
    fingerprints = True

    def values(self) -> dict[str, float]:
        return {"asked": float(len(self.seen))}

    def fingerprint(self) -> bytes | None:
        return bytes([len(self.seen)] * 8)


def test_a_scorer_gets_frames_on_its_own_grid_of_times() -> None:
    black = np.zeros((4, 4, 3), np.uint8)
    scorer = Times()
    regular = [ArrayFrame(black, index / 25) for index in range(51)]
    assert measure(regular, [scorer]) == 51
    assert scorer.seen == [0.0, 0.52, 1.0, 1.52, 2.0]  # the first frame at or after each turn
    gap = Times()
    measure([ArrayFrame(black, time) for time in (0.0, 0.3, 1.7, 1.8, 2.0, 2.1)], [gap])
    assert gap.seen == [0.0, 1.7, 2.0]  # a gap is not made up for


def test_small_pictures_of_a_decoded_frame(make_video: MakeVideo, tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", frames=6, height=270, width=480)
    info = probe(path)
    with av.open(str(path)) as container:
        truth = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    seen = 0
    for index, frame in enumerate(frames(path, int(info.pts[1]), info.end_pts)):
        picture = truth[index + 1]
        assert np.array_equal(frame.rgb, picture)
        assert frame.time == pytest.approx(index / 25)
        assert frame.small.shape == (90, 160, 3)
        assert frame.luma.shape == (90, 160)
        assert frame.medium.shape == (202, 360)
        array = ArrayFrame(picture, frame.time)
        # Area averages by YUV and by RGB: chroma is shared by four pixels.
        for name, tolerance in (("small", 4), ("luma", 1.5), ("medium", 1.5)):
            difference = getattr(frame, name).astype(int) - getattr(array, name)
            assert np.abs(difference).mean() < tolerance, name
        assert frame.luma is frame.luma  # made once
        seen += 1
    assert seen == 5


@pytest.mark.parametrize("full", [False, True])
def test_luma_spans_the_whole_range_whatever_the_file_says(full: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = 90, 160
        stream.pix_fmt = "yuvj420p" if full else "yuv420p"
        planes = np.full((135, 160), 128, np.uint8)
        planes[:45] = 255 if full else 235
        planes[45:90] = 0 if full else 16
        frame = av.VideoFrame.from_ndarray(planes, format=stream.pix_fmt)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe(path)
    (frame,) = list(frames(path, int(info.pts[0]), info.end_pts))
    assert frame.luma[:40].min() >= 253
    assert frame.luma[50:].max() <= 2
    assert frame.medium[:40].min() >= 253
    assert frame.medium[50:].max() <= 2


def test_medium_keeps_the_shape_and_never_grows() -> None:
    assert medium_size(480, 854) == (202, 360)
    assert medium_size(1920, 1080) == (640, 360)
    assert medium_size(90, 160) == (90, 160)
    big = np.random.default_rng(0).integers(0, 256, (200, 720, 3), np.uint8)
    grey = cv2.cvtColor(big, cv2.COLOR_RGB2GRAY)
    expected = grey.reshape(100, 2, 360, 2).mean((1, 3))
    assert np.abs(ArrayFrame(big, 0).medium - expected).max() <= 1


@pytest.fixture
def scored(catalogue: Catalogue, make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """Four clips of two videos, scored by the variance alone, one accepted, one rejected, one filtered."""
    for name in ("a", "b"):
        path = make_video(tmp_path / f"{name}.mp4", frames=50, seed=ord(name))
        with catalogue.writing() as session:
            video = Video(id=name, provider="file", provider_id=name, source=str(path), state="downloaded")
            video.path, video.bytes = str(path), path.stat().st_size
            session.add(video)
    use(monkeypatch, Variance)
    cut_videos(catalogue, CutRecipe(length=1.0, margin=0, spacing=0))
    assert len(score_clips(catalogue).done) == 4
    with catalogue.writing() as session:
        clips = session.scalars(select(Clip).order_by(Clip.id)).all()
        for clip, way in zip(clips, ("accepted", "rejected", "filtered"), strict=False):
            if way != "filtered":
                move_clip(clip, ClipState.PENDING)
            move_clip(clip, ClipState(way), "as it was")
    return catalogue


def use(monkeypatch: pytest.MonkeyPatch, *scorers: type[Scorer]) -> None:
    monkeypatch.setattr(stage, "SCORERS", scorers)
    stage.recipes.cache_clear()


@pytest.fixture(autouse=True)
def _recipes_of_today() -> Any:
    yield
    stage.recipes.cache_clear()


def test_what_an_earlier_version_scored_is_completed_and_keeps_its_state(
    scored: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert score_clips(scored).done == []
    with scored.reading() as session:
        before = {clip.id: (clip.state, clip.reason) for clip in session.scalars(select(Clip))}
    assert sorted(state for state, _ in before.values()) == ["accepted", "filtered", "rejected", "scored"]

    use(monkeypatch, Variance, Times)
    monkeypatch.setattr(stage, "CHUNK", 3)
    assert len(score_clips(scored).done) == 4
    assert score_clips(scored).done == []
    use(monkeypatch, Variance, Times, Prints)
    assert len(score_clips(scored).done) == 4
    assert score_clips(scored).done == []
    with scored.reading() as session:
        assert {clip.id: (clip.state, clip.reason) for clip in session.scalars(select(Clip))} == before
        assert {score.name for score in session.scalars(select(Score))} == {"variance", "times", "asked"}
        assert {row.hashes for row in session.scalars(select(Fingerprint))} == {bytes([2] * 8)}


def test_another_recipe_measures_anew(scored: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finer(Times):
        settings: ClassVar[Mapping[str, Any]] = {"interval": 0.25}
        interval = 0.25

    use(monkeypatch, Variance, Times)
    score_clips(scored)
    use(monkeypatch, Variance, Finer)
    assert len(score_clips(scored).done) == 4
    with scored.reading() as session:
        assert set(session.scalars(select(Score.value).where(Score.name == "times"))) == {4.0}
        assert len(list(session.scalars(select(Score)))) == 8


def test_the_registry_names_each_score_once() -> None:
    assert len(stage.recipes()) == sum(len(scorer.names) + scorer.fingerprints for scorer in stage.SCORERS)
    for scorer in stage.SCORERS:
        made = scorer()
        for index in range(30):
            made.push(ArrayFrame(np.full((48, 64, 3), 3 * index, np.uint8), index / 25))
        values = made.values()
        assert set(values) == set(scorer.names)
        assert all(np.isfinite(value) for value in values.values())
