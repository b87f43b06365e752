"""What the ranker sees of a clip, and what it learns of decisions on such."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from curation.ranking import appearance
from curation.ranking.features import Features, likeness, rarity
from curation.ranking.learning import held_out, learn
from curation.ranking.suspicion import word
from db.engine import Catalogue
from db.models import Clip, Preview
from tests.curation.ranking_cases import BOUNDS, CLIPS, PLAIN, scored_clips


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return scored_clips(tmp_path)


def test_held_out_decisions_are_of_videos_the_model_has_not_seen() -> None:
    """A feature that only tells the video apart is worth nothing on other videos; a true one is."""
    rng = np.random.default_rng(3)
    videos = [f"v{number // 10}" for number in range(200)]
    rejected = rng.random(200) < 0.3
    true = (rejected + 0.1 * rng.standard_normal(200)).astype(np.float32)
    assert learn(true[:, None], rejected, ["true"]) is not None
    good = held_out(true[:, None], rejected, videos, ["true"])
    assert good is not None and good.precision == good.recall == 1.0 and good.decisions == 200
    noise = rng.standard_normal((200, 1)).astype(np.float32)
    bad = held_out(noise, rejected, videos, ["noise"])
    assert bad is not None and (bad.precision or 0) < 0.6
    assert held_out(true[:10, None], rejected[:10], videos[:10], ["true"]) is None, "one video tells nothing"
    assert learn(true[:20, None], np.zeros(20, bool), ["true"]) is None


def test_missing_values_and_flat_columns_do_no_harm() -> None:
    rng = np.random.default_rng(4)
    rejected = np.arange(40) % 4 == 0
    features = rng.standard_normal((40, 4)).astype(np.float32)
    features[:, 0] += 8 * rejected
    features[:, 1] = np.nan
    features[:, 2] = 7
    features[::3, 3] = np.nan
    model = learn(features, rejected, list("abcd"))
    assert model is not None
    told = model.probability(features)
    assert np.isfinite(told).all() and told[rejected].min() > told[~rejected].max()
    assert model.weightiest[0] == "a"


def test_appearance_tells_what_is_seen() -> None:
    def look(*frames: np.ndarray) -> dict[str, float]:
        made = appearance.Appearance()
        for frame in frames:
            made.push(frame.astype(np.uint8))
        stored = appearance.unpack(made.packed())
        assert stored is not None
        return dict(zip(appearance.NAMES, map(float, stored[0]), strict=True))

    red = np.zeros((90, 160, 3))
    red[..., 0] = 200
    assert look(red)["hue 0"] == pytest.approx(1) and look(red)["red"] == pytest.approx(200)
    assert look(red, red)["motion"] == 0
    captioned = red.copy()
    captioned[75:85:2] = 255
    still = look(*[captioned] * 12)
    assert still["still edges at the bottom"] > 50 * max(1e-6, still["still edges at the top"])
    assert still["steadiness"] == pytest.approx(1) and still["difference from begin to end"] == still["jump"] == 0
    leaves = np.random.default_rng(0).integers(0, 255, (90, 160, 3))
    moving = look(*[np.roll(leaves, n * n // 4, 0) for n in range(12)])
    assert moving["motion"] > 0 and moving["largest change"] >= moving["motion"]
    assert moving["steadiness"] < 0.8 and moving["difference from begin to end"] > 1
    cut = look(*[red] * 20, *[captioned] * 20)
    assert cut["jump"] > 10 * moving["jump"] and cut["difference from begin to end"] > 1
    assert look(np.full((90, 160, 3), 250))["bright share"] == 1
    with pytest.raises(ValueError, match="no frames"):
        appearance.Appearance().values()
    assert appearance.unpack(None) is None and appearance.unpack(b"1234") is None


def test_clips_that_come_later_are_taken_in(catalogue: Catalogue) -> None:
    features = Features(scores=BOUNDS.names)
    with catalogue.writing() as session:
        session.get_one(Clip, "clip-00003").state = "filtered"
    with catalogue.reading() as session:
        features.load(session)
        assert len(features.clips) == CLIPS - 1 and "clip-00003" not in features.row
        before = features.matrix.copy()
    with catalogue.writing() as session:
        session.get_one(Clip, "clip-00003").state = "pending"
        preview = session.get_one(Preview, "clip-00003")
        preview.appearance = np.arange(len(appearance.NAMES), dtype="<f4").tobytes() + PLAIN
    with catalogue.reading() as session:
        features.load(session)
    assert features.clips[-1] == "clip-00003"
    np.testing.assert_array_equal(features.matrix[:-1], before)
    look = features.matrix[-1, len(BOUNDS.names) + 1 :][: len(appearance.NAMES)]
    for number, (name, value) in enumerate(zip(appearance.NAMES, look, strict=True)):
        assert value == pytest.approx(np.log1p(number) if name in appearance.RATIOS else number)
    assert np.isfinite(features.matrix[-1, : len(BOUNDS.names)]).all()


def test_after_a_batch_of_rejects_not_all_looks_bad() -> None:
    """The suspicious come first, so that most of what was judged is bad, and all else is unlike it."""
    rng = np.random.default_rng(5)
    good, bad = rng.standard_normal((500, 6)).astype(np.float32), rng.standard_normal((20, 6)).astype(np.float32)
    bad[:, 0] += 6
    good[:5, 0] += 4  # what was suspicious and good
    features = np.concatenate([bad, good[:5]])
    rejected = np.arange(25) < 20
    alone, better = learn(features, rejected, list("abcdef")), learn(features, rejected, list("abcdef"), good[5:200])
    assert alone is not None and better is not None
    wrong = (better.probability(good[200:]) >= 0.5).sum()
    assert wrong < 3 and wrong <= (alone.probability(good[200:]) >= 0.5).sum()
    assert (better.probability(bad) >= 0.5).mean() > 0.9


def test_reasons_say_what_is_so() -> None:
    """A feature that speaks for a reject by its lack is said as less; of faults, a lack is no reason."""
    rng = np.random.default_rng(6)
    rejected = np.arange(60) % 3 == 0
    features = 0.1 * rng.standard_normal((60, 3)).astype(np.float32)
    features[:, 0] -= rejected  # "motion": rejects have less
    features[:, 1] -= rejected  # a score: rejects have less of it
    names = ["motion", "camera_motion", "unlike the rest"]
    model = learn(features, rejected, names)
    assert model is not None
    bad = np.array([[-1, -1, 0]], np.float32)
    assert model.probability(bad)[0] > 0.9 and model.reasons(bad)[0][0] == "less motion"
    assert all("camera_motion" not in reason for reason in model.reasons(bad)[0])
    assert [word(name) for name in ("camera_motion", "unlike its video: motion", "less still edges at the top")] == [
        "camera",
        "odd motion",
        "less still edges at the top",
    ]


def test_what_is_odd_is_told_beside_its_video_and_beside_all(catalogue: Catalogue) -> None:
    rng = np.random.default_rng(7)
    looks = rng.random((CLIPS, len(appearance.NAMES))).astype("<f4")
    looks += 5 * (np.arange(CLIPS) // 20)[:, None]  # videos look different
    looks[33, 4] += 50
    with catalogue.writing() as session:
        for number in range(CLIPS):
            session.get_one(Preview, f"clip-{number:05}").appearance = looks[number].tobytes() + PLAIN
        session.get_one(Clip, "clip-00033").state = "filtered"
    features, again = Features(scores=BOUNDS.names), Features(scores=BOUNDS.names)
    with catalogue.reading() as session:
        features.load(session)
    with catalogue.writing() as session:
        session.get_one(Clip, "clip-00033").state = "pending"
    with catalogue.reading() as session:
        features.load(session)
        again.load(session)
    name = appearance.NAMES[4]
    unlike = features.matrix[:, features.columns.index(f"unlike its video: {name}")]
    assert features.clips[int(unlike.argmax())] == "clip-00033" == features.clips[int(features.matrix[:, -1].argmax())]
    values = looks[20:40, 4]
    assert unlike[features.row["clip-00025"]] == pytest.approx(abs(looks[25, 4] - np.median(values)), abs=1e-5)
    # Clips that come one by one end as if they had come together.
    order = [features.row[clip] for clip in again.clips]
    alike = features.columns.index("like an earlier video")  # of all clips this is compared anew now and then only
    np.testing.assert_allclose(features.matrix[order][:, alike], again.matrix[:, alike], atol=0.1)
    one, other = (np.delete(each, alike, axis=1) for each in (features.matrix[order], again.matrix))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    assert np.isnan(rarity(np.full((3, 2), np.nan, np.float32))).all()


def test_a_logo_in_one_clip_of_a_video_stands_out(catalogue: Catalogue) -> None:
    """Its edges stay where the picture moves; that something is gone is not the same."""
    rng = np.random.default_rng(9)
    ground = rng.integers(40, 200, (3, 90, 160, 1)).repeat(3, axis=3)
    with catalogue.writing() as session:
        for number in range(CLIPS):
            look = appearance.Appearance()
            for _ in range(11):
                frame = np.ascontiguousarray(ground[number // 20] + rng.integers(-20, 20, (90, 160, 1)), np.uint8)
                if number == 41:
                    cv2.putText(frame, "4K", (130, 14), cv2.FONT_HERSHEY_DUPLEX, 0.45, (250, 250, 250))
                if number == 42:
                    frame[60:80, 20:60] = 90
                look.push(frame)
            session.get_one(Preview, f"clip-{number:05}").appearance = look.packed()
    features = Features(scores=BOUNDS.names)
    with catalogue.reading() as session:
        features.load(session)
    added = features.matrix[:, features.columns.index("something stands in the picture")]
    assert features.clips[int(added.argmax())] == "clip-00041"
    assert np.sort(added)[-2] < added.max() / 2


def test_a_copy_looks_like_an_earlier_video() -> None:
    rng = np.random.default_rng(10)
    look = np.repeat(rng.standard_normal((30, 8)), 4, axis=0) + 0.05 * rng.standard_normal((120, 8))
    added = np.repeat(np.arange(30), 4)
    look[80] = look[21] + 0.1  # of video 20, a copy of video 5's
    look[5] = look[100]  # of video 1, which came before video 25
    told = likeness(look.astype(np.float32), added)
    assert np.isnan(told[:4]).all(), "nothing comes before the first video"
    assert np.nanargmax(told) == 80 and np.nanargmax(np.delete(told, 80)) != 5
    for part in (likeness(look.astype(np.float32), added, at_once=7), np.r_[told[:90], likeness(look, added, 90)]):
        np.testing.assert_allclose(part, told, rtol=1e-3, atol=1e-3)
    # A slow twin, in whitened space, by loops.
    values = (look - look.mean(0)) / look.std(0)
    variances, directions = np.linalg.eigh(values.T @ values / len(values))
    points = values @ (directions / np.sqrt(variances))[:, variances > 0.1]
    for row in (17, 80, 119):
        nearest = min(np.linalg.norm(points[row] - points[added == other].mean(0)) for other in range(added[row]))
        assert told[row] == pytest.approx(-np.log(nearest + 0.1), abs=1e-3)
