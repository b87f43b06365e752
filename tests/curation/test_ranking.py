"""The order of review: suspicion by the scores' bounds, what is learned, and that neither decides anything."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sqlalchemy import select

from annotation_server.batches import BatchStore
from annotation_server.records import Mark, Order, Verdict
from curation.ranking import appearance
from curation.ranking.learning import LEAST_OF_EACH
from curation.ranking.ranker import EXPLORE, LEARNED_FROM, LearningRanker, SuspicionRanker, explored, sample
from curation.ranking.suspicion import HINTED, suspicion
from db.engine import Catalogue
from db.models import Clip, Decision, Preview, Score, Video
from tests.curation.ranking_cases import BOUNDS, CLIPS, PLAIN, is_bad, scored_clips


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return scored_clips(tmp_path)


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
    bad = {f"clip-{number:05}" for number in range(CLIPS) if is_bad(number)}
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
        {cell.position: Verdict(accepted=not is_bad(int(cell.clip_id[-5:])), share_seen=1) for cell in first.cells},
        1.0,
    )
    with catalogue.writing() as session:  # so that enough of each kind is judged
        for number in range(30, CLIPS):
            if is_bad(number):
                session.add(Decision(clip_id=f"clip-{number:05}", annotator="bob", verdict="reject"))
    with catalogue.reading() as session:
        clips = [f"clip-{number:05}" for number in range(CLIPS)]
        ranked = ranker.rank(session, clips, CLIPS)
    bad = [each for each in ranked if is_bad(int(each.clip_id[-5:]))]
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
    cuts = [f"clip-{number:05}" for number in range(40, 55) if not is_bad(number)]
    ranker = LearningRanker(BOUNDS)
    with catalogue.writing() as session:
        for clip in cuts:
            session.get_one(Score, (clip, "hard_cuts")).value = 1.0
        for number in [*range(7), *range(9, 37)]:
            verdict = "reject" if is_bad(number) else "accept"
            session.add(Decision(clip_id=f"clip-{number:05}", annotator="ada", verdict=verdict))
    with catalogue.reading() as session:
        told = {each.clip_id: each for each in ranker.rank(session, cuts, 99)}
    assert all(told[clip].suggestion >= 0.5 and told[clip].hint == "cut" for clip in cuts)
    with catalogue.writing() as session:
        for clip in cuts[:-1]:
            session.add(Decision(clip_id=clip, annotator="ada", verdict="accept"))
    with catalogue.reading() as session:
        assert ranker.rank(session, cuts[-1:], 1)[0].suggestion < 0.4
