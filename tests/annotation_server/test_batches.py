"""Batches in the catalogue: who gets what, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, update

from annotation_server.batches import BatchStore
from annotation_server.records import Mark, OpenBatch, Order, Pass, Reason, Verdict
from db.engine import Catalogue
from db.models import Batch, BatchClip, Clip, Decision, Preview, now
from db.states import ClipState, move_clips
from tests.browser.review_dataset import make_dataset


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return make_dataset(tmp_path, 12, seconds=0.2)


def _ids(batch: OpenBatch | None) -> list[str]:
    assert batch is not None
    return [cell.clip_id for cell in batch.cells]


def _all(batch: OpenBatch, rejected: frozenset[int] = frozenset()) -> dict[int, Verdict]:
    return {c.position: Verdict(accepted=c.position not in rejected, share_seen=1.0) for c in batch.cells}


def _store(catalogue: Catalogue, annotator: str = "ada", **options: object) -> BatchStore:
    return BatchStore(catalogue, annotator=annotator, **{"size": 5, **options})  # type: ignore[arg-type]


def _states(catalogue: Catalogue) -> dict[str, str]:
    with catalogue.reading() as session:
        return {clip.id: clip.state for clip in session.scalars(select(Clip))}


def test_batches_follow_in_time_and_the_tail_is_one_too(catalogue: Catalogue) -> None:
    store = _store(catalogue)
    seen = []
    while (batch := store.take()) is not None:
        seen.append(_ids(batch))
        store.confirm(batch.id, _all(batch), 2.0)
    assert [len(ids) for ids in seen] == [5, 5, 2]
    assert [clip for ids in seen for clip in ids] == sorted(_states(catalogue))


def test_an_open_batch_comes_back_with_its_marks(catalogue: Catalogue) -> None:
    batch = _store(catalogue).take()
    assert batch is not None
    _store(catalogue).save_marks(batch.id, {1: Mark(), 3: Mark(reason=Reason.CUT)})
    _store(catalogue).save_marks(batch.id, {3: None, 4: Mark(reason=Reason.TEXT)})
    again = _store(catalogue, size=3).take()
    assert again is not None
    assert (again.id, again.token) == (batch.id, batch.token)
    assert [cell.mark for cell in again.cells] == [None, Mark(), None, None, Mark(reason=Reason.TEXT)]


def test_confirming_records_decisions_and_states_in_one_go(catalogue: Catalogue) -> None:
    store = _store(catalogue)
    batch = store.take()
    assert batch is not None
    verdicts = _all(batch, frozenset({2})) | {4: Verdict(accepted=None, share_seen=0)}
    verdicts[0] = Verdict(accepted=True, share_seen=0.25)
    done = store.confirm(batch.id, verdicts, 7.5)
    assert (done.kept, done.rejected, done.skipped, done.withdrawn) == (3, 1, 1, 0)
    states = _states(catalogue)
    assert [states[clip] for clip in _ids(batch)] == ["accepted", "accepted", "rejected", "accepted", "pending"]
    with catalogue.reading() as session:
        rows = list(session.scalars(select(Decision).order_by(Decision.clip_id)))
        assert [row.verdict for row in rows] == ["accept", "accept", "reject", "accept"]
        assert {(row.annotator, row.review, row.batch_id, row.seconds) for row in rows} == {
            ("ada", "first", batch.id, 7.5)
        }
        assert [row.share_seen for row in rows] == [0.25, 1, 1, 1]
        assert session.get_one(Clip, _ids(batch)[2]).reason == "rejected by ada"
        stored = session.get_one(Batch, batch.id)
        assert (stored.state, stored.seconds) == ("confirmed", 7.5)
    with pytest.raises(LookupError, match="is confirmed"):
        store.confirm(batch.id, verdicts, 7.5)


def test_a_failure_while_confirming_changes_nothing(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _store(catalogue)
    batch = store.take()
    assert batch is not None

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("annotation_server.batches.move_clips", fail)
    with pytest.raises(OSError, match="no space"):
        store.confirm(batch.id, _all(batch), 1.0)
    with catalogue.reading() as session:
        assert session.scalars(select(Decision)).all() == []
        assert session.get_one(Batch, batch.id).state == "open"


def test_two_annotators_get_different_clips_and_the_last_ones_are_shared_fairly(catalogue: Catalogue) -> None:
    ada, bob = _store(catalogue), _store(catalogue, "bob")
    first = ada.take()
    assert first is not None
    ahead = ada.take_ahead(first.id)
    his = bob.take()
    assert his is not None
    assert len({*_ids(first), *_ids(ahead), *_ids(his)}) == 12
    assert bob.totals().elsewhere == 10
    bob.confirm(his.id, _all(his), 1.0)
    # Nothing is free any more, but Ada has not seen her second batch: it goes to Bob.
    next_of_bob = bob.take()
    assert _ids(next_of_bob) == _ids(ahead)
    assert bob.take_ahead(next_of_bob.id) is None  # type: ignore[union-attr]
    ada.confirm(first.id, _all(first), 1.0)
    assert ada.take() is None, "a batch that Bob looks at stays his"
    assert ada.holders() == {"bob": 5}


def test_take_over_frees_an_absent_annotators_clips(catalogue: Catalogue) -> None:
    ada, bob = _store(catalogue, size=12), _store(catalogue, "bob", size=12)
    batch = ada.take()
    assert bob.take() is None
    assert bob.take_over("ada") == 12
    assert _ids(bob.take()) == _ids(batch)
    with pytest.raises(LookupError, match="is released"):
        ada.confirm(batch.id, {}, 1.0)  # type: ignore[union-attr]


def test_batches_made_ahead_are_given_back(catalogue: Catalogue) -> None:
    ada = _store(catalogue)
    first = ada.take()
    assert first is not None
    ahead = _ids(ada.take_ahead(first.id))
    assert _ids(ada.take_ahead(first.id)) == ahead, "asked again it is the same one"
    ada.release_unseen()
    assert _ids(_store(catalogue, "bob").take()) == ahead
    assert _ids(ada.take()) == _ids(first)


def test_clips_that_left_the_review_are_not_shown_and_get_no_decision(catalogue: Catalogue) -> None:
    store = _store(catalogue)
    batch = store.take()
    assert batch is not None
    ids = _ids(batch)
    with catalogue.writing() as session:
        move_clips(session, [ids[0]], ClipState.TAKEN_DOWN)
        move_clips(session, [ids[1]], ClipState.FILTERED)
    done = store.confirm(batch.id, _all(batch), 1.0)
    assert (done.kept, done.withdrawn) == (3, 2)
    states = _states(catalogue)
    assert (states[ids[0]], states[ids[1]]) == ("taken-down", "filtered")
    second = store.take()
    assert second is not None
    with catalogue.writing() as session:
        move_clips(session, _ids(second)[1:], ClipState.FILTERED)
    shrunk = store.take()
    assert shrunk is not None
    assert (shrunk.id, [cell.position for cell in shrunk.cells]) == (second.id, [0])
    with catalogue.writing() as session:
        move_clips(session, _ids(second), ClipState.FILTERED)
    third = store.take()
    assert third is not None and third.id != second.id, "an empty batch is passed over"


def test_going_back_undoes_by_new_rows_and_keeps_the_marks(catalogue: Catalogue) -> None:
    store = _store(catalogue)
    first = store.take()
    assert first is not None
    assert store.reopen(first.id) is None
    store.save_marks(first.id, {2: Mark()})
    store.confirm(first.id, _all(first, frozenset({2})), 1.0)
    second = store.take()
    assert second is not None
    # A later decision on one of the clips, in the final pass, must survive going back.
    with catalogue.writing() as session:
        session.add(Decision(clip_id=_ids(first)[0], annotator="eve", verdict="reject", review="final"))
        move_clips(session, _ids(first)[:1], ClipState.REJECTED)
    assert store.reopen(second.id) == first.id
    again = store.take()
    assert again is not None
    assert again.id == first.id
    assert [(cell.position, cell.mark is not None) for cell in again.cells] == [
        (1, False),
        (2, True),
        (3, False),
        (4, False),
    ]
    with catalogue.reading() as session:
        undone = session.scalars(select(Decision.clip_id).where(Decision.verdict == "undo").order_by(Decision.id))
        assert list(undone) == _ids(first)[1:]
    store.confirm(again.id, _all(again), 1.0)
    assert _ids(store.take()) == _ids(second), "the batch that was left comes next"
    assert store.reopen(second.id) == first.id, "and again"


def test_clips_that_do_not_play_come_up_again_once_their_preview_is_made_anew(catalogue: Catalogue) -> None:
    store = _store(catalogue, size=12)
    with catalogue.writing() as session:
        session.execute(update(Preview).where(Preview.clip_id == "clip-00003").values(path=None, error="corrupt"))
        session.delete(session.get_one(Preview, "clip-00001"))
    batch = store.take()
    assert batch is not None
    assert _ids(batch)[-1] == "clip-00001", "clips without a preview come last"
    errors = {cell.clip_id: cell.error for cell in batch.cells if cell.error}
    assert errors == {"clip-00003": "corrupt", "clip-00001": "no preview yet; make it with: curate preview"}
    skip = Verdict(accepted=None, share_seen=0)
    store.confirm(batch.id, {c.position: skip if c.error else _all(batch)[c.position] for c in batch.cells}, 1.0)
    assert store.take() is None
    totals = store.totals()
    assert (totals.kept, totals.left, totals.skipped) == (10, 2, 2)
    again = _store(catalogue, "bob", size=12, again=True)
    asked = again.take()
    assert asked is not None and sorted(_ids(asked)) == ["clip-00001", "clip-00003"]
    again.confirm(asked.id, dict.fromkeys((c.position for c in asked.cells), skip), 1.0)
    assert again.take() is None, "but only once"
    with catalogue.writing() as session:
        session.execute(
            update(Preview).where(Preview.clip_id == "clip-00003").values(path="x.mp4", error=None, created_at=now())
        )
        session.add(Preview(clip_id="clip-00001", path="y.mp4", width=160, height=90, fps=10, frames=2))
    assert sorted(_ids(store.take())) == ["clip-00001", "clip-00003"]


def test_the_final_pass_shows_what_was_kept_once(tmp_path: Path) -> None:
    catalogue = make_dataset(tmp_path, 7, seconds=0.2, state=ClipState.ACCEPTED)
    store = _store(catalogue, review=Pass.FINAL)
    batch = store.take()
    assert batch is not None and len(batch.cells) == 5
    store.confirm(batch.id, _all(batch, frozenset({1})), 1.0)
    assert _states(catalogue)[_ids(batch)[1]] == "rejected"
    rest = store.take()
    assert rest is not None and len(rest.cells) == 2
    totals = store.totals()
    assert (totals.kept, totals.rejected, totals.left) == (4, 1, 2)
    assert store.reopen(rest.id) == batch.id
    assert _states(catalogue)[_ids(batch)[1]] == "accepted"
    again = store.take()
    assert again is not None
    store.confirm(again.id, _all(again), 1.0)
    store.confirm(rest.id, _all(rest), 1.0)
    assert store.take() is None
    assert _store(catalogue).take() is None, "the first pass has nothing to do with them"


def test_random_order_is_the_same_each_time_and_another_for_each_annotator(tmp_path: Path) -> None:
    catalogue = make_dataset(tmp_path, 40, seconds=0.2)
    mine = _store(catalogue, size=40, order=Order.RANDOM).take()
    assert mine is not None
    ids = _ids(mine)
    assert ids != sorted(ids)
    with catalogue.writing() as session:
        session.execute(update(Batch).values(state="released"))
    assert _ids(_store(catalogue, size=40, order=Order.RANDOM).take()) == ids
    with catalogue.writing() as session:
        session.execute(update(Batch).values(state="released"))
    assert _ids(_store(catalogue, "bob", size=40, order=Order.RANDOM).take()) != ids


def test_a_batch_never_holds_a_clip_twice(catalogue: Catalogue) -> None:
    _store(catalogue).take()
    _store(catalogue, "bob").take()
    with catalogue.reading() as session:
        clips = list(session.scalars(select(BatchClip.clip_id)))
    assert len(clips) == len(set(clips)) == 10
