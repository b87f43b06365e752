"""The order of review: suspicion by the scores' bounds, what is learned, and that neither decides anything."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import select

from annotation_server.batches import BatchStore
from annotation_server.records import Mark, Order, Verdict
from curation.ranking import appearance
from curation.ranking.features import Features, likeness, rarity
from curation.ranking.learning import LEAST_OF_EACH, held_out, learn
from curation.ranking.ranker import EXPLORE, LEARNED_FROM, LearningRanker, SuspicionRanker, explored, sample
from curation.ranking.suspicion import HINTED, Bounds, suspicion, word
from curation.recipes import keep_recipe
from db.engine import Catalogue
from db.models import Clip, Decision, Preview, Score, Video
from tests.browser.review_dataset import make_dataset

BOUNDS = Bounds(minimum={"variance": 0.001}, maximum={"camera_motion": 0.01, "hard_cuts": 0.0})
CLIPS = 60
PLAIN = bytes(appearance.EDGES)  # of a picture without edges


def _is_bad(number: int) -> bool:
    return number % 6 == 0


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """Bad clips move a little more than others, below the bound; a few clips are suspicious and not bad."""
    catalogue = make_dataset(tmp_path, CLIPS, previews=[Path("none")])
    rng = np.random.default_rng(0)
    with catalogue.writing() as session:
        recipe = keep_recipe(session, "score", {"kind": "score"})
        for number in range(CLIPS):
            motion = 0.007 + 0.0005 * rng.standard_normal() if _is_bad(number) else abs(0.002 * rng.standard_normal())
            values = {"variance": 0.01 + 0.001 * rng.random(), "camera_motion": motion, "hard_cuts": 0.0}
            if number in (7, 8):
                values["hard_cuts"] = float(number - 6)
            for name, value in values.items():
                session.add(Score(clip_id=f"clip-{number:05}", name=name, value=float(value), settings_hash=recipe))
    return catalogue


@given(st.lists(st.tuples(*[st.floats(0, 1e6, allow_nan=False) | st.just(float("nan"))] * 3), min_size=1, max_size=20))
def test_suspicion_is_half_at_the_bound_and_never_falls_as_a_score_gets_worse(
    rows: list[tuple[float, float, float]],
) -> None:
    assert BOUNDS.names == ("camera_motion", "hard_cuts", "variance")
    told = suspicion(np.array(rows, np.float32), BOUNDS)
    assert ((told >= 0) & (told < 1)).all() or (told <= 1).all()
    for row, values in zip(told, rows, strict=True):
        assert [value == 0 for value, score in zip(row, values, strict=True) if np.isnan(score)] == [True] * sum(
            map(np.isnan, values)
        )
    exact = suspicion(np.array([[0.01, 0, 0.001]], np.float32), BOUNDS)[0]
    assert exact == pytest.approx([0.5, 0, 0.5], abs=1e-6)
    rising = sorted(row[0] for row in rows if not np.isnan(row[0]))
    motion = suspicion(np.array([[value, 0, 1] for value in rising] or [[0, 0, 1]]), BOUNDS)
    assert (np.diff(motion[:, 0]) >= 0).all()


def test_the_suspicious_come_first_with_a_hint(catalogue: Catalogue) -> None:
    with catalogue.reading() as session:
        clips = list(session.scalars(select(Clip.id).order_by(Clip.id)))
        ranked = SuspicionRanker(BOUNDS).rank(session, clips, 14)
    assert [each.clip_id for each in ranked[:2]] == ["clip-00008", "clip-00007"]
    assert ranked[0].hint == "cut" and ranked[0].suggestion > 0.5
    bad = {f"clip-{number:05}" for number in range(CLIPS) if _is_bad(number)}
    assert {each.clip_id for each in ranked[2:12]} == bad
    assert {each.hint for each in ranked[2:12]} == {"camera"}


def test_near_duplicates_of_earlier_videos_are_suspicious(catalogue: Catalogue) -> None:
    """Those of one video are not: a fixed camera shows the same for hours."""
    with catalogue.writing() as session:
        for number in (19, 20, 21):  # the first of these is of an earlier video
            session.get_one(Clip, f"clip-{number:05}").scene = "clip-00019"
        for number in (22, 23):
            session.get_one(Clip, f"clip-{number:05}").scene = "clip-00022"
    ranker = SuspicionRanker(BOUNDS)
    with catalogue.reading() as session:
        ranked = ranker.rank(session, [f"clip-{number:05}" for number in range(19, 24)], 5)
    assert {(each.clip_id, each.hint) for each in ranked[:2]} == {
        ("clip-00020", "duplicate"),
        ("clip-00021", "duplicate"),
    }
    assert all(each.hint != "duplicate" for each in ranked[2:])
    # Earlier is what was added earlier, whatever the videos and clips are called.
    with catalogue.writing() as session:
        session.get_one(Video, "file-00000").created_at = datetime(2100, 1, 1, tzinfo=UTC)
    with catalogue.reading() as session:
        ranked = SuspicionRanker(BOUNDS).rank(session, [f"clip-{number:05}" for number in range(19, 24)], 5)
    assert [each.clip_id for each in ranked if each.hint == "duplicate"] == ["clip-00019"]


def test_it_learns_what_the_curator_rejects(catalogue: Catalogue) -> None:
    """The curator does not mind cuts, but rejects what no bound tells of."""
    ranker = LearningRanker(BOUNDS)
    store = BatchStore(catalogue, annotator="ada", size=20, order=Order.RANKED, ranker=ranker)
    first = store.take()
    assert first is not None and first.cells[0].hint == "cut"
    assert "nothing learned yet" in ranker.told
    store.confirm(
        first.id,
        {cell.position: Verdict(accepted=not _is_bad(int(cell.clip_id[-5:])), share_seen=1) for cell in first.cells},
        1.0,
    )
    with catalogue.writing() as session:  # so that enough of each kind is judged
        for number in range(30, CLIPS):
            if _is_bad(number):
                session.add(Decision(clip_id=f"clip-{number:05}", annotator="bob", verdict="reject"))
    with catalogue.reading() as session:
        clips = [f"clip-{number:05}" for number in range(CLIPS)]
        ranked = ranker.rank(session, clips, CLIPS)
    bad = [each for each in ranked if _is_bad(int(each.clip_id[-5:]))]
    assert {each.clip_id for each in ranked[: len(bad)]} == {each.clip_id for each in bad}
    assert ranker.model is not None and ranker.model.weightiest[0] == "camera_motion"
    assert "weighs most: camera" in ranker.told and "precision" in ranker.told
    # It never decides: all that it proposed is where it was.
    with catalogue.reading() as session:
        states = dict(session.execute(select(Clip.id, Clip.state)).all())
        judged = set(session.scalars(select(Decision.clip_id).where(Decision.annotator == "ada")))
    assert {clip for clip, state in states.items() if state in ("accepted", "rejected")} == judged


def test_an_undone_decision_is_unlearned(catalogue: Catalogue) -> None:
    ranker = LearningRanker(BOUNDS)
    with catalogue.writing() as session:
        for number in range(2 * LEAST_OF_EACH):
            verdict = "reject" if number % 2 else "accept"
            session.add(Decision(clip_id=f"clip-{number:05}", annotator="ada", verdict=verdict))
        session.add(Decision(clip_id="clip-00050", annotator="unreviewed", verdict="accept"))
    with catalogue.reading() as session:
        ranker.rank(session, ["clip-00030"], 1)
    assert ranker.model is not None and "10 decisions" in ranker.told
    with catalogue.writing() as session:
        session.add(Decision(clip_id="clip-00001", annotator="ada", verdict="undo"))
    with catalogue.reading() as session:
        ranker.rank(session, ["clip-00030"], 1)
    assert ranker.model is None and "9 decisions" in ranker.told


def test_preselected_clips_are_marked_and_can_be_taken_back(catalogue: Catalogue) -> None:
    store = BatchStore(
        catalogue, annotator="ada", size=5, order=Order.RANKED, ranker=SuspicionRanker(BOUNDS), preselect=True
    )
    batch = store.take()
    assert batch is not None
    assert [cell.mark for cell in batch.cells] == [Mark(), Mark(), None, None, None]
    store.save_marks(batch.id, {0: None})
    again = store.take()
    assert again is not None and [cell.mark for cell in again.cells] == [None, Mark(), None, None, None]


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


@given(
    st.lists(st.tuples(st.floats(0, 1), *[st.floats(0, 9) | st.just(float("nan"))] * 2), max_size=40),
    st.integers(1, 50),
)
def test_some_cells_are_for_the_oddest_in_turn(clips: list[tuple[float, float, float]], limit: int) -> None:
    columns = np.array(clips, np.float64).reshape(-1, 3)
    told, odd = columns[:, 0], columns[:, 1:].astype(np.float32)
    chosen = explored(told, odd, limit)
    assert len(chosen) == len(set(chosen)) == min(limit, len(clips))
    # An obvious twin: cell by cell, the best of what is left.
    left, turn = set(range(len(clips))), 0
    for cell, one in enumerate(chosen):
        by: NDArray[np.floating[Any]] = told
        if cell % EXPLORE == EXPLORE - 1 or max(told[list(left)]) < HINTED:
            turns = (odd[:, 0], odd[:, 1], told)
            while not any(np.isfinite(turns[turn % 3][n]) for n in left):
                turn += 1
            by, turn = turns[turn % 3], turn + 1
        assert by[one] == max(by[n] for n in left if np.isfinite(by[n]))
        left.remove(one)


def test_a_sample_of_many_decisions_keeps_the_rejects() -> None:
    rejected = np.zeros(50_000, bool)
    rejected[::100] = True
    used = sample(rejected)
    assert len(used) == LEARNED_FROM == len(set(used.tolist())) and rejected[used].sum() == 500
    np.testing.assert_array_equal(used, sample(rejected))
    assert rejected[sample(~rejected)].sum() == 500, "few keeps are all used as well"
    assert sample(rejected[:200]).tolist() == list(range(200))
    assert sample(np.zeros(0, bool)).tolist() == []


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


def test_what_is_odd_comes_up_before_anything_is_learned(catalogue: Catalogue) -> None:
    looks = np.random.default_rng(8).random((CLIPS, len(appearance.NAMES))).astype("<f4")
    looks[55] += 3  # no score tells of it
    with catalogue.writing() as session:
        for number in range(CLIPS):
            session.get_one(Preview, f"clip-{number:05}").appearance = looks[number].tobytes() + PLAIN
    with catalogue.reading() as session:
        clips = [f"clip-{number:05}" for number in range(CLIPS)]
        ranked = LearningRanker(BOUNDS).rank(session, clips, 25)
        at = [each.clip_id for each in ranked].index("clip-00055")
        assert at == EXPLORE - 1 and ranked[at].hint is None and ranked[at].suggestion < 0.5, "odd is not bad"
        assert SuspicionRanker(BOUNDS).rank(session, clips, 25)[at].clip_id != "clip-00055"


def test_what_a_bound_tells_counts_until_the_curator_was_asked(catalogue: Catalogue) -> None:
    """The model has seen no cut. It is proposed all the same; not any more once the curator has kept a dozen."""
    cuts = [f"clip-{number:05}" for number in range(40, 55) if not _is_bad(number)]
    ranker = LearningRanker(BOUNDS)
    with catalogue.writing() as session:
        for clip in cuts:
            session.get_one(Score, (clip, "hard_cuts")).value = 1.0
        for number in [*range(7), *range(9, 37)]:
            verdict = "reject" if _is_bad(number) else "accept"
            session.add(Decision(clip_id=f"clip-{number:05}", annotator="ada", verdict=verdict))
    with catalogue.reading() as session:
        told = {each.clip_id: each for each in ranker.rank(session, cuts, 99)}
    assert all(told[clip].suggestion >= 0.5 and told[clip].hint == "cut" for clip in cuts)
    with catalogue.writing() as session:
        for clip in cuts[:-1]:
            session.add(Decision(clip_id=clip, annotator="ada", verdict="accept"))
    with catalogue.reading() as session:
        assert ranker.rank(session, cuts[-1:], 1)[0].suggestion < 0.4
